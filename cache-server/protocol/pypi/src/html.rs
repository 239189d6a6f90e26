//! The start tags of an HTML page, with the places of their attributes: as much of the
//! standard's tokenizer as a page that is edited in place needs.

use std::{borrow::Cow, ops::Range};

/// A start tag.
#[derive(Debug)]
pub(crate) struct Tag<'a> {
    /// Lower case.
    pub(crate) name: String,
    pub(crate) attributes: Vec<Attribute<'a>>,
    /// From `<` to behind `>`.
    pub(crate) span: Range<usize>,
}

/// An attribute of a tag.
#[derive(Debug)]
pub(crate) struct Attribute<'a> {
    /// Lower case.
    pub(crate) name: String,
    /// Decoded.
    pub(crate) value: Cow<'a, str>,
    /// Where the value stands, with its quotes if it has any; empty if there is none.
    pub(crate) span: Range<usize>,
}

impl Tag<'_> {
    /// An attribute; of several with one name the first counts, as in browsers.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute<'_>> {
        self.attributes.iter().find(|it| it.name == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.attribute(name).map(|attribute| &*attribute.value)
    }
}

/// The start tags of a page, in order. What is in comments, scripts and the like is
/// none; a tag that does not end is none either.
pub(crate) struct Tags<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tags<'a> {
    pub(crate) const fn of(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Goes behind the next `end`, or to the end of the page.
    fn skip_past(&mut self, end: &str) {
        let rest = self.rest();
        self.at += rest.find(end).map_or(rest.len(), |at| at + end.len());
    }

    /// Goes to the end tag of an element whose content is text alone.
    fn skip_text_of(&mut self, name: &str) {
        let rest = self.rest();
        let ends = rest.match_indices("</").map(|(at, _)| at).find(|at| {
            let behind = rest.as_bytes().get(at + 2..at + 2 + name.len());
            behind.is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
        });
        self.at += ends.unwrap_or(rest.len());
    }

    fn tag(&mut self) -> Option<Tag<'a>> {
        let start = self.at;
        let mut scan = Scan {
            text: self.text,
            at: start + 1,
        };
        let name = scan.name_until(|byte| is_space(byte) || matches!(byte, b'/' | b'>'));
        let mut attributes = Vec::new();
        loop {
            scan.skip(|byte| is_space(byte) || byte == b'/');
            match scan.peek() {
                None => {
                    self.at = self.text.len();
                    return None;
                }
                Some(b'>') => break,
                Some(_) => attributes.push(scan.attribute()),
            }
        }
        self.at = scan.at + 1;
        Some(Tag {
            name,
            attributes,
            span: start..self.at,
        })
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        loop {
            self.at += self.rest().find('<')?;
            let mut behind = self.rest().bytes().skip(1);
            match behind.next() {
                Some(b'!') if self.rest().starts_with("<!--") => {
                    // `<!-->` is a whole comment.
                    self.at += "<!".len();
                    self.skip_past("-->");
                }
                Some(b'!' | b'?' | b'/') => self.skip_past(">"),
                Some(byte) if byte.is_ascii_alphabetic() => {
                    let tag = self.tag()?;
                    if matches!(&*tag.name, "script" | "style" | "textarea" | "title") {
                        self.skip_text_of(&tag.name);
                    }
                    return Some(tag);
                }
                _ => self.at += 1,
            }
        }
    }
}

/// A place within a tag.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, skipped: impl Fn(u8) -> bool) {
        while self.peek().is_some_and(&skipped) {
            self.at += 1;
        }
    }

    fn name_until(&mut self, ends: impl Fn(u8) -> bool) -> String {
        let start = self.at;
        self.skip(|byte| !ends(byte));
        self.text[start..self.at].to_ascii_lowercase()
    }

    fn attribute(&mut self) -> Attribute<'a> {
        let start = self.at;
        // An equals sign at the start belongs to the name.
        self.at += 1;
        self.skip(|byte| !is_space(byte) && !matches!(byte, b'=' | b'/' | b'>'));
        // The first byte may begin a longer character, whose rest was skipped just now.
        let name = self.text[start..self.at].to_ascii_lowercase();
        let end = self.at;
        self.skip(is_space);
        if self.peek() != Some(b'=') {
            self.at = end;
            return Attribute {
                name,
                value: Cow::Borrowed(""),
                span: end..end,
            };
        }
        self.at += 1;
        self.skip(is_space);
        let (span, value) = self.value();
        Attribute {
            name,
            value: decode(value),
            span,
        }
    }

    /// Where a value stands, and what is between its quotes.
    fn value(&mut self) -> (Range<usize>, &'a str) {
        let start = self.at;
        if let Some(quote @ (b'"' | b'\'')) = self.peek() {
            self.at += 1;
            self.skip(|byte| byte != quote);
            let value = &self.text[start + 1..self.at];
            // Without the closing one the tag does not end: nobody will look at it.
            self.at = (self.at + 1).min(self.text.len());
            return (start..self.at, value);
        }
        self.skip(|byte| !is_space(byte) && byte != b'>');
        (start..self.at, &self.text[start..self.at])
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

/// The text behind a tag, up to the next `<`.
pub(crate) fn text_behind<'a>(page: &'a str, tag: &Tag<'_>) -> Cow<'a, str> {
    let rest = &page[tag.span.end..];
    decode(&rest[..rest.find('<').unwrap_or(rest.len())])
}

/// Decodes character references: numbers, and the few names that pages use.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        match reference(rest) {
            Some((character, length)) => {
                decoded.push(character);
                rest = &rest[length..];
            }
            None => {
                decoded.push('&');
                rest = &rest[1..];
            }
        }
    }
    decoded.push_str(rest);
    Cow::Owned(decoded)
}

