//! Real clients of the Remote Execution API: what one machine built, the next one, which
//! has another folder and no output yet, does not build again.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use cache_core::testing::pattern;
use cache_tests::{
    Bazel, CppProject, Outcomes, Processes, Recc, Registry, TestServer, recc::Counts,
};
use tempfile::TempDir;

/// More than 200 actions.
const PROJECT: CppProject = CppProject::of(200);

/// Enough where few actions show it.
const SMALL: CppProject = CppProject::of(20);

/// Tells what a build left behind: every path, every file's bytes, what the program says.
const OUTPUTS: &str = "(cd -P bazel-bin && find . -type d -o -type f | sort && \
     find . -type f | sort | xargs sha256sum && cat answer) | sed 's/^/OUTPUT /'";

/// How long a build may take until something happens in it.
const PATIENCE: Duration = Duration::from_secs(300);

/// What the token file holds.
const SECRET: &str = "correct-horse";

#[test]
fn bazel_4_builds_nothing_twice() -> Result<()> {
    let Some(bazel) = Bazel::old("bazel_4_builds_nothing_twice") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    nothing_is_built_twice(&bazel, &server, "")
}

#[test]
fn bazel_7_builds_nothing_twice() -> Result<()> {
    let Some(bazel) = Bazel::new("bazel_7_builds_nothing_twice") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    nothing_is_built_twice(&bazel, &server, "")
}

#[test]
fn bazel_7_builds_nothing_twice_by_blake3_and_zstd_in_an_instance() -> Result<()> {
    let test = "bazel_7_builds_nothing_twice_by_blake3_and_zstd_in_an_instance";
    let Some(bazel) = Bazel::new(test) else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    // A startup option: what is known of files is of one function.
    let bazel = bazel.with_startup("--digest_function=blake3");
    let flags = "--remote_cache_compression --experimental_remote_cache_compression_threshold=0 \
                 --remote_instance_name=team/app";
    nothing_is_built_twice(&bazel, &server, flags)?;
    // Nor is it seen from another instance.
    let other = build(
        &bazel,
        &server,
        SMALL,
        "/src/other",
        "--remote_instance_name=team/b",
    )?;
    ensure!(other.processes.remote_hits() == 0, "{:?}", other.processes);
    Ok(())
}

#[test]
fn recc_compiles_nothing_twice() -> Result<()> {
    let Some(recc) = Recc::for_test("recc_compiles_nothing_twice") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    let all = PROJECT.compilations() as u64;
    let first = compile(&recc, &server, "/src/first", "RECC_INSTANCE=")?;
    ensure!(first.hits() == 0 && first.misses() == all, "{first:?}");

    let start = Seen::by(&server);
    let second = compile(&recc, &server, "/home/second/checkout", "RECC_INSTANCE=")?;
    let seen = Seen::by(&server) - start;
    eprintln!("recc: {second:?}, {seen:?}");
    ensure!(
        is_mostly(second.hits(), second.hits() + second.misses()),
        "{second:?}"
    );
    seen.are_hits(all)
}

/// The bytes stay where they are until somebody wants them.
#[test]
fn a_build_without_the_bytes_reads_next_to_nothing() -> Result<()> {
    let Some(bazel) = Bazel::new("a_build_without_the_bytes_reads_next_to_nothing") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    build(&bazel, &server, PROJECT, "/src/first", "")?;
    let start = Seen::by(&server);
    let checkout = PROJECT.checkout("/src/second")?;
    let cache = format!("--remote_cache=grpc://{}", server.address());
    // Whoever asks for an output by name has it.
    let printed = bazel.session(
        &checkout,
        &format!(
            "build {cache} --remote_download_minimal; \
             build_only //:run {cache} --remote_download_toplevel; \
             echo ANSWER $(cat bazel-bin/answer)"
        ),
    )?;
    let seen = Seen::by(&server) - start;
    let processes = Processes::all_printed(&printed)?;
    eprintln!("without the bytes: {processes:?}, {seen:?}");
    let built = processes.first().context("a build")?;
    ensure!(
        is_mostly(built.remote_hits() as u64, built.all() as u64),
        "{built:?}"
    );
    ensure!(seen.blobs.hits < PROJECT.actions() as u64 / 10, "{seen:?}");
    ensure!(
        printed.contains(&format!("\nANSWER {}\n", PROJECT.answer())),
        "{printed}"
    );
    Ok(())
}

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
    ensure!(second.outputs == first.outputs, "other outputs");
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
         until [ -e /hand/evicted ]; do sleep 0.1; done
         sed -i 's/(sum + 0)/(sum + 1) - 1/' src/unit_0.cpp
         build {cache} --experimental_remote_cache_eviction_retries=5; {OUTPUTS}"
    );
    let (built, evicted) = (hand.path().join("built"), hand.path().join("evicted"));
    let binds = [(hand.path(), "/hand")];
    let printed = std::thread::scope(|scope| {
        let session = scope.spawn(|| bazel.session_with(&checkout, &binds, &script));
        let done = wait_until(|| built.exists() || session.is_finished());
        let done = done.and_then(|()| evict(&server));
        // In any case: the session waits for it.
        fs::write(evicted, "")?;
        done.and(session.join().expect("no panic"))
    })?;
    let all = Processes::all_printed(&printed)?;
    eprintln!("behind a build without the bytes: {all:?}");
    let answer = format!("\nOUTPUT {}\n", PROJECT.answer());
    ensure!(printed.contains(&answer), "{printed}");
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
        wait_until(|| Seen::by(&server).actions.stored >= 20 || build.is_finished())?;
        let stored = Seen::by(&server).actions.stored;
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
    ensure!(next.outputs == built.outputs, "other outputs");
    Ok(())
}

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

