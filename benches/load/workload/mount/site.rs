//! Where jobs run: a server, a client root, and builders of which each is an empty folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Root, TestServer, program,
    root::{Run, push_base, text},
};
use tempfile::TempDir;

/// The mount that a build has, as it is told in Dockerfiles.
pub(super) const MOUNT: &str = "--mount=type=cache,id=npm,target=/root/.npm";

/// Where a client root has the folder of the jobs.
const WORK: &str = "/work";

/// Prints how many files there are and what is in them, without what our client keeps there.
const DIGEST: &str = "find . -type f ! -name .cachalot-index | LC_ALL=C sort >/tmp/files; \
     wc -l </tmp/files; xargs -d '\\n' sha256sum </tmp/files | sha256sum";

/// What a build does to a cache: in the cache's folder, with the change's as `$1`.
const APPLY: &str = "set -eu
cp -R \"$1/add/.\" .
xargs -d '\\n' rm -- <\"$1/remove\"
cd \"$1/append\"
find . -type f >/tmp/append
cd - >/dev/null
while read -r path; do cat \"$1/append/$path\" >>\"$path\"; done </tmp/append
";

/// What all jobs share.
#[derive(Debug)]
pub(super) struct Site {
    root: Root,
    server: TestServer,
    folder: TempDir,
}

/// One way, there or back.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Leg {
    /// Between the builder and what keeps the cache: our server, or a folder of CI.
    pub(super) carried: Duration,
    /// The same if the build is told not to compress its image.
    pub(super) uncompressed: Duration,
    /// Between that folder and the server that keeps it.
    pub(super) archived: Duration,
    /// That the server received, or sent.
    pub(super) moved: u64,
}

impl Site {
    pub(super) fn open(root: Root, data: &Path, jobs: &Path) -> Result<Self> {
        let server = TestServer::start_in(&data.join("mount"), &["--quota", "8GiB"]);
        let base = format!("{}/base/debian:1", server.address());
        push_base("debian", &base)?;
        let folder = tempfile::Builder::new().prefix("mount-").tempdir_in(jobs)?;
        let site = Self {
            root,
            server,
            folder,
        };
        for folder in ["truth", "change", "empty", "out", "host"] {
            fs::create_dir_all(site.path(folder))?;
        }
        site.write("change/apply", APPLY)?;
        for (name, run) in [
            ("project", format!("{MOUNT} npm ci")),
            (
                "change",
                format!(
                    "{MOUNT} --mount=type=bind,target=/change \
                     cd /root/.npm && sh /change/apply /change"
                ),
            ),
            (
                "inject",
                format!("{MOUNT} --mount=type=bind,target=/from cp -p -R /from/. /root/.npm/"),
            ),
            (
                "extract",
                format!("{MOUNT} mkdir /cache && cp -p -R /root/.npm/. /cache/"),
            ),
            (
                "look",
                format!("{MOUNT} mkdir /said && cd /root/.npm && ({DIGEST}) >/said/said"),
            ),
        ] {
            // Another number is another step, so that none is taken for known.
            let text = format!("FROM {base} AS run\nARG NUMBER\nRUN {run}\n");
            site.write(&format!("{name}.Dockerfile"), &text)?;
        }
        site.append(
            "look.Dockerfile",
            "FROM scratch\nCOPY --from=run /said/ /\n",
        )?;
        Ok(site)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        fs::write(self.path(name), text).with_context(|| name.to_owned())
    }

    fn append(&self, name: &str, text: &str) -> Result<()> {
        let before = fs::read_to_string(self.path(name))?;
        self.write(name, &(before + text))
    }

