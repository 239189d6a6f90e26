//! Parts of a document that are left out or replaced; the rest stays, to the byte.

use std::{fmt::Write, ops::Range};

use bytes::Bytes;
use cache_core::Digest;

/// Edits of one document, none of which touches another.
#[derive(Debug, Default)]
pub(crate) struct Edits(Vec<(Range<usize>, String)>);

impl Edits {
    pub(crate) fn cut(&mut self, part: Range<usize>) {
        self.replace(part, String::new());
    }

    pub(crate) fn replace(&mut self, part: Range<usize>, text: String) {
        let before = |(other, _): &(Range<usize>, String)| other.start < part.start;
        let at = self.0.partition_point(before);
        self.0.insert(at, (part, text));
    }

    /// Names these edits among all of the same document; `None` if there are none.
    pub(crate) fn mode(&self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        let mut all = String::new();
        for (part, text) in &self.0 {
            write!(all, "{part:?} {text:?} ").expect("a string takes all");
        }
        let hex = Digest::sha256(all.as_bytes()).hex();
        Some(hex[..16].to_owned())
    }

    pub(crate) fn apply(&self, document: Bytes) -> Bytes {
        if self.0.is_empty() {
            return document;
        }
        let (mut edited, mut copied) = (Vec::with_capacity(document.len()), 0);
        for (part, text) in &self.0 {
            edited.extend_from_slice(&document[copied..part.start]);
            edited.extend_from_slice(text.as_bytes());
            copied = part.end;
        }
        edited.extend_from_slice(&document[copied..]);
        edited.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_apply_in_the_order_of_their_places() {
        let mut edits = Edits::default();
        edits.replace(6..7, "SEVEN".to_owned());
        edits.cut(0..2);
        edits.cut(3..5);
        let document = Bytes::from_static(b"123456789");
        assert_eq!(edits.apply(document.clone()), "36SEVEN89");
        assert_eq!(Edits::default().apply(document.clone()), document);
    }

    #[test]
    fn other_edits_have_another_name() {
        let named = |part, text: &str| {
            let mut edits = Edits::default();
            edits.replace(part, text.to_owned());
            edits.mode()
        };
        assert_eq!(Edits::default().mode(), None);
        assert_eq!(named(1..2, "a"), named(1..2, "a"));
        assert_ne!(named(1..2, "a"), named(1..2, "b"));
        assert_ne!(named(1..2, "a"), named(1..3, "a"));
    }
}
