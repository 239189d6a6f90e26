//! `cachalot setup` and `unsetup`: what was on a machine before is there after, to the byte,
//! whatever it was and whatever came in between.

mod docker;
mod machine;
mod tls;
mod tools;
mod variants;

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use cache_tests::{skip, tool::has};
use serde_json::Value;

use self::{
    machine::{Machine, difference},
    variants::variants,
};

const SERVER: &str = "http://cache.example:3142";
const ALL: &str = "apt,pip,uv,npm,pnpm,yarn,cargo,docker,buildkit";

#[test]
fn trees_are_the_same_before_and_after() -> Result<()> {
    let all = variants();
    ensure!(all.len() >= 20, "{} variants", all.len());
    for variant in all {
        there_and_back(variant).with_context(|| variant.name)?;
    }
    Ok(())
}

fn there_and_back(variant: &variants::Variant) -> Result<()> {
    let machine = Machine::of(variant)?;
    let before = machine.tree()?;
    for scope in ["", "--user", "--system"] {
        let more: Vec<&str> = [scope].into_iter().filter(|it| !it.is_empty()).collect();
        let words = ["setup", "--only", ALL, "--registry", "registry.example"];
        let words = [&words[..], &more].concat();
        let dry = machine.cachalot(&[&words[..], &["--dry-run"]].concat())?;
        ensure!(
            machine.tree()? == before,
            "a dry run changed {}",
            machine.changes(&before)?
        );

        let first = machine.cachalot(&words)?;
        let after = machine.tree()?;
        ensure!(after != before, "{scope}: setup did nothing: {first:#}");
        ensure!(
            paths(&dry, "files") == paths(&first, "files"),
            "{dry:#}, {first:#}"
        );
        if scope.is_empty() {
            let failed = failures(&first);
            let expected = variant.refused.iter().map(|it| (*it).to_owned()).collect();
            ensure!(failed == expected, "{first:#}");
        }
        let second = machine.cachalot(&words)?;
        let third = machine.tree()?;
        ensure!(
            third == after,
            "twice is not once: {}",
            difference(&after, &third)
        );
        ensure!(
            done(&second).iter().all(|it| *it == "unchanged"),
            "{second:#}"
        );

        machine.cachalot(&[&["unsetup", "--dry-run"], &more[..]].concat())?;
        ensure!(
            machine.tree()? == after,
            "a dry run of unsetup changed something"
        );
        let undone = machine.cachalot(&[&["unsetup"], &more[..]].concat())?;
        ensure!(failures(&undone).is_empty(), "{undone:#}");
        ensure!(
            machine.tree()? == before,
            "{scope}: {} {undone:#}",
            machine.changes(&before)?
        );
        machine.cachalot(&[&["unsetup"], &more[..]].concat())?;
        ensure!(
            machine.tree()? == before,
            "a second unsetup changed something"
        );
    }
    Ok(())
}

fn list<'a>(report: &'a Value, name: &str) -> &'a [Value] {
    report[name].as_array().map_or(&[], Vec::as_slice)
}

fn paths(report: &Value, name: &str) -> Vec<String> {
    list(report, name)
        .iter()
        .map(|it| it["path"].to_string())
        .collect()
}

fn done(report: &Value) -> Vec<&str> {
    list(report, "files")
        .iter()
        .filter_map(|it| it["done"].as_str())
        .collect()
}

/// The tools that something could not be done for.
fn failures(report: &Value) -> BTreeSet<String> {
    let tools = list(report, "failed")
        .iter()
        .flat_map(|it| list(it, "tools"));
    tools
        .filter_map(|tool| Some(tool.as_str()?.to_owned()))
        .collect()
}

#[test]
fn tools_are_undone_one_by_one_and_share_files() -> Result<()> {
    for variant in variants().iter().filter(|it| it.refused.is_empty()) {
        let machine = Machine::of(variant)?;
        let before = machine.tree()?;
        machine.cachalot(&["setup", "--only", ALL, "--registry", "registry.example"])?;
        let shared = machine.cachalot(&["unsetup", "--only", "npm"])?;
        ensure!(done(&shared) == ["shared"], "{shared:#}");
        for tool in ALL.split(',') {
            machine.cachalot(&["unsetup", "--only", tool])?;
        }
        ensure!(
            machine.tree()? == before,
            "{}: {}",
            variant.name,
            machine.changes(&before)?
        );
    }
    Ok(())
}

#[test]
fn another_server_takes_the_place_of_the_first() -> Result<()> {
    for variant in variants().iter().filter(|it| it.refused.is_empty()) {
        let machine = Machine::of(variant)?;
        let before = machine.tree()?;
        let words = ["setup", "--only", ALL, "--registry", "registry.example"];
        machine.cachalot(&words)?;
        let other = ["--server", "https://other.example"];
        machine.cachalot(&[&words[..], &other].concat())?;
        let after = machine.tree()?;
        let text = machine.text()?;
        ensure!(
            !text.contains("http://cache.example"),
            "{}: {text}",
            variant.name
        );
        machine.cachalot(&["unsetup"])?;
        ensure!(
            machine.tree()? == before,
            "{}: {}",
            variant.name,
            machine.changes(&before)?
        );
        ensure!(after != before);
    }
    Ok(())
}

