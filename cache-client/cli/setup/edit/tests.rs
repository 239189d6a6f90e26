//! Each kind of edit on files as people write them; and that every edit comes out again.

use proptest::prelude::*;

use super::{Edit, Line, Setting, Trust, Value, without_blocks};

const INDEX: &str = "http://cache.example:3142/pypi/simple/";

fn pip() -> Edit {
    Edit::Pip {
        index: INDEX.to_owned(),
        trust: Trust::Plain("cache.example:3142".to_owned()),
    }
}

fn npm() -> Edit {
    let line = "registry=http://cache.example:3142/npm/".to_owned();
    let key = "registry";
    Edit::Lines(vec![Line { key, line }])
}

fn yarn() -> Edit {
    Edit::Yarn {
        server: "http://cache.example:3142/npm/".to_owned(),
        trust: Trust::Plain("cache.example".to_owned()),
    }
}

fn uv() -> Edit {
    Edit::Uv {
        index: INDEX.to_owned(),
    }
}

fn setting(table: &[&str], key: &'static str, value: Value) -> Setting {
    Setting {
        table: table.iter().map(|it| (*it).to_owned()).collect(),
        key,
        value,
    }
}

fn cargo() -> Edit {
    let index = "sparse+http://cache.example:3142/cargo/";
    Edit::Toml(vec![
        setting(
            &["source", "crates-io"],
            "replace-with",
            Value::Text("cachalot".into()),
        ),
        setting(
            &["source", "cachalot"],
            "registry",
            Value::Text(index.into()),
        ),
    ])
}

fn buildkit() -> Edit {
    let cache = "cache.example:3142";
    Edit::Toml(vec![
        setting(
            &["registry", "registry.example"],
            "mirrors",
            Value::First(cache.into()),
        ),
        setting(&["registry", cache], "http", Value::True),
    ])
}

fn docker() -> Edit {
    Edit::Mirror {
        url: "http://cache.example:3142".to_owned(),
    }
}

/// Applies an edit, and takes it out again.
fn there_and_back(edit: &Edit, text: &str) -> String {
    let applied = edit.apply(text).unwrap();
    assert_eq!(
        applied.undo.strip(&applied.text).unwrap(),
        text,
        "{}",
        applied.text
    );
    applied.text
}

#[test]
fn pip_has_one_index_and_trusts_the_hosts_of_before() {
    let text = "[global]\n  timeout = 60\n  Index_URL = https://packages.example/\n\
                \x20 trusted-host =\n    one.example\n    # why\n    two.example\n\
                [install]\nindex-url: https://other.example/\n";
    let changed = there_and_back(&pip(), text);
    let expected = "[global]\n  # >>> cachalot >>>\n\
         \x20 index-url = http://cache.example:3142/pypi/simple/\n\
         \x20 trusted-host = cache.example:3142 one.example two.example\n\
         \x20 # <<< cachalot <<<\n  timeout = 60\n\
         #cachalot#   Index_URL = https://packages.example/\n\
         #cachalot#   trusted-host =\n#cachalot#     one.example\n#cachalot#     # why\n\
         #cachalot#     two.example\n[install]\n#cachalot# index-url: https://other.example/\n";
    assert_eq!(changed, expected);
}

#[test]
fn a_file_keeps_its_line_ends_its_mark_and_its_last_line_without_one() {
    assert_eq!(
        there_and_back(&npm(), "\u{feff}a=1\r\nregistry = x\r\n"),
        "\u{feff}# >>> cachalot >>>\r\nregistry=http://cache.example:3142/npm/\r\n\
         # <<< cachalot <<<\r\na=1\r\n#cachalot# registry = x\r\n"
    );
    let joined = there_and_back(&pip(), "[list]\nformat = columns");
    assert!(
        joined.starts_with("[list]\nformat = columns\n# >>>"),
        "{joined}"
    );
}

#[test]
fn what_is_in_a_section_of_npm_or_of_a_scope_stays() {
    let text = "@acme:registry=https://packages.example/\n[x]\nregistry=y\n";
    let changed = there_and_back(&npm(), text);
    assert!(changed.ends_with(text), "{changed}");
}

#[test]
fn yarn_keeps_its_hosts() {
    for hosts in [
        "unsafeHttpWhitelist:\n  - one.example\n  - \"*.two.example\" # why\n\n",
        "unsafeHttpWhitelist: [one.example, '*.two.example']\n",
    ] {
        let text = format!("---\nnodeLinker: pnp\n{hosts}npmRegistryServer: \"x\"\nlast: 1\n");
        let changed = there_and_back(&yarn(), &text);
        let block = "---\n# >>> cachalot >>>\n\
             npmRegistryServer: \"http://cache.example:3142/npm/\"\nunsafeHttpWhitelist:\n\
             \x20 - \"cache.example\"\n  - \"one.example\"\n  - \"*.two.example\"\n\
             # <<< cachalot <<<\nnodeLinker: pnp\n#cachalot# unsafe";
        assert!(changed.starts_with(block), "{changed}");
        assert!(
            changed.ends_with("#cachalot# npmRegistryServer: \"x\"\nlast: 1\n"),
            "{changed}"
        );
    }
}

