//! pip's configuration: an INI file as Python's `configparser` reads it.

use super::{Refused, Trust, block::Draft};

/// An option, and the lines of it.
#[derive(Debug)]
struct Entry<'a> {
    section: &'a str,
    key: String,
    value: String,
    indent: &'a str,
    first: usize,
    last: usize,
}

/// What is in the file.
#[derive(Debug, Default)]
struct Read<'a> {
    /// Names, and the line below the header.
    sections: Vec<(&'a str, usize)>,
    entries: Vec<Entry<'a>>,
}

/// Sets the index for all commands. A command's own section wins over `[global]`, so an
/// index there is put aside too, and its trusted hosts get ours beside them.
pub(super) fn pip<'a>(text: &'a str, index: &str, trust: &Trust) -> Result<Draft<'a>, Refused> {
    let mut draft = Draft::of(text);
    let read = Read::of(&draft.lines())?;
    let is_set = |key: &str| key == "index-url" || key == "cert" && matches!(trust, Trust::By(_));
    for entry in read.entries.iter().filter(|it| is_set(&it.key)) {
        put_aside(&mut draft, entry);
    }
    let global = read.section("global", &mut draft);
    draft.insert(global.0, format!("{}index-url = {index}", global.1));
    match trust {
        Trust::Known => {}
        Trust::By(file) => draft.insert(global.0, format!("{}cert = {file}", global.1)),
        Trust::Plain(host) => trust_host(&mut draft, &read, global, host),
    }
    Ok(draft)
}

fn trust_host<'a>(draft: &mut Draft<'a>, read: &Read<'a>, global: (usize, &str), host: &str) {
    let mut in_global = false;
    for entry in read.entries.iter().filter(|it| it.key == "trusted-host") {
        in_global |= entry.section == "global";
        put_aside(draft, entry);
        let (at, indent) = read.section(entry.section, draft);
        let words = entry.value.split_whitespace().filter(|word| *word != host);
        let hosts: Vec<&str> = [host].into_iter().chain(words).collect();
        draft.insert(at, format!("{indent}trusted-host = {}", hosts.join(" ")));
    }
    if !in_global {
        draft.insert(global.0, format!("{}trusted-host = {host}", global.1));
    }
}

fn put_aside(draft: &mut Draft<'_>, entry: &Entry<'_>) {
    (entry.first..=entry.last).for_each(|line| draft.put_aside(line));
}

impl<'a> Read<'a> {
    /// By the rules of `configparser`: a line that is indented deeper than an option's
    /// first goes on with its value; comments are lines of their own.
    fn of(lines: &[&'a str]) -> Result<Self, Refused> {
        let mut read = Self::default();
        let mut open = false;
        for (number, line) in lines.iter().enumerate() {
            let said = line.trim();
            if said.is_empty() || said.starts_with(['#', ';']) {
                continue;
            }
            let indent = &line[..line.len() - line.trim_start().len()];
            if open
                && let Some(entry) = read.entries.last_mut()
                && indent.len() > entry.indent.len()
            {
                entry.last = number;
                entry.value.push(' ');
                entry.value.push_str(said);
                continue;
            }
            if let Some(name) = said.strip_prefix('[').and_then(|it| it.split(']').next()) {
                read.sections.push((name, number + 1));
                open = false;
                continue;
            }
            let (Some((section, _)), Some((key, value))) =
                (read.sections.last(), said.split_once(['=', ':']))
            else {
                return Err(format!("line {} is none that pip can read", number + 1));
            };
            open = true;
            read.entries.push(Entry {
                section,
                // As pip's `_normalize_name`.
                key: key.trim().to_lowercase().replace('_', "-"),
                value: value.trim().to_owned(),
                indent,
                first: number,
                last: number,
            });
        }
        Ok(read)
    }

    /// Where a section's lines begin, and how they are indented; one that is not there is
    /// begun at the end.
    fn section(&self, name: &str, draft: &mut Draft<'_>) -> (usize, &'a str) {
        let Some((_, at)) = self.sections.iter().find(|(it, _)| *it == name) else {
            let end = draft.len();
            draft.insert(end, format!("[{name}]"));
            return (end, "");
        };
        let first = self.entries.iter().find(|entry| entry.section == name);
        (*at, first.map_or("", |entry| entry.indent))
    }
}
