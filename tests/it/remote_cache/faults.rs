//! What was evicted, and a server that dies: builds go on, and come to the same.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use cache_core::testing::pattern;
use cache_tests::{Bazel, Processes, Recc, Registry, TestServer};

use super::{PROJECT, SMALL, Seen, build, build_at};

/// How long a build may take until something happens in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// An action whose outputs were evicted runs again, and no build fails of it.
#[test]
fn what_was_evicted_is_built_again() -> Result<()> {
    let Some(bazel) = Bazel::new("what_was_evicted_is_built_again") else {
        return Ok(());
    };
    let server = forgetful();
    let first = build(&bazel, &server, PROJECT, "/src/first", "")?;
    evict(&server)?;
    let second = build(&bazel, &server, PROJECT, "/src/second", "")?;
    eprintln!("after eviction: {:?}", second.processes);
    second.is_as(&first)?;
    ensure!(second.processes.local() > 0, "nothing was evicted");
    ensure!(
        !second.printed.contains("WARNING: Remote Cache"),
        "{}",
        second.printed
    );
    Ok(())
}

/// A build that left the bytes in the cache has lost them: it finds out, and makes them.
#[test]
fn what_was_evicted_behind_a_build_without_the_bytes_is_built_again() -> Result<()> {
    let test = "what_was_evicted_behind_a_build_without_the_bytes_is_built_again";
    let Some(bazel) = Bazel::new(test) else {
        return Ok(());
    };
    let server = forgetful();
    build(&bazel, &server, PROJECT, "/src/first", "")?;
    let hand = tempfile::tempdir()?;
    let checkout = PROJECT.checkout("/src/second")?;
    let cache = format!("--remote_cache=grpc://{}", server.address());
    let script = format!(
        "build {cache} --remote_download_minimal; touch /hand/built
         set +x; until [ -e /hand/evicted ]; do sleep 0.1; done; set -x
         build_only //:run {cache} --remote_download_toplevel \
             --experimental_remote_cache_eviction_retries=10
         echo ANSWER $(cat bazel-bin/answer)"
    );
    let (built, evicted) = (hand.path().join("built"), hand.path().join("evicted"));
    let binds = [(hand.path(), "/hand")];
    let printed = std::thread::scope(|scope| {
        let session = scope.spawn(|| bazel.session_with(&checkout, &binds, &script));
        let done = wait_until(|| built.exists() || session.is_finished());
        let done = done.and_then(|()| evict(&server));
        let done = done.and_then(|()| checkout.change());
        // In any case: the session waits for it.
        fs::write(evicted, "")?;
        done.and(session.join().expect("no panic"))
    })?;
    let all = Processes::all_printed(&printed)?;
    eprintln!("behind a build without the bytes: {all:?}");
    let answer = format!("\nANSWER {}\n", PROJECT.answer());
    ensure!(printed.ends_with(&answer), "{printed}");
    Ok(())
}

#[test]
fn a_build_goes_on_when_the_server_is_killed() -> Result<()> {
    let Some(bazel) = Bazel::new("a_build_goes_on_when_the_server_is_killed") else {
        return Ok(());
    };
    let mut server = TestServer::start(&["--quota", "1GiB"]);
    let flags = "--remote_local_fallback --remote_retries=1 --remote_timeout=5s";
    let address = server.address();
    let built = std::thread::scope(|scope| {
        let build = scope.spawn(|| {
            let at = "/src/first";
            build_at(&bazel, &address, PROJECT, at, flags)
        });
        wait_until(|| Seen::by(&server, "bazel").actions.stored >= 20 || build.is_finished())?;
        let stored = Seen::by(&server, "bazel").actions.stored;
        server.kill();
        ensure!(stored < PROJECT.actions() as u64, "it was too late to kill");
        build.join().expect("no panic")
    })?;
    let processes = &built.processes;
    ensure!(processes.local() == PROJECT.actions(), "{processes:?}");

    // What was acknowledged is there, and the next machine has use for it.
    server.restart();
    let next = build(&bazel, &server, PROJECT, "/src/second", flags)?;
    eprintln!("after the kill: {:?}", next.processes);
    ensure!(next.processes.remote_hits() >= 20, "{:?}", next.processes);
    next.is_as(&built)?;
    Ok(())
}

/// Nor does it end one of recc's that there is no server at all.
#[test]
fn recc_compiles_by_itself_without_a_server() -> Result<()> {
    let Some(recc) = Recc::for_test("recc_compiles_by_itself_without_a_server") else {
        return Ok(());
    };
    let mut server = TestServer::start(&[]);
    server.stop();
    let checkout = SMALL.checkout("/src/project")?;
    let address = format!("http://{}", server.address());
    let (printed, counts) = recc.make(&checkout, &address, "RECC_REQUEST_TIMEOUT=5")?;
    ensure!(counts.hits() == 0, "{counts:?}");
    ensure!(
        printed.ends_with(&format!("\n{}\n", SMALL.answer())),
        "{printed}"
    );
    Ok(())
}

/// A server that keeps little, and that for a moment only.
fn forgetful() -> TestServer {
    let server = TestServer::fresh(&["--quota", "64MiB", "--log-level", "warn"]);
    let mut server = server
        .with_setting("store.lease", "2s")
        .with_setting("store.min_lease", "1s");
    server.restart();
    server
}

/// Pushes what nobody wants until some of what is there has to go.
#[tokio::main(flavor = "current_thread")]
async fn evict(server: &TestServer) -> Result<()> {
    let registry = Registry::new(&server.address(), "chaff");
    let evicted = || server.metric("cachalot_evicted_blobs_total", &[]);
    let start = Instant::now();
    let before = evicted();
    for seed in 0.. {
        if evicted() >= before + 100.0 {
            break;
        }
        ensure!(start.elapsed() < PATIENCE, "nothing is evicted");
        let chaff: Bytes = pattern(1 << 20, seed);
        // Refused while everything is leased.
        let _ = registry.push_blob(&chaff).await;
    }
    Ok(())
}

/// Waits for what a build will come to.
fn wait_until(happened: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !happened() {
        ensure!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
