//! A registry's `config.json`: where its crates are, edited to be here.

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// As much of it as is looked at.
#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    dl: &'a RawValue,
}

/// A `config.json`.
#[derive(Clone, Debug)]
pub(crate) struct Description {
    bytes: Bytes,
    /// Where downloads are, as a template.
    pub(crate) dl: String,
    /// The bytes of its value, with their quotes.
    span: Range<usize>,
}

impl Description {
    /// Reads one.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(crate) fn parse(bytes: Bytes) -> Result<Self, String> {
        let wire: Wire<'_> =
            serde_json::from_slice(&bytes).map_err(|error| format!("no config.json: {error}"))?;
        let dl = serde_json::from_str(wire.dl.get())
            .map_err(|error| format!("config.json: `dl` is no text: {error}"))?;
        // The raw value is a part of these bytes.
        let start = wire.dl.get().as_ptr().addr() - bytes.as_ptr().addr();
        let span = start..start + wire.dl.get().len();
        Ok(Self { bytes, dl, span })
    }

    /// The same to the byte, with downloads at `dl`.
    pub(crate) fn with_downloads_at(&self, dl: &str) -> Bytes {
        let quoted = serde_json::Value::from(dl).to_string();
        let parts = [
            &self.bytes[..self.span.start],
            quoted.as_bytes(),
            &self.bytes[self.span.end..],
        ];
        parts.concat().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(text: &'static str) -> Result<String, String> {
        let description = Description::parse(Bytes::from_static(text.as_bytes()))?;
        let bytes = description.with_downloads_at("http://here/\"dl");
        Ok(String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn only_the_place_of_downloads_changes() {
        let text = "{ \"api\":\"a\\u0062\",\n \"n\": {\"dl\": 1},\"dl\" : \"x\\\"y\" ,\"auth-required\":true }\n";
        let expected = text.replace("\"x\\\"y\"", "\"http://here/\\\"dl\"");
        assert_eq!(moved(text).unwrap(), expected);
    }

    #[test]
    fn what_names_no_downloads_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            "<html>",
            "{\"dl\":",
            "{\"dl\":1}",
            "{\"dl\":null}",
            "{\"dl\":\"a\",\"dl\":\"b\"}",
            "{\"dl\":\"a\"} x",
            "\u{feff}{\"dl\":\"a\"}",
        ] {
            assert!(moved(bad).is_err(), "{bad}");
        }
    }
}
