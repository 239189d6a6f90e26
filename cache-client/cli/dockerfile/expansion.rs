//! Variables in words: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`.

use std::collections::BTreeSet;

/// What a word came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expanded {
    pub(crate) text: String,
    /// Names that nothing was known of; they came to nothing, as they do in a build.
    pub(crate) unknown: BTreeSet<String>,
}

/// Nested deeper, a word is refused: it is no one's.
const DEEPEST: usize = 16;

const QUOTE: &str = "a quote without its end";

/// Expands a word by what `value` knows.
pub(crate) fn expand(
    word: &str,
    escape: char,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<Expanded, String> {
    let mut expansion = Expansion {
        value,
        escape,
        unknown: BTreeSet::new(),
    };
    let text = expansion.word(word, 0)?;
    Ok(Expanded {
        text,
        unknown: expansion.unknown,
    })
}

struct Expansion<'a> {
    value: &'a dyn Fn(&str) -> Option<String>,
    escape: char,
    unknown: BTreeSet<String>,
}

impl Expansion<'_> {
    fn word(&mut self, word: &str, depth: usize) -> Result<String, String> {
        if depth > DEEPEST {
            return Err("variables are nested too deep".to_owned());
        }
        let mut text = String::new();
        let mut rest = word;
        let mut in_double = false;
        while let Some(c) = rest.chars().next() {
            let behind = &rest[c.len_utf8()..];
            rest = match c {
                '$' => self.variable(behind, &mut text, depth)?,
                // Single quotes keep a dollar.
                '\'' if !in_double => {
                    let (inside, behind) = behind.split_once('\'').ok_or(QUOTE)?;
                    text.push_str(inside);
                    behind
                }
                '"' => {
                    in_double = !in_double;
                    behind
                }
                c if c == self.escape => {
                    let next = behind.chars().next();
                    // Within double quotes it is for these only.
                    let takes = |c: char| matches!(c, '"' | '$') || c == self.escape;
                    if in_double && !next.is_some_and(takes) {
                        text.push(c);
                    }
                    text.extend(next);
                    &behind[next.map_or(0, char::len_utf8)..]
                }
                c => {
                    text.push(c);
                    behind
                }
            };
        }
        match in_double {
            true => Err(QUOTE.to_owned()),
            false => Ok(text),
        }
    }

    /// Takes what is behind a dollar, and gives what is left of it.
    fn variable<'a>(
        &mut self,
        behind: &'a str,
        text: &mut String,
        depth: usize,
    ) -> Result<&'a str, String> {
        if let Some(inside) = behind.strip_prefix('{') {
            let end = closing(inside).ok_or("a ${ without its }")?;
            let value = self.braced(&inside[..end], depth)?;
            text.push_str(&value);
            return Ok(&inside[end + 1..]);
        }
        let length = name_length(behind);
        if length == 0 {
            text.push('$');
            return Ok(behind);
        }
        let (name, rest) = behind.split_at(length);
        text.push_str(&self.known(name));
        Ok(rest)
    }

    fn braced(&mut self, inside: &str, depth: usize) -> Result<String, String> {
        let (name, modifier) = inside.split_at(name_length(inside));
        if name.is_empty() {
            return Err(format!("${{{inside}}} has no name"));
        }
        if modifier.is_empty() {
            return Ok(self.known(name));
        }
        // With a colon an empty value is as good as none.
        let (empty_counts, operator) = match modifier.strip_prefix(':') {
            Some(operator) => (false, operator),
            None => (true, modifier),
        };
        let value = (self.value)(name).filter(|value| empty_counts || !value.is_empty());
        let mut chars = operator.chars();
        let operation = chars.next();
        let word = self.word(chars.as_str(), depth + 1)?;
        match (operation, value) {
            (Some('-'), value) => Ok(value.unwrap_or(word)),
            (Some('+'), value) => Ok(value.map(|_| word).unwrap_or_default()),
            (Some('?'), Some(value)) => Ok(value),
            (Some('?'), None) => Err(format!("{name}: {word}")),
            _ => Err(format!("${{{inside}}} is not understood")),
        }
    }

    fn known(&mut self, name: &str) -> String {
        let value = (self.value)(name);
        if value.is_none() {
            self.unknown.insert(name.to_owned());
        }
        value.unwrap_or_default()
    }
}

/// A name as a shell has them; a single digit or sign is one, too.
fn name_length(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let first = text.chars().next();
    if first
        .is_some_and(|c| c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!'))
    {
        return 1;
    }
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// Where the brace that belongs to an open one is.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}
