//! What a token lets a build do, and that it comes over TLS.

use std::{fs, path::PathBuf};

use anyhow::{Result, ensure};
use cache_tests::{Bazel, Recc, TestServer};
use tempfile::TempDir;

use super::{Built, SMALL, Seen, build, is_mostly};

/// What is behind the name in a token.
const SECRET: &str = "correct-horse";

#[test]
fn a_token_says_what_a_build_may_do() -> Result<()> {
    let Some(bazel) = Bazel::new("a_token_says_what_a_build_may_do") else {
        return Ok(());
    };
    let (_files, config) = tokens()?;
    let server = TestServer::start(&["--config", &config.display().to_string()]);
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
    let seen = Seen::by(&server, "bazel");
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

/// Debian's Bazels do not speak TLS: their Java knows no ALPN.
#[test]
fn recc_brings_its_token_over_tls() -> Result<()> {
    let Some(recc) = Recc::for_test("recc_brings_its_token_over_tls") else {
        return Ok(());
    };
    let (files, config) = tokens()?;
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let (cert, key) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    fs::write(&cert, pair.cert.pem())?;
    fs::write(&key, pair.signing_key.serialize_pem())?;
    let tls = format!("[tls]\ncert = {cert:?}\nkey = {key:?}\n");
    fs::write(&config, fs::read_to_string(&config)? + &tls)?;
    let server = TestServer::start(&["--config", &config.display().to_string()]);
    let binds = [(files.path(), "/tls")];
    let address = format!("https://{}", server.address());
    let settings = "RECC_INSTANCE=team RECC_SERVER_CERT=/tls/cert.pem \
                    RECC_ACCESS_TOKEN_PATH=/tls/writer";
    for (at, hits) in [("/src/first", 0), ("/src/second", SMALL.compilations())] {
        let checkout = SMALL.checkout(at)?;
        let (_, counts) = recc.make_with(&checkout, &binds, &address, settings)?;
        ensure!(counts.hits() == hits as u64, "{at}: {counts:?}");
    }
    Ok(())
}

/// A configuration that knows a writer and a reader of `team`, and somebody else.
fn tokens() -> Result<(TempDir, PathBuf)> {
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
    Ok((files, config))
}