#[test]
fn whom_a_tool_trusted_is_put_aside_for_the_file_of_all() {
    let trust = || Trust::By("/home/a/all.pem".to_owned());
    let pip = Edit::Pip {
        index: INDEX.to_owned(),
        trust: trust(),
    };
    let changed = there_and_back(&pip, "[global]\ncert = /x.pem\n[install]\ncert = /y.pem\n");
    let index = "index-url = http://cache.example:3142/pypi/simple/\ncert = /home/a/all.pem\n";
    assert!(changed.contains(index), "{changed}");
    assert_eq!(changed.matches("#cachalot# cert").count(), 2, "{changed}");

    let yarn = Edit::Yarn {
        server: "https://cache.example/npm/".to_owned(),
        trust: trust(),
    };
    let text = "httpsCaFilePath: \"x\"\nunsafeHttpWhitelist:\n  - h\n";
    let changed = there_and_back(&yarn, text);
    let ours = "npmRegistryServer: \"https://cache.example/npm/\"\n\
                httpsCaFilePath: \"/home/a/all.pem\"\n# <<< cachalot <<<\n#cachalot# https";
    assert!(changed.contains(ours), "{changed}");

    let line = |key, line: &str| Line {
        key,
        line: line.to_owned(),
    };
    let npm = Edit::Lines(vec![
        line("registry", "registry=r"),
        line("cafile", "cafile=/home/a/all.pem"),
    ]);
    let changed = there_and_back(&npm, "cafile = /x.pem\nfund=false\n");
    let whole = "# >>> cachalot >>>\nregistry=r\ncafile=/home/a/all.pem\n\
                 # <<< cachalot <<<\n#cachalot# cafile = /x.pem\nfund=false\n";
    assert_eq!(changed, whole);
}

#[test]
fn what_cannot_be_understood_is_left_alone() {
    for (edit, text) in [
        (yarn(), "{nodeLinker: pnp}\n"),
        (yarn(), "a: 1\n---\nb: 2\n---\n"),
        (yarn(), "unsafeHttpWhitelist: *all\n"),
        (pip(), "no section = 1\n"),
        (
            uv(),
            "index = [{ url = \"https://packages.example/\", default = true }]\n",
        ),
        (uv(), "[unclosed\n"),
        (cargo(), "source.crates-io.replace-with = \"x\"\n"),
        (
            cargo(),
            "source = { crates-io = { replace-with = \"x\" } }\n",
        ),
        (buildkit(), "[registry.\"registry.example\"]\nmirrors = 1\n"),
        (docker(), "[]"),
        (docker(), "{\"registry-mirrors\": 1}"),
        (docker(), "{"),
    ] {
        assert!(edit.apply(text).is_err(), "{edit:?} of {text}");
    }
}

#[test]
fn an_index_that_was_uvs_default_is_put_aside_and_others_stay() {
    let text = "# mine\nindex-url = \"https://packages.example/\"\n\n[[index]]\nname = \"a\"\n\
                url = \"https://a.example/\"\n[[index]]\n# why\nurl = \"https://b.example/\"\n\
                default = true # so\n\n[pip]\nindex-url = \"https://c.example/\"\nstrict = true\n";
    let changed = there_and_back(&uv(), text);
    let expected = "# mine\n#cachalot# index-url = \"https://packages.example/\"\n\n[[index]]\n\
         name = \"a\"\nurl = \"https://a.example/\"\n#cachalot# [[index]]\n#cachalot# # why\n\
         #cachalot# url = \"https://b.example/\"\n#cachalot# default = true # so\n\n[pip]\n\
         #cachalot# index-url = \"https://c.example/\"\nstrict = true\n# >>> cachalot >>>\n\
         [[index]]\nurl = \"http://cache.example:3142/pypi/simple/\"\ndefault = true\n\
         # <<< cachalot <<<\n";
    assert_eq!(changed, expected);
}

#[test]
fn a_replaced_source_of_cargo_is_replaced_by_the_cache() {
    let text = "[build]\r\njobs = 2\r\n[source.crates-io]\r\n  replace-with = \"mirror\" # near\r\n\
                \r\n[source.mirror]\r\nregistry = \"sparse+https://packages.example/\"";
    let changed = there_and_back(&cargo(), text);
    let expected = "[build]\r\njobs = 2\r\n[source.crates-io]\r\n# >>> cachalot >>>\r\n\
         replace-with = \"cachalot\"\r\n# <<< cachalot <<<\r\n\
         #cachalot#   replace-with = \"mirror\" # near\r\n\r\n[source.mirror]\r\n\
         registry = \"sparse+https://packages.example/\"\r\n\
         # >>> cachalot >>> (this line was begun by cachalot)\r\n[source.cachalot]\r\n\
         registry = \"sparse+http://cache.example:3142/cargo/\"\r\n# <<< cachalot <<<\r\n";
    assert_eq!(changed, expected);
}

