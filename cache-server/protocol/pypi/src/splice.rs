//! Parts of a document that are replaced or left out; the rest stays, to the byte.

use std::{collections::BTreeSet, ops::Range};

/// Parts, none of which touches another, and what stands there instead.
pub(crate) type Edits = Vec<(Range<usize>, String)>;

/// The document with its edits.
pub(crate) fn splice(document: &[u8], mut edits: Edits) -> Vec<u8> {
    edits.sort_by_key(|(span, _)| span.start);
    // Served URLs are about as long as the origins'.
    let mut edited = Vec::with_capacity(document.len() + document.len() / 8);
    let mut at = 0;
    for (span, text) in edits {
        edited.extend_from_slice(&document[at..span.start]);
        edited.extend_from_slice(text.as_bytes());
        at = span.end;
    }
    edited.extend_from_slice(&document[at..]);
    edited
}

/// The parts of a JSON list that go with some of its items, and with each one comma:
/// those at the start up to the first that stays, others from the one before.
pub(crate) fn cuts(items: &[Range<usize>], gone: &BTreeSet<usize>) -> Vec<Range<usize>> {
    let leading = (0..).take_while(|at| gone.contains(at)).count();
    let behind = gone.range(leading..);
    let mut cuts: Vec<_> = behind.map(|&at| items[at - 1].end..items[at].end).collect();
    if leading > 0 {
        let end = match items.get(leading) {
            Some(first) => first.start,
            None => items[leading - 1].end,
        };
        cuts.push(items[0].start..end);
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_of_a_list_is_a_list() {
        let list = "[ 1 ,2, 3 , 4]";
        let items = [2..3, 5..6, 8..9, 12..13];
        for (gone, expected) in [
            (vec![], list),
            (vec![0], "[ 2, 3 , 4]"),
            (vec![1], "[ 1, 3 , 4]"),
            (vec![0, 1], "[ 3 , 4]"),
            (vec![2, 3], "[ 1 ,2]"),
            (vec![0, 2], "[ 2 , 4]"),
            (vec![0, 1, 2, 3], "[ ]"),
        ] {
            let cuts = cuts(&items, &gone.iter().copied().collect());
            let edits = cuts.into_iter().map(|cut| (cut, String::new()));
            let edited = splice(list.as_bytes(), edits.collect());
            assert_eq!(String::from_utf8_lossy(&edited), expected, "{gone:?}");
        }
    }
}
