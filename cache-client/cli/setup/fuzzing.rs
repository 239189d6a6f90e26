//! The editors of tools' files, and the journal of what they did, for fuzz targets.

use super::{
    Edit, Value,
    edit::{Line, Setting, Trust, Undo, without_blocks},
    journal::Kept,
};

const SERVER: &str = "http://cache.example:3142";

/// The edits of the tools, of servers in the clear and, behind those, with an authority.
fn all() -> [Edit; 11] {
    let set = |table: &[&str], key, value| Setting {
        table: table.iter().map(|it| (*it).to_owned()).collect(),
        key,
        value,
    };
    let text = |text: &str| Value::Text(text.to_owned());
    let first = Value::First("cache.example:3142".to_owned());
    let line = |key, line: String| Line { key, line };
    let pip = |trust| Edit::Pip {
        index: format!("{SERVER}/pypi/simple/"),
        trust,
    };
    let yarn = |trust| Edit::Yarn {
        server: format!("{SERVER}/npm/"),
        trust,
    };
    let registry = line("registry", format!("registry={SERVER}/npm/"));
    let quoted = line("registry", format!("registry \"{SERVER}/npm/\""));
    let authority = line("cafile", "cafile=/etc/ssl/ca.pem".to_owned());
    let plain = || Trust::Plain("cache.example".to_owned());
    let known = || Trust::By("/etc/ssl/ca.pem".to_owned());
    [
        pip(plain()),
        Edit::Lines(vec![registry.clone()]),
        Edit::Lines(vec![quoted]),
        yarn(plain()),
        Edit::Uv {
            index: format!("{SERVER}/pypi/simple/"),
        },
        Edit::Toml(vec![
            set(&["source", "crates-io"], "replace-with", text("cachalot")),
            set(&["source", "cachalot"], "registry", text(SERVER)),
        ]),
        Edit::Toml(vec![
            set(&["registry", "registry.example"], "mirrors", first),
            set(&["registry", "cache.example:3142"], "http", Value::True),
        ]),
        Edit::Mirror {
            url: SERVER.to_owned(),
        },
        pip(known()),
        Edit::Lines(vec![registry, authority]),
        yarn(known()),
    ]
}

/// Makes one of the edits, by the first byte, in a text.
///
/// # Panics
/// If the text is not what it was once the edit is taken out.
pub(crate) fn edits(input: &[u8]) {
    let Some((which, text)) = input.split_first() else {
        return;
    };
    let Ok(text) = str::from_utf8(text) else {
        return;
    };
    // What has an edit already is edited as it was before.
    if without_blocks(text) != text {
        return;
    }
    let all = all();
    let edit = &all[usize::from(*which) % all.len()];
    let Ok(applied) = edit.apply(text) else {
        return;
    };
    let stripped = applied.undo.strip(&applied.text);
    let stripped = stripped.expect("what was edited can be edited");
    if matches!(edit, Edit::Mirror { .. }) {
        mirrors(text, &applied.text, &stripped);
    } else {
        assert_eq!(stripped, text);
        assert_eq!(without_blocks(&applied.text), text);
    }
}

/// JSON comes back but for white space, and for a comma behind the last member, which Docker
/// does not take.
fn mirrors(text: &str, applied: &str, stripped: &str) {
    assert!(applied.contains(SERVER));
    let counts = |c: &char| !c.is_whitespace() && *c != ',';
    let bare = |text: &str| text.chars().filter(counts).collect::<String>();
    let is_blank = text.trim_start_matches('\u{feff}').trim().is_empty();
    if !text.contains(SERVER) && !is_blank {
        assert_eq!(bare(stripped), bare(text), "{applied}");
    }
}

/// Reads a journal, and takes what its entries say out of the text behind it: its first
/// NUL ends the journal.
///
/// # Panics
/// If a journal that was read is not read again once it is written.
pub(crate) fn journals(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let journal = parts.next().unwrap_or_default();
    let text = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Ok(kept) = Kept::parse(journal) else {
        return;
    };
    let written = serde_json::to_vec(&kept).expect("it was read");
    let again = Kept::parse(&written).expect("it was written here");
    assert_eq!(again.entries.len(), kept.entries.len());
    for entry in &kept.entries {
        assert!(entry.target.is_absolute());
        let stripped = entry.undo.strip(&text);
        if let (Undo::Whole, Ok(stripped)) = (&entry.undo, &stripped) {
            assert_eq!(*stripped, text);
        }
    }
}
