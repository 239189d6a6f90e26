//! TOML: `toml_edit` says where things are and whether the outcome is what it should be;
//! the text itself changes by whole lines, so that every other byte stays.

use std::ops::Range;

use toml_edit::{ImDocument, Item, Table, TableLike};

use super::{Refused, block::Draft};

/// A key of a table, and the value it is to have, as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) table: Vec<String>,
    pub(crate) key: &'static str,
    pub(crate) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    True,
    /// The first element of a list, before those that are there.
    First(String),
}

/// A parsed text with lines that can be changed.
struct Page<'a> {
    text: &'a str,
    document: ImDocument<&'a str>,
    draft: Draft<'a>,
    /// Tables that are not there yet.
    new: Vec<String>,
}

/// Sets keys; what they were is put aside.
pub(super) fn set<'a>(text: &'a str, settings: &[Setting]) -> Result<Draft<'a>, Refused> {
    let mut page = Page::of(text)?;
    for setting in settings {
        page.set(setting)?;
    }
    page.finish()
}

/// Whether a changed text means what it was changed for.
pub(super) fn holds(text: &str, settings: &[Setting]) -> Result<(), Refused> {
    let document = parse(text)?;
    for setting in settings {
        let table = find(document.as_table(), &setting.table);
        let item = table.and_then(|table| table.get(setting.key));
        if !item.is_some_and(|item| setting.value.is(item)) {
            return Err(odd(&setting.table));
        }
    }
    Ok(())
}

/// Whether a changed text is TOML still.
pub(super) fn parses(text: &str) -> Result<(), Refused> {
    parse(text).map(drop)
}

/// Makes an index uv's default. One that was it before is put aside as a whole: as one
/// that is not the default it would be asked first.
pub(super) fn uv<'a>(text: &'a str, index: &str) -> Result<Draft<'a>, Refused> {
    let mut page = Page::of(text)?;
    page.put_key_aside(&[], "index-url")?;
    page.put_key_aside(&["pip".to_owned()], "index-url")?;
    match page.document.get("index") {
        None => {}
        Some(Item::ArrayOfTables(all)) => {
            let is_default = |it: &&Table| it.get("default").and_then(Item::as_bool) == Some(true);
            let ranges: Vec<_> = all.iter().filter(is_default).map(extent).collect();
            for range in ranges {
                let range = range.ok_or_else(|| odd(&["index".to_owned()]))?;
                page.put_aside(range);
            }
        }
        Some(_) => return Err(odd(&["index".to_owned()])),
    }
    let end = page.draft.len();
    for line in [
        "[[index]]",
        &format!("url = {}", quoted(index)),
        "default = true",
    ] {
        page.draft.insert(end, line);
    }
    Ok(page.draft)
}

impl<'a> Page<'a> {
    fn of(text: &'a str) -> Result<Self, Refused> {
        Ok(Self {
            text,
            document: parse(text)?,
            draft: Draft::of(text),
            new: Vec::new(),
        })
    }

    fn set(&mut self, setting: &Setting) -> Result<(), Refused> {
        let table = find(self.document.as_table(), &setting.table);
        let old = table.and_then(|table| table.get(setting.key)).cloned();
        let header = find_table(self.document.as_table(), &setting.table).and_then(Table::span);
        let line = format!("{} = {}", setting.key, setting.value.with(old.as_ref())?);
        match (table.is_some(), header) {
            (false, _) => {
                let path: Vec<String> = setting.table.iter().map(|it| bare(it)).collect();
                let header = format!("[{}]", path.join("."));
                if !self.new.contains(&header) {
                    self.new.push(header);
                }
                self.new.push(line);
            }
            (true, Some(header)) => {
                self.put_key_aside(&setting.table, setting.key)?;
                let at = self.line(header.start) + 1;
                self.draft.insert(at, line);
            }
            // Dotted keys, inline tables, or one that is only named in others' headers.
            (true, None) => return Err(odd(&setting.table)),
        }
        Ok(())
    }