#[test]
fn mirrors_of_before_come_after_the_cache() {
    let text =
        "debug = true\n[registry.\"registry.example\"]\n  mirrors = [\n    \"one.example\",\n  ]\n";
    let changed = there_and_back(&buildkit(), text);
    let begin = "debug = true\n[registry.\"registry.example\"]\n# >>> cachalot >>>\n\
         mirrors = [\"cache.example:3142\", \"one.example\"]\n# <<< cachalot <<<\n#cachalot#   mirrors";
    assert!(changed.starts_with(begin), "{changed}");
    assert!(
        changed.contains("\n[registry.\"cache.example:3142\"]\nhttp = true\n"),
        "{changed}"
    );

    let text =
        "{\n\t// mine\n\t\"registry-mirrors\": [ \"https://one.example\" ],\n\t\"debug\":true}";
    let changed = docker().apply(text).unwrap().text;
    assert_eq!(changed.matches("http://cache.example:3142").count(), 1);
    assert!(
        changed.find("cache.example") < changed.find("one.example"),
        "{changed}"
    );
    assert!(
        changed.starts_with("{\n\t// mine\n\t\"registry-mirrors\": ["),
        "{changed}"
    );
    assert!(changed.ends_with("],\n\t\"debug\":true}"), "{changed}");
}

#[test]
fn what_others_wrote_since_stays() {
    let applied = npm().apply("a=1\n").unwrap();
    let edited = applied.text.replace("# <<<", "mine=2\n# <<<") + "b=3";
    assert_eq!(applied.undo.strip(&edited).unwrap(), "mine=2\na=1\nb=3");

    // Somebody removed the last mark.
    let edited = applied.text.replace("# <<< cachalot <<<\n", "");
    assert_eq!(applied.undo.strip(&edited).unwrap(), "a=1\n");

    // Lines after a joined one keep their own line.
    let applied = pip().apply("[list]\nformat = columns").unwrap();
    let edited = format!("{}[wheel]\n", applied.text);
    assert_eq!(
        applied.undo.strip(&edited).unwrap(),
        "[list]\nformat = columns\n[wheel]\n"
    );

    let applied = docker().apply("{}").unwrap();
    let edited = applied.text.replace("[\"", "[\"https://mine.example\", \"");
    let stripped = applied.undo.strip(&edited).unwrap();
    let list: serde_json::Value = serde_json::from_str(&stripped).unwrap();
    assert_eq!(
        list["registry-mirrors"],
        serde_json::json!(["https://mine.example"])
    );
    let stripped = applied.undo.strip(&applied.text).unwrap();
    assert_eq!(stripped.split_whitespace().collect::<String>(), "{}");
}

/// Lines as they stand in such files, in any order, ended in either way or not at all.
fn files() -> impl Strategy<Value = String> {
    let lines = prop::sample::select(vec![
        "",
        "  ",
        "# c",
        "; c",
        "[global]",
        "[install]",
        "cert = y",
        "index-url = x",
        "  index_url: y",
        "trusted-host = a b",
        "    c",
        "registry=z",
        "registry \"z\"",
        "a = 1",
        "---",
        "npmRegistryServer: q",
        "unsafeHttpWhitelist:",
        "  - h",
        "[[index]]",
        "default = true",
        "[source.crates-io]",
        "replace-with = \"m\"",
        "[pip]",
        "mirrors = [",
        "]",
        "[registry.\"registry.example\"]",
        "mirrors = [\"o\"]",
        "é",
    ]);
    let text = (
        prop::collection::vec(lines, 0..12),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    text.prop_map(|(lines, crlf, ended, marked)| {
        let end = if crlf { "\r\n" } else { "\n" };
        let mut text = lines.join(end);
        if ended && !lines.is_empty() {
            text.push_str(end);
        }
        if marked {
            format!("\u{feff}{text}")
        } else {
            text
        }
    })
}

proptest! {
    #[test]
    fn an_edit_by_lines_comes_out_to_the_byte(text in files()) {
        let trusting = Edit::Pip { index: INDEX.to_owned(), trust: Trust::By("/a.pem".to_owned()) };
        for edit in [pip(), npm(), yarn(), uv(), cargo(), buildkit(), trusting] {
            if let Ok(applied) = edit.apply(&text) {
                prop_assert_eq!(&applied.undo.strip(&applied.text).unwrap(), &text);
                prop_assert_eq!(&without_blocks(&applied.text), &text);
            }
        }
    }
}