/// Lines that people add, after the last of a file.
const ADDED: [(&str, &str); 6] = [
    ("home/.npmrc", "fund=false\n"),
    ("home/.config/pip/pip.conf", "[list]\nformat = columns\n"),
    ("home/.config/uv/uv.toml", "[pip]\nstrict = true\n"),
    ("home/.cargo/config.toml", "[net]\nretry = 3\n"),
    ("home/.yarnrc.yml", "nodeLinker: pnp\n"),
    ("etc/apt/apt.conf.d/01cachalot", "Acquire::Retries \"3\";\n"),
];

#[test]
fn what_people_wrote_since_stays() -> Result<()> {
    for name in ["nothing but folders", "comments", "other mirrors"] {
        let variant = variants().iter().find(|it| it.name == name);
        let machine = Machine::of(variant.context("the variant")?)?;
        for (path, added) in ADDED {
            // As it would be without a setup in between.
            let path = machine.path(path);
            let mut expected = fs::read_to_string(&path).unwrap_or_default();
            expected.push_str(added);
            machine.cachalot(&["setup", "--only", ALL, "--registry", "registry.example"])?;
            let text = fs::read_to_string(&path)? + added;
            fs::write(&path, text)?;
            machine.cachalot(&["setup", "--only", ALL, "--registry", "registry.example"])?;
            machine.cachalot(&["unsetup"])?;
            let left = fs::read_to_string(&path)?;
            ensure!(left == expected, "{name}: {left}\nis not\n{expected}");
        }
        let text = machine.text()?;
        ensure!(
            !text.contains("# >>> cachalot") && !text.contains("#cachalot#"),
            "{text}"
        );
    }
    Ok(())
}

#[test]
fn what_people_removed_since_does_not_come_back() -> Result<()> {
    let machine = Machine::of(&variants()[0])?;
    machine.cachalot(&["setup", "--only", ALL, "--registry", "registry.example"])?;
    fs::remove_file(machine.path("home/.npmrc"))?;
    machine.cachalot(&["unsetup"])?;
    ensure!(!machine.path("home/.npmrc").exists());
    ensure!(
        !machine.path("home/.local/state/cachalot").exists(),
        "the journal stayed"
    );
    Ok(())
}

#[test]
fn a_damaged_or_newer_journal_stops_everything() -> Result<()> {
    for damage in [
        "{\"version\": 1, \"entr",
        "",
        "{\"version\": 77, \"entries\": []}",
    ] {
        let machine = Machine::of(&variants()[0])?;
        machine.cachalot(&["setup", "--only", "npm,pip,apt"])?;
        let journal = machine.path("home/.local/state/cachalot/setup.json");
        fs::write(journal, damage)?;
        let before = machine.tree()?;
        for words in [&["unsetup"][..], &["setup", "--only", "npm"]] {
            let failed = machine.run(words)?;
            let said = String::from_utf8_lossy(&failed.stderr);
            ensure!(failed.status.code() == Some(1), "{failed:?}");
            ensure!(
                said.contains("setup.json") && said.contains("nothing was touched"),
                "{said}"
            );
            ensure!(machine.tree()? == before, "something was touched");
        }
    }
    Ok(())
}

#[test]
fn without_its_journal_setup_finds_its_own_lines() -> Result<()> {
    let variant = variants().iter().find(|it| it.name == "other mirrors");
    let machine = Machine::of(variant.context("the variant")?)?;
    let before = fs::read_to_string(machine.path("home/.npmrc"))?;
    machine.cachalot(&["setup", "--only", "npm,pip,cargo"])?;
    fs::remove_file(machine.path("home/.local/state/cachalot/setup.json"))?;
    machine.cachalot(&["setup", "--only", "npm,pip,cargo"])?;
    machine.cachalot(&["unsetup"])?;
    ensure!(fs::read_to_string(machine.path("home/.npmrc"))? == before);
    Ok(())
}

/// Tools with every kind of file.
const SOME: &str = "apt,pip,npm,yarn,docker";
/// What changes anything on the disk.
const CALLS: &str = "mkdir,rename,fsync,write,fchmod,chmod,unlink,rmdir,utimensat";

#[test]
fn killed_anywhere_setup_can_be_undone() -> Result<()> {
    killed_anywhere(&["setup", "--only", SOME])
}

#[test]
fn killed_anywhere_unsetup_can_be_repeated() -> Result<()> {
    killed_anywhere(&["unsetup"])
}

fn killed_anywhere(words: &[&str]) -> Result<()> {
    if !has("strace") {
        skip("killed_anywhere", "there is no strace");
        return Ok(());
    }
    let variant = variants().iter().find(|it| it.name == "other mirrors");
    let variant = variant.context("the variant")?;
    // Nothing is left of a journal that was never written but the folders for it.
    let leave = |path: &String| !path.starts_with("home/.local") && !path.starts_with("var");
    let mut kills = 0;
    for number in 1.. {
        let machine = Machine::of(variant)?;
        let mut before = machine.tree()?;
        if words[0] == "unsetup" {
            machine.cachalot(&["setup", "--only", SOME])?;
        }
        let killed = machine.run_killed(words, CALLS, number)?;
        machine
            .cachalot(&["unsetup"])
            .with_context(|| format!("killed at {number}"))?;
        let mut after = machine.tree()?;
        before.retain(|path, _| leave(path));
        after.retain(|path, _| leave(path));
        ensure!(
            after == before,
            "killed at {number}: {}",
            difference(&before, &after)
        );
        if !killed {
            break;
        }
        kills += 1;
    }
    eprintln!("{kills} kills");
    ensure!(kills > 20, "only {kills}");
    Ok(())
}
