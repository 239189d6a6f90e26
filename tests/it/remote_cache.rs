//! Real clients of the Remote Execution API: what one machine built, the next one, which
//! has another folder and no output yet, does not build again.

mod faults;
mod rights;

use anyhow::{Context, Result, ensure};
use cache_tests::{Bazel, CppProject, Outcomes, Processes, Recc, TestServer, recc::Counts};

/// More than 200 actions.
const PROJECT: CppProject = CppProject::of(200);

/// Enough where few actions show it.
const SMALL: CppProject = CppProject::of(20);

/// Tells what a build left behind: every path, every file's bytes, what the program says.
/// No cache of Bazel's keeps an empty folder.
const OUTPUTS: &str = "(cd -P bazel-bin; find . -type d -not -empty -o -type f | sort; \
     find . -type f | sort | xargs sha256sum; cat answer) >/tmp/outputs; \
     sed 's/^/OUTPUT /' /tmp/outputs";

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
    // Startup options: what is known of files is of one function, and Debian's Bazel does
    // not find its zstd.
    let bazel = bazel.with_startup(
        "--digest_function=blake3 --host_jvm_args=-Djava.library.path=/usr/lib/$(uname -m)-linux-gnu",
    );
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

    let start = Seen::by(&server, "recc");
    let second = compile(&recc, &server, "/home/second/checkout", "RECC_INSTANCE=")?;
    let seen = Seen::by(&server, "recc") - start;
    eprintln!("recc: {second:?}, {seen:?}");
    ensure!(
        is_mostly(second.hits(), second.hits() + second.misses()),
        "{second:?}"
    );
    seen.are_hits(all)
}

/// Files of all sizes, links and modes, by `GetTree` and streams and batches.
#[test]
fn buildbox_gives_a_folder_back_as_it_was() -> Result<()> {
    let Some(recc) = Recc::for_test("buildbox_gives_a_folder_back_as_it_was") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    let address = format!("http://{}", server.address());
    for instance in ["", "team/app"] {
        let script = format!(
            "mkdir -p /tmp/it/deep/none /tmp/it/many; cd /tmp/it
             for file in $(seq 300); do echo $file >many/$file; done
             head -c 30000000 /dev/urandom >large; : >blank; cp /bin/true program
             ln -s many/1 link
             remote='--remote={address} --instance={instance}'
             casupload $remote --output-digest-file=/tmp/digest /tmp/it
             casupload $remote /tmp/it
             casdownload $remote --root-digest=$(cat /tmp/digest) --destination-dir=/tmp/back
             list() {{ (cd $1; find . -printf '%p %y %#m %l\\n' | sort); }}
             diff <(list /tmp/it) <(list /tmp/back)
             diff -r --no-dereference /tmp/it /tmp/back; echo SAME"
        );
        let printed = recc.shell(&script)?;
        ensure!(printed.ends_with("\nSAME\n"), "{printed}");
    }
    let seen = Seen::by(&server, "other");
    ensure!(seen.blobs.hits > 0 && seen.blobs.stored > 0, "{seen:?}");
    ensure!(seen.blobs.errors == 0 && seen.blobs.misses == 0, "{seen:?}");
    Ok(())
}

/// The bytes stay where they are until somebody wants them.
#[test]
fn a_build_without_the_bytes_reads_next_to_nothing() -> Result<()> {
    let Some(bazel) = Bazel::new("a_build_without_the_bytes_reads_next_to_nothing") else {
        return Ok(());
    };
    let server = TestServer::start(&["--quota", "1GiB"]);
    build(&bazel, &server, PROJECT, "/src/first", "")?;
    let start = Seen::by(&server, "bazel");
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
    let seen = Seen::by(&server, "bazel") - start;
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

/// A first build runs everything; one elsewhere has it all from the cache.
fn nothing_is_built_twice(bazel: &Bazel, server: &TestServer, flags: &str) -> Result<()> {
    let all = PROJECT.actions();
    let first = build(bazel, server, PROJECT, "/src/first", flags)?;
    let ran = &first.processes;
    ensure!(
        ran.local() == all && ran.all() == all,
        "{ran:?}, and not {all}"
    );

    let start = Seen::by(server, "bazel");
    let second = build(bazel, server, PROJECT, "/home/second/checkout", flags)?;
    let seen = Seen::by(server, "bazel") - start;
    eprintln!("first {ran:?}; second {:?}; {seen:?}", second.processes);
    let hits = second.processes.remote_hits() as u64;
    ensure!(is_mostly(hits, all as u64), "{:?}", second.processes);
    second.is_as(&first)?;
    seen.are_hits(all as u64)
}

/// A build that succeeded.
pub(crate) struct Built {
    printed: String,
    processes: Processes,
    outputs: Vec<String>,
}

impl Built {
    /// Whether it came to the same, byte for byte.
    fn is_as(&self, other: &Self) -> Result<()> {
        let differ = self.outputs.iter().filter(|it| !other.outputs.contains(it));
        let differ: Vec<_> = differ.take(10).collect();
        let (here, there) = (self.outputs.len(), other.outputs.len());
        ensure!(
            here == there && differ.is_empty(),
            "{here}, {there}: {differ:?}"
        );
        Ok(())
    }
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
    /// Of what the client of this name asked for.
    fn by(server: &TestServer, client: &str) -> Self {
        let client = format!("client=\"{client}\"");
        let of = |class| Outcomes::labelled(server, &["protocol=\"reapi\"", &client, class]);
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
