//! Files of lines with a key first: `.npmrc`, Yarn 1's `.yarnrc`, apt's settings.

use super::{Line, block::Draft};

/// Sets keys of the part before all sections, where ours are the first lines.
pub(super) fn set<'a>(text: &'a str, lines: &[Line]) -> Draft<'a> {
    let mut draft = Draft::of(text);
    for (number, said) in draft.lines().iter().enumerate() {
        let said = said.trim();
        if said.starts_with('[') {
            break;
        }
        let word = said.split(['=', ' ', '\t']).next().unwrap_or_default();
        let word = word.trim_matches('"');
        if lines.iter().any(|line| line.key == word) {
            draft.put_aside(number);
        }
    }
    for line in lines {
        draft.insert(0, line.line.as_str());
    }
    draft
}
