//! An object in a document by the places of its members, of which some can be taken out.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::edits::Edits;

/// The members of an object in a document, in their order.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<Member>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) key: String,
    /// Where the key begins, with its quotes.
    start: usize,
    pub(crate) value: Range<usize>,
}

impl Members {
    /// Reads an object that is a part of `document`.
    ///
    /// # Errors
    /// If it is no object.
    pub(crate) fn parse(object: &RawValue, document: &[u8]) -> Result<Self, serde_json::Error> {
        let place = |text: &RawValue| {
            let start = text.get().as_ptr().addr() - document.as_ptr().addr();
            start..start + text.get().len()
        };
        let Entries(entries) = serde_json::from_str(object.get())?;
        let mut members = Vec::with_capacity(entries.len());
        // Behind the brace, and later behind the value before and its comma.
        let mut behind = place(object).start + 1;
        for (key, value) in entries {
            let value = place(value);
            let start = key_behind(document, behind);
            behind = value.end;
            members.push(Member { key, start, value });
        }
        Ok(Self(members))
    }

    pub(crate) fn all(&self) -> &[Member] {
        &self.0
    }

    /// Takes out the members of these keys.
    pub(crate) fn cut(&self, gone: impl Fn(&str) -> bool, edits: &mut Edits) {
        let gone: Vec<bool> = self.0.iter().map(|member| gone(&member.key)).collect();
        self.cut_these(&gone, edits);
    }

    /// Takes out members, and with each one comma: those at the start go up to the first
    /// that stays, others from the one before.
    pub(crate) fn cut_these(&self, gone: &[bool], edits: &mut Edits) {
        let leading = gone.iter().take_while(|gone| **gone).count();
        if let Some(last) = leading.checked_sub(1) {
            let end = match self.0.get(leading) {
                Some(first) => first.start,
                None => self.0[last].value.end,
            };
            edits.cut(self.0[0].start..end);
        }
        let pairs = self.0.windows(2).zip(gone.iter().skip(1));
        for (pair, gone) in pairs.skip(leading) {
            if *gone {
                edits.cut(pair[0].value.end..pair[1].value.end);
            }
        }
    }
}

/// Where the next key's quote is.
fn key_behind(document: &[u8], behind: usize) -> usize {
    let between = document[behind..].iter();
    behind + between.take_while(|byte| **byte != b'"').count()
}

/// The members of an object, of which only the keys are read.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self(Vec::new()))
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Entries<'a> {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(entry) = map.next_entry()? {
            self.0.push(entry);
        }
        Ok(self)
    }
}