    /// A file or folder that jobs see below `/work`.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("work").join(name)
    }

    /// The cache as it should be.
    pub(super) fn truth(&self) -> PathBuf {
        self.path("truth")
    }

    /// What the next build does to it.
    pub(super) fn change(&self) -> PathBuf {
        self.path("change")
    }

    /// `http://host:port`.
    pub(super) fn server(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Makes of the cache as it should be what the next build will make of it.
    pub(super) fn apply_change(&self) -> Result<()> {
        let mut command = Command::new("sh");
        command.arg(self.path("change/apply")).arg(self.change());
        printed(command.current_dir(self.truth())).map(drop)
    }

    /// As a builder tells it of its mount.
    pub(super) fn digest_of(&self, folder: &Path) -> Result<String> {
        let mut command = Command::new("sh");
        printed(command.args(["-c", DIGEST]).current_dir(folder))
    }

    /// Runs a program on this machine.
    pub(super) fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(words[0]);
        printed(command.args(&words[1..])).map(drop)
    }

    /// Runs our client on this machine.
    pub(super) fn client(&self, words: &[&str]) -> Result<()> {
        let mut command = Command::new(program::path("cachalot"));
        command.args(["--server", &self.server()]);
        printed(command.args(words)).map(drop)
    }

    /// Bytes of request bodies so far.
    pub(super) fn received(&self) -> u64 {
        self.server.metric("cachalot_request_bytes_total", &[]) as u64
    }

    /// Bytes of response bodies so far.
    pub(super) fn sent(&self) -> u64 {
        self.server.metric("cachalot_response_bytes_total", &[]) as u64
    }

    /// A builder that has nothing in the mount, and nothing but the base image otherwise.
    pub(super) fn empty_builder(&self) -> Result<Builder<'_>> {
        let state = tempfile::Builder::new()
            .prefix("builder-")
            .tempdir_in(self.folder.path())?;
        let builder = Builder { site: self, state };
        let held = builder.holds()?;
        ensure!(held.starts_with("0\n"), "it is not empty: {held}");
        Ok(builder)
    }
}

/// Docker in the client root. Its daemon is started for each script, its state stays.
#[derive(Debug)]
pub(super) struct Builder<'a> {
    site: &'a Site,
    state: TempDir,
}

impl Builder<'_> {
    /// Runs commands and gives what they print.
    pub(super) fn run(&self, commands: &str) -> Result<String> {
        let run = Run::default()
            .with_docker(self.state.path())
            .with_bind(&self.site.path(""), WORK)
            .with_bind(&program::path("cachalot"), "/usr/bin/cachalot");
        let script = format!("set -eu; cd {WORK}; {commands}");
        let output = self.site.root.run(&run, &["bash", "-c", &script])?;
        text(&output).with_context(|| commands.to_owned())
    }

    /// Runs commands and tells how long they took, without the start of the daemon. What
    /// was written before is on its disk first.
    pub(super) fn timed(&self, commands: &str) -> Result<Duration> {
        let said = self.run(&format!(
            "sync; begun=$(date +%s%N); ({commands}) >&2; echo $(($(date +%s%N) - begun))"
        ))?;
        Ok(Duration::from_nanos(said.trim().parse()?))
    }

    /// How many files are in the mount, and a digest of all of them.
    pub(super) fn holds(&self) -> Result<String> {
        let look = build("look", "empty");
        self.run(&format!(
            "{look} --output type=local,dest=out >&2; cat out/said"
        ))
    }

    /// Does to the mount what a build does.
    pub(super) fn change(&self) -> Result<()> {
        self.run(&format!("{} >&2", build("change", "change")))
            .map(drop)
    }
}

/// The words that build one of our Dockerfiles with a context.
pub(super) fn build(name: &str, context: &str) -> String {
    format!(
        "docker buildx build --network host --build-arg NUMBER=$(date +%s%N) \
         --file {name}.Dockerfile {context}"
    )
}

/// Runs something and tells how long it took.
pub(super) fn timed(work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let begun = Instant::now();
    work()?;
    Ok(begun.elapsed())
}

fn printed(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{command:?}"))?;
    text(&output).with_context(|| format!("{command:?}"))
}
