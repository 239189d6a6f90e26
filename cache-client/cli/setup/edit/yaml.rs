//! Yarn's `.yarnrc.yml`: two keys at the top level of a mapping in block style.

use super::{Refused, Trust, block::Draft};

const SERVER: &str = "npmRegistryServer";
const HOSTS: &str = "unsafeHttpWhitelist";
/// As of Yarn 3.
const AUTHORITIES: &str = "httpsCaFilePath";

/// Sets the registry, and what it is trusted by.
pub(super) fn yarn<'a>(text: &'a str, server: &str, trust: &Trust) -> Result<Draft<'a>, Refused> {
    let mut draft = Draft::of(text);
    let lines = draft.lines();
    let top = top(&lines)?;
    let mut set = |name: &str, value: &str| {
        let old = key(&lines, name).into_iter().flatten();
        old.for_each(|line| draft.put_aside(line));
        draft.insert(top, format!("{name}: \"{value}\""));
    };
    set(SERVER, server);
    match trust {
        Trust::Known => {}
        Trust::By(file) => set(AUTHORITIES, file),
        Trust::Plain(host) => put_up_with(&mut draft, top, host)?,
    }
    Ok(draft)
}

/// Adds a host to those that are spoken to without TLS.
fn put_up_with(draft: &mut Draft<'_>, top: usize, host: &str) -> Result<(), Refused> {
    let lines = draft.lines();
    draft.insert(top, format!("{HOSTS}:"));
    draft.insert(top, format!("  - \"{host}\""));
    if let Some(range) = key(&lines, HOSTS) {
        for other in list(&lines[range.clone()])? {
            if other != host {
                draft.insert(top, format!("  - \"{other}\""));
            }
        }
        range.for_each(|line| draft.put_aside(line));
    }
    Ok(())
}

/// The line at which the mapping begins.
fn top(lines: &[&str]) -> Result<usize, Refused> {
    let starts: Vec<usize> = (0..lines.len())
        .filter(|line| lines[*line].trim_end() == "---" || lines[*line].starts_with("--- "))
        .collect();
    let top = starts.first().map_or(0, |line| line + 1);
    let content = |line: &&&str| !line.trim().is_empty() && !line.trim().starts_with('#');
    let first = lines[top..].iter().find(content);
    if starts.len() > 1 {
        return Err("it has more than one document".to_owned());
    }
    if first.is_some_and(|line| line.starts_with(['{', '[', '"', '\'', '&', '?', '-', ' ', '\t'])) {
        return Err("it is no plain mapping with a key on each line".to_owned());
    }
    Ok(top)
}

/// The lines of a top-level key: its own, and those that are indented or items below it.
fn key(lines: &[&str], name: &str) -> Option<std::ops::Range<usize>> {
    let is_key = |line: &&str| {
        let line = line.strip_prefix(['"', '\'']).unwrap_or(line);
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
    };
    let first = lines.iter().position(is_key)?;
    let below = |line: &&&str| line.starts_with([' ', '\t', '-']) || line.trim().is_empty();
    let mut end = first + 1 + lines[first + 1..].iter().take_while(below).count();
    // Empty lines are the next key's.
    while lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    Some(first..end)
}

/// The words of a list of scalars, in either style.
fn list(lines: &[&str]) -> Result<Vec<String>, Refused> {
    let (_, inline) = lines[0].split_once(':').unwrap_or_default();
    let inline = comment_free(inline);
    let odd = || format!("{HOSTS} is no list of plain words");
    let words: Vec<&str> = if inline.is_empty() {
        let said = lines[1..].iter().map(|line| comment_free(line));
        let items = said.filter(|line| !line.is_empty());
        items
            .map(|line| line.strip_prefix("- ").map(str::trim).ok_or_else(odd))
            .collect::<Result<_, _>>()?
    } else {
        let inner = inline.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        let words = inner.ok_or_else(odd)?.split(',').map(str::trim);
        words.filter(|word| !word.is_empty()).collect()
    };
    words
        .into_iter()
        .map(|word| {
            let bare = word.trim_matches(['"', '\'']);
            let plain = |c: char| c.is_ascii_alphanumeric() || "-.:*_?[]".contains(c);
            let is_plain = !bare.is_empty() && bare.chars().all(plain);
            is_plain.then(|| bare.to_owned()).ok_or_else(odd)
        })
        .collect()
}

fn comment_free(line: &str) -> &str {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if line.starts_with('#') { "" } else { line }
}
