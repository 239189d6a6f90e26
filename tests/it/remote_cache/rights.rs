//! What a token lets a build do.

use std::fs;

use anyhow::{Result, ensure};
use cache_tests::{Bazel, TestServer};
use tempfile::TempDir;

use super::{Built, SMALL, Seen, build, is_mostly};

/// What is behind the name in a token.
const SECRET: &str = "correct-horse";

#[test]
fn a_token_says_what_a_build_may_do() -> Result<()> {
    let Some(bazel) = Bazel::new("a_token_says_what_a_build_may_do") else {
        return Ok(());
    };
    let (_files, server) = with_tokens()?;
    let with = |token: &str, at: &str| {
        let flags = format!(
            "--remote_header=authorization='Bearer {token}' --remote_instance_name=team/app \
             --remote_local_fallback"
        );
        build(&bazel, &server, SMALL, at, &flags)
    };
    let denied = |built: &Built| {
        let said = built.printed.to_uppercase();
        said.contains("UNAUTHENTICATED") || said.contains("PERMISSION_DENIED")
    };
    let nothing = with("wrong", "/src/wrong")?;
    ensure!(
        nothing.processes.local() == SMALL.actions(),
        "{:?}",
        nothing.processes
    );
    ensure!(denied(&nothing), "it was not told: {}", nothing.printed);

    // A reader's build works, and leaves nothing behind.
    with("reader-correct-horse", "/src/reader")?;
    let seen = Seen::by(&server);
    ensure!(
        seen.actions.stored == 0 && seen.blobs.stored == 0,
        "{seen:?}"
    );

    let writer = with("writer-correct-horse", "/src/writer")?;
    ensure!(!denied(&writer), "it was denied: {}", writer.printed);
    let reader = with("reader-correct-horse", "/src/again")?;
    let (hits, all) = (reader.processes.remote_hits(), reader.processes.all());
    ensure!(is_mostly(hits as u64, all as u64), "{:?}", reader.processes);

    let other = with("other-correct-horse", "/src/other")?;
    ensure!(other.processes.remote_hits() == 0, "{:?}", other.processes);
    ensure!(denied(&other), "it was not told: {}", other.printed);
    Ok(())
}

/// A server that knows a writer and a reader of `team`, and somebody else.
fn with_tokens() -> Result<(TempDir, TestServer)> {
    let files = tempfile::tempdir()?;
    let config = files.path().join("config.toml");
    let token = |name: &str, grants: &str| -> Result<String> {
        let file = files.path().join(name);
        fs::write(&file, format!("{name}-{SECRET}\n"))?;
        Ok(format!(
            "[[auth.tokens]]\nname = {name:?}\ntoken_file = {file:?}\ngrants = {grants}\n"
        ))
    };
    let tokens = [
        token("writer", "{ write = [\"team\"] }")?,
        token("reader", "{ read = [\"team\"] }")?,
        token("other", "{ write = [\"other\"] }")?,
    ];
    fs::write(&config, tokens.concat())?;
    let server = TestServer::start(&["--config", &config.display().to_string()]);
    Ok((files, server))
}
