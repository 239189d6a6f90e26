//! Files of lines with a key first: `.npmrc` and Yarn 1's `.yarnrc`.

use super::block::Draft;

/// Sets a key of the part before all sections, where ours is the first line.
pub(super) fn set<'a>(text: &'a str, key: &str, line: &str) -> Draft<'a> {
    let mut draft = Draft::of(text);
    for (number, said) in draft.lines().iter().enumerate() {
        let said = said.trim();
        if said.starts_with('[') {
            break;
        }
        let word = said.split(['=', ' ', '\t']).next().unwrap_or_default();
        if word.trim_matches('"') == key {
            draft.put_aside(number);
        }
    }
    draft.insert(0, line);
    draft
}
