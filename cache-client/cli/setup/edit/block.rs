//! Lines of ours between two markers, and lines of others put aside behind a mark.

use std::collections::{BTreeMap, BTreeSet};

const BEGIN: &str = "# >>> cachalot >>>";
/// The same where the line before had no end of its own.
const JOINED: &str = "# >>> cachalot >>> (this line was begun by cachalot)";
const END: &str = "# <<< cachalot <<<";
/// Before a line that was put aside.
const ASIDE: &str = "#cachalot# ";

/// A text that is being changed, by line. Numbers of lines are those of the original.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    lines: Vec<&'a str>,
    end: &'static str,
    aside: BTreeSet<usize>,
    inserted: BTreeMap<usize, Vec<String>>,
}

impl<'a> Draft<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let crlf = lines.first().is_some_and(|line| line.ends_with("\r\n"));
        Self {
            lines,
            end: if crlf { "\r\n" } else { "\n" },
            aside: BTreeSet::new(),
            inserted: BTreeMap::new(),
        }
    }

    /// How many lines there are.
    pub(super) fn len(&self) -> usize {
        self.lines.len()
    }

    /// The lines without their ends.
    pub(super) fn lines(&self) -> Vec<&'a str> {
        let bare = |line: &&'a str| line.trim_end_matches(['\r', '\n']);
        self.lines.iter().map(bare).collect()
    }

    /// Puts a line aside.
    pub(super) fn put_aside(&mut self, line: usize) {
        self.aside.insert(line);
    }

    /// Adds a line of ours before line `at`.
    pub(super) fn insert(&mut self, at: usize, line: impl Into<String>) {
        self.inserted.entry(at).or_default().push(line.into());
    }

    /// The lines of ours, without what stands before and after them.
    pub(super) fn inserted(&self) -> Vec<String> {
        let all = self.inserted.values().flatten();
        all.map(|line| line.trim().to_owned()).collect()
    }

    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        for at in 0..=self.lines.len() {
            if let Some(ours) = self.inserted.get(&at) {
                self.render_block(&mut text, ours);
            }
            if let Some(line) = self.lines.get(at) {
                if self.aside.contains(&at) {
                    text.push_str(ASIDE);
                }
                text.push_str(line);
            }
        }
        text
    }

    fn render_block(&self, text: &mut String, ours: &[String]) {
        let joined = !text.is_empty() && !text.ends_with('\n');
        if joined {
            text.push_str(self.end);
        }
        let begin = if joined { JOINED } else { BEGIN };
        // The indentation of ours is that of the lines around.
        let first = ours.first().map_or("", String::as_str);
        let indent = &first[..first.len() - first.trim_start().len()];
        for line in [format!("{indent}{begin}")]
            .iter()
            .chain(ours)
            .chain(&[format!("{indent}{END}")])
        {
            text.push_str(line);
            text.push_str(self.end);
        }
    }
}

/// The text without our blocks, and with what was put aside. In a block only the lines
/// that are ours go (all of it if nobody knows which are).
pub(super) fn strip(text: &str, ours: Option<&[String]>) -> String {
    let mut out = String::with_capacity(text.len());
    // Where the text was when a block began that gave the line before it an end.
    let mut joined = None;
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        let said = line.trim();
        if said == BEGIN || said == JOINED {
            if said == JOINED {
                // Its own end is the one that the line before was given.
                let end = if line.ends_with("\r\n") { 2 } else { 1 };
                joined = Some((out.len(), end));
            }
            lines = skip_block(lines, ours, &mut out);
        } else {
            out.push_str(line.strip_prefix(ASIDE).unwrap_or(line));
        }
    }
    if let Some((length, end)) = joined.filter(|(length, _)| *length == out.len()) {
        out.truncate(length.saturating_sub(end));
    }
    out
}

/// Goes on behind a block; what is not ours in it goes to `out`.
fn skip_block<'a>(
    lines: std::str::SplitInclusive<'a, char>,
    ours: Option<&[String]>,
    out: &mut String,
) -> std::str::SplitInclusive<'a, char> {
    let is_ours = |line: &str| ours.is_none_or(|ours| ours.iter().any(|it| it == line.trim()));
    let mut rest = lines.clone();
    if rest.any(|line| line.trim() == END) {
        for line in lines.take_while(|line| line.trim() != END) {
            if !is_ours(line) {
                out.push_str(line);
            }
        }
        return rest;
    }
    // Somebody removed the end: ours are those that follow at once, if they are known.
    let mut rest = lines.clone();
    for line in lines {
        if ours.is_none() || !is_ours(line) {
            break;
        }
        rest.next();
    }
    rest
}