/// A first build runs everything; one elsewhere has it all from the cache.
fn nothing_is_built_twice(bazel: &Bazel, server: &TestServer, flags: &str) -> Result<()> {
    let all = PROJECT.actions();
    let first = build(bazel, server, PROJECT, "/src/first", flags)?;
    let ran = &first.processes;
    ensure!(
        ran.local() == all && ran.all() == all,
        "{ran:?}, and not {all}"
    );

    let start = Seen::by(server);
    let second = build(bazel, server, PROJECT, "/home/second/checkout", flags)?;
    let seen = Seen::by(server) - start;
    eprintln!("first {ran:?}; second {:?}; {seen:?}", second.processes);
    let hits = second.processes.remote_hits() as u64;
    ensure!(is_mostly(hits, all as u64), "{:?}", second.processes);
    ensure!(second.outputs == first.outputs, "{}", second.printed);
    seen.are_hits(all as u64)
}

/// A build that succeeded.
struct Built {
    printed: String,
    processes: Processes,
    outputs: Vec<String>,
}

fn build(
    bazel: &Bazel,
    server: &TestServer,
    project: CppProject,
    at: &str,
    flags: &str,
) -> Result<Built> {
    build_at(bazel, &server.address(), project, at, flags)
}

fn build_at(
    bazel: &Bazel,
    address: &str,
    project: CppProject,
    at: &str,
    flags: &str,
) -> Result<Built> {
    let checkout = project.checkout(at)?;
    let script = format!("build --remote_cache=grpc://{address} {flags}; {OUTPUTS}");
    let printed = bazel.session(&checkout, &script)?;
    let outputs = printed.lines().filter(|line| line.starts_with("OUTPUT "));
    let outputs: Vec<String> = outputs.map(str::to_owned).collect();
    let answer = format!("OUTPUT {}", project.answer());
    ensure!(
        outputs.last() == Some(&answer),
        "{answer} is not in:\n{printed}"
    );
    Ok(Built {
        processes: Processes::from_printed(&printed)?,
        printed,
        outputs,
    })
}

fn compile(recc: &Recc, server: &TestServer, at: &str, settings: &str) -> Result<Counts> {
    let address = format!("http://{}", server.address());
    let checkout = PROJECT.checkout(at)?;
    let (printed, counts) = recc.make(&checkout, &address, settings)?;
    let answer = PROJECT.answer().to_string();
    ensure!(printed.lines().last() == Some(&answer), "{printed}");
    Ok(counts)
}

/// What the server counted: actions that were asked for and stored, and blobs.
#[derive(Clone, Copy, Debug)]
struct Seen {
    actions: Outcomes,
    blobs: Outcomes,
}

impl Seen {
    fn by(server: &TestServer) -> Self {
        let of = |class| Outcomes::labelled(server, &["protocol=\"reapi\"", class]);
        Self {
            actions: of("class=\"index\""),
            blobs: of("class=\"immutable\""),
        }
    }

    /// Nearly all actions were found, every blob of theirs, and nothing failed.
    fn are_hits(&self, actions: u64) -> Result<()> {
        let Outcomes { hits, misses, .. } = self.actions;
        ensure!(hits + misses >= actions, "too few were asked for: {self:?}");
        ensure!(is_mostly(hits, hits + misses), "{self:?}");
        ensure!(
            self.blobs.misses == 0 && self.blobs.partial == 0,
            "{self:?}"
        );
        ensure!(self.actions.errors + self.blobs.errors == 0, "{self:?}");
        Ok(())
    }
}

impl std::ops::Sub for Seen {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            actions: self.actions - earlier.actions,
            blobs: self.blobs - earlier.blobs,
        }
    }
}

/// At least 95 %.
const fn is_mostly(hits: u64, all: u64) -> bool {
    all > 0 && hits * 100 >= all * 95
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
    let server = TestServer::start(&["--config", &text(&config)]);
    Ok((files, server))
}

fn text(path: &Path) -> String {
    path.display().to_string()
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
