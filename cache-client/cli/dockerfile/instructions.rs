//! From text to instructions: directives, comments, continuations, heredocs, flags.

use super::Error;

/// One instruction with the flags before its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Where it begins, from 1.
    pub(crate) line: usize,
    /// In capitals.
    pub(crate) keyword: String,
    /// As `--mount=type=cache,target=/x`, without quotes.
    pub(crate) flags: Vec<String>,
    pub(crate) rest: String,
    /// `\`, or what the directive says.
    pub(crate) escape: char,
}

impl Instruction {
    pub(crate) fn is(&self, keyword: &str) -> bool {
        self.keyword == keyword
    }
}

/// Reads all of them.
pub(crate) fn read(text: &str) -> Result<Vec<Instruction>, Error> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines: Vec<&str> = text.lines().collect();
    let escape = directives(&lines)?;
    let mut found = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = at + 1;
        let text = joined(&lines, &mut at, escape);
        if text.is_empty() {
            continue;
        }
        let instruction = split(line, &text, escape);
        for heredoc in heredocs(&instruction, escape) {
            skip(&lines, &mut at, &heredoc, line)?;
        }
        found.push(instruction);
    }
    Ok(found)
}

/// Words that white space parts, without their quotes; for ARG and ENV.
pub(crate) fn words(text: &str) -> Vec<String> {
    quoted_words(text, '\\')
        .into_iter()
        .map(|it| it.replace(['"', '\''], ""))
        .collect()
}

/// The escape character. Directives end with the first line that is none.
fn directives(lines: &[&str]) -> Result<char, Error> {
    for (at, line) in lines.iter().enumerate() {
        let Some(comment) = line.trim_start().strip_prefix('#') else {
            break;
        };
        let Some((name, value)) = comment.split_once('=') else {
            break;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "escape" => match value.trim() {
                "\\" => return Ok('\\'),
                "`" => return Ok('`'),
                _ => return Err(Error::at(at + 1, "the escape character must be \\ or `")),
            },
            "syntax" | "check" => {}
            _ => break,
        }
    }
    Ok('\\')
}

/// A line with those that continue it. Comments and empty lines among them are left out.
fn joined(lines: &[&str], at: &mut usize, escape: char) -> String {
    let mut text = String::new();
    while let Some(line) = lines.get(*at) {
        *at += 1;
        let trimmed = line.trim_start();
        let is_continuation = !text.is_empty();
        if trimmed.starts_with('#') || (is_continuation && trimmed.is_empty()) {
            if is_continuation {
                continue;
            }
            return text;
        }
        let line = if is_continuation { line } else { trimmed };
        let Some(begun) = continued(line, escape) else {
            return text + line.trim_end();
        };
        text.push_str(begun);
        // An escape alone on its line begins no instruction, but goes on all the same.
        if text.is_empty() {
            text.push(' ');
        }
    }
    text.trim().to_owned()
}

/// The line without the escape at its end, if there is one that is not escaped itself.
fn continued(line: &str, escape: char) -> Option<&str> {
    let begun = line
        .trim_end_matches([' ', '\t', '\r'])
        .strip_suffix(escape)?;
    (!begun.ends_with(escape)).then_some(begun)
}

fn split(line: usize, text: &str, escape: char) -> Instruction {
    let text = text.trim();
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let (flags, rest) = flags(rest.trim_start(), escape);
    Instruction {
        line,
        keyword: keyword.to_ascii_uppercase(),
        flags,
        rest: rest.to_owned(),
        escape,
    }
}

/// The words with `--` before the first one without; quotes and escapes are resolved.
fn flags(text: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    let mut rest = text;
    while rest.starts_with("--") {
        let (flag, behind) = flag(rest, escape);
        rest = behind.trim_start();
        if flag == "--" {
            break;
        }
        flags.push(flag);
    }
    (flags, rest)
}

fn flag(text: &str, escape: char) -> (String, &str) {
    let mut flag = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            None if c.is_whitespace() => return (flag, &text[at..]),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ if c == escape => flag.extend(chars.next().map(|(_, c)| c)),
            _ => flag.push(c),
        }
    }
    (flag, "")
}

/// A document that follows an instruction.
struct Heredoc {
    end: String,
    /// `<<-`: tabs before the end do not count.
    is_indented: bool,
}

fn heredocs(instruction: &Instruction, escape: char) -> Vec<Heredoc> {
    let is_list = serde_json::from_str::<Vec<String>>(&instruction.rest).is_ok();
    let takes = match instruction.keyword.as_str() {
        "RUN" | "COPY" | "ADD" => true,
        "ONBUILD" => ["RUN", "COPY", "ADD"].iter().any(|keyword| {
            let begin = instruction.rest.get(..keyword.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(keyword))
        }),
        _ => false,
    };
    if !takes || is_list {
        return Vec::new();
    }
    let words = quoted_words(&instruction.rest, escape);
    words.iter().filter_map(|word| heredoc(word)).collect()
}

/// `<<EOF`, `3<<-"EOF"`.
fn heredoc(word: &str) -> Option<Heredoc> {
    let word = word.trim_start_matches(|c: char| c.is_ascii_digit());
    let word = word.strip_prefix("<<")?;
    let (word, is_indented) = match word.strip_prefix('-') {
        Some(word) => (word, true),
        None => (word, false),
    };
    let end = word.replace(['"', '\''], "");
    let is = !end.is_empty() && !word.contains('<');
    is.then_some(Heredoc { end, is_indented })
}

fn skip(lines: &[&str], at: &mut usize, heredoc: &Heredoc, line: usize) -> Result<(), Error> {
    while let Some(text) = lines.get(*at) {
        *at += 1;
        let text = match heredoc.is_indented {
            true => text.trim_start_matches('\t'),
            false => text,
        };
        if text.trim_end_matches('\r') == heredoc.end {
            return Ok(());
        }
    }
    let reason = format!("the heredoc that ends with {} does not end", heredoc.end);
    Err(Error::at(line, reason))
}

/// Words that white space parts outside of quotes, with the quotes.
fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), String::new());
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(c, '"' | '\'') => quote = Some(c),
            Some(open) if c == open => quote = None,
            // Within single quotes an escape is a character like others.
            _ if c == escape && quote != Some('\'') => {
                word.push(c);
                word.extend(chars.next());
                continue;
            }
            _ => {}
        }
        word.push(c);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}