/// The character that a reference at the start of the text stands for, and its length.
fn reference(text: &str) -> Option<(char, usize)> {
    /// No reference that we know is longer.
    const LONGEST: usize = 12;
    let end = text.bytes().take(LONGEST).position(|byte| byte == b';')?;
    let name = &text[1..end];
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((character, end + 1))
}

/// Text that may stand between double quotes, or between tags.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#x27;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hrefs(page: &str) -> Vec<(String, String)> {
        let anchors = Tags::of(page).filter(|tag| tag.name == "a");
        anchors
            .filter_map(|tag| {
                let href = tag.attribute("href")?;
                let raw = page[href.span.clone()].to_owned();
                Some((raw, href.value.clone().into_owned()))
            })
            .collect()
    }

    #[test]
    fn attributes_are_found_however_they_are_written() {
        for (page, raw, value) in [
            ("<a href=\"x\">", "\"x\"", "x"),
            ("<A HREF='x y'>", "'x y'", "x y"),
            ("<a href=x>", "x", "x"),
            ("<a\n\thref\n=\n\"x\"\n>", "\"x\"", "x"),
            ("<a href=x/y/>", "x/y/", "x/y/"),
            ("<a data-y=\">\" href=\"x\">", "\"x\"", "x"),
            ("<a data-y href=\"x\">", "\"x\"", "x"),
            ("<a =y href=\"x\">", "\"x\"", "x"),
            ("<a é=ü href=\"x\">", "\"x\"", "x"),
            ("<a href=\"x\" href=\"y\">", "\"x\"", "x"),
            (
                "<a href=\"x?a=1&amp;b&#61;2&#x3D;\">",
                "\"x?a=1&amp;b&#61;2&#x3D;\"",
                "x?a=1&b=2=",
            ),
            (
                "<a href=\"&bogus;&#xffffffff;&\">",
                "\"&bogus;&#xffffffff;&\"",
                "&bogus;&#xffffffff;&",
            ),
            ("<a href=\"&éééééé;\">", "\"&éééééé;\"", "&éééééé;"),
            ("<a/href=\"x\">", "\"x\"", "x"),
        ] {
            let found = hrefs(page);
            assert_eq!(found, [(raw.to_owned(), value.to_owned())], "{page}");
        }
    }

    #[test]
    fn what_only_looks_like_a_tag_is_none() {
        for page in [
            "<!-- <a href=\"x\"> -->",
            "<script>\"<a href='x'>\"</SCRIPT >",
            "<style><a href=x></style>",
            "<title><a href=x></title>",
            "<a href=\"x",
            "<a href=\"x\"",
            "<a",
            "<",
            "< a href=x>",
            "</a href=x>",
            "<!doctype html <a href=x>",
            "<?xml <a href=x>",
            "<script><a href=x>",
            "<!--",
            "<ab href=x>",
        ] {
            assert_eq!(hrefs(page), [], "{page}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let pieces = [
            "<", "a", " ", "é", "\"", "'", "=", ">", "/", "!--", "-->", "&#", ";", "href",
        ];
        let mut state = 1_u64;
        for _ in 0..20_000 {
            let mut page = String::new();
            for _ in 0..12 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                page.push_str(pieces[(state >> 33) as usize % pieces.len()]);
            }
            for tag in Tags::of(&page) {
                assert_eq!(page.as_bytes()[tag.span.end - 1], b'>', "{page}");
                for attribute in &tag.attributes {
                    assert!(page.get(attribute.span.clone()).is_some(), "{page}");
                }
            }
        }
    }
}