    fn put_key_aside(&mut self, path: &[String], key: &str) -> Result<(), Refused> {
        let Some(table) = find(self.document.as_table(), path) else {
            return Ok(());
        };
        let Some((found, item)) = table.get_key_value(key) else {
            return Ok(());
        };
        let span = found.span().zip(item.span());
        let (start, end) = span.ok_or_else(|| odd(path))?;
        let range = start.start..end.end;
        let first = self.line(range.start);
        let before: usize = self
            .text
            .split_inclusive('\n')
            .take(first)
            .map(str::len)
            .sum();
        if !self.text[before..range.start].trim().is_empty() {
            return Err(odd(path));
        }
        self.put_aside(range);
        Ok(())
    }

    fn put_aside(&mut self, range: Range<usize>) {
        let last = self.line(range.end.saturating_sub(1).max(range.start));
        (self.line(range.start)..=last).for_each(|line| self.draft.put_aside(line));
    }

    /// The line that a byte is in.
    fn line(&self, byte: usize) -> usize {
        self.text[..byte].matches('\n').count()
    }

    fn finish(mut self) -> Result<Draft<'a>, Refused> {
        let end = self.draft.len();
        for line in self.new {
            self.draft.insert(end, line);
        }
        Ok(self.draft)
    }
}

impl Value {
    /// As it is written, given what was there.
    fn with(&self, old: Option<&Item>) -> Result<String, Refused> {
        Ok(match self {
            Self::True => "true".to_owned(),
            Self::Text(text) => quoted(text),
            Self::First(text) => {
                let mut all = vec![quoted(text)];
                let list = old.map(|old| old.as_array().ok_or("it has a mirror that is no list"));
                for other in list.transpose()?.into_iter().flatten() {
                    let other = other.as_str().ok_or("it has a mirror that is no text")?;
                    if other != text {
                        all.push(quoted(other));
                    }
                }
                format!("[{}]", all.join(", "))
            }
        })
    }

    fn is(&self, item: &Item) -> bool {
        match self {
            Self::True => item.as_bool() == Some(true),
            Self::Text(text) => item.as_str() == Some(text),
            Self::First(text) => {
                let first = item.as_array().and_then(|list| list.get(0));
                first.and_then(toml_edit::Value::as_str) == Some(text)
            }
        }
    }
}

fn parse(text: &str) -> Result<ImDocument<&str>, Refused> {
    ImDocument::parse(text).map_err(|error| format!("it is no TOML: {}", error.message()))
}

fn find<'t>(root: &'t dyn TableLike, path: &[String]) -> Option<&'t dyn TableLike> {
    let Some((first, rest)) = path.split_first() else {
        return Some(root);
    };
    find(root.get(first)?.as_table_like()?, rest)
}

/// A table with a header of its own.
fn find_table<'t>(root: &'t Table, path: &[String]) -> Option<&'t Table> {
    let Some((first, rest)) = path.split_first() else {
        return Some(root).filter(|it| !it.is_implicit() && !it.is_dotted());
    };
    find_table(root.get(first)?.as_table()?, rest)
}

/// From a table's header to the end of its last value.
fn extent(table: &Table) -> Option<Range<usize>> {
    let header = table.span()?;
    let ends = table
        .iter()
        .map(|(_, item)| item.span().map(|span| span.end));
    let last = ends.collect::<Option<Vec<_>>>()?.into_iter().max();
    Some(header.start..last.unwrap_or(header.end).max(header.end))
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// A key, quoted if it must be.
fn bare(key: &str) -> String {
    toml_edit::Key::new(key).to_string()
}

fn odd(path: &[String]) -> Refused {
    let name = if path.is_empty() {
        "the top level".to_owned()
    } else {
        path.join(".")
    };
    format!("{name} is written in a form that only people can change")
}
