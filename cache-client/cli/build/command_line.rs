//! The build's own command line: what it builds with, and which flags are the user's.

use anyhow::{Result, bail, ensure};

/// A command line that builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommandLine {
    words: Vec<String>,
    verb: Verb,
    /// Where the verb's own flags begin.
    at: usize,
}

/// Which of Docker's builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `docker build`, `docker buildx build` and their aliases.
    Build,
    /// `docker buildx bake`.
    Bake,
    /// `docker compose build`.
    Compose,
}

/// A word behind the verb, or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// A flag by its long name, with its value if it has one.
    Flag(&'a str, Option<&'a str>),
    /// A context, a target or a service.
    Name(&'a str),
}

/// Flags that take the next word, if it does not stand behind a `=`.
const DOCKER: &[&str] = &[
    "--config",
    "--context",
    "--host",
    "--log-level",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "-c",
    "-H",
    "-l",
];
const BUILDX: &[&str] = &["--builder"];
const COMPOSE: &[&str] = &[
    "--ansi",
    "--env-file",
    "--file",
    "--parallel",
    "--profile",
    "--progress",
    "--project-directory",
    "--project-name",
    "--workdir",
    "-f",
    "-p",
];
const BUILD: &[&str] = &[
    "--add-host",
    "--allow",
    "--annotation",
    "--attest",
    "--build-arg",
    "--build-context",
    "--builder",
    "--cache-from",
    "--cache-to",
    "--call",
    "--cgroup-parent",
    "--cpu-period",
    "--cpu-quota",
    "--cpu-shares",
    "--cpuset-cpus",
    "--cpuset-mems",
    "--file",
    "--iidfile",
    "--isolation",
    "--label",
    "--list",
    "--memory",
    "--memory-swap",
    "--metadata-file",
    "--network",
    "--no-cache-filter",
    "--output",
    "--platform",
    "--policy",
    "--progress",
    "--provenance",
    "--sbom",
    "--secret",
    "--security-opt",
    "--set",
    "--shm-size",
    "--ssh",
    "--tag",
    "--target",
    "--ulimit",
    "--var",
    "-c",
    "-f",
    "-m",
    "-o",
    "-t",
];

impl CommandLine {
    /// Finds the verb.
    pub(crate) fn parse(words: Vec<String>) -> Result<Self> {
        let Some(program) = words.first() else {
            bail!("what is to be built? as in: cachalot build -- docker buildx build .");
        };
        let program = file_name(program);
        let (at, verb) = match program {
            "docker" => behind_docker(&words)?,
            "docker-compose" => (behind(&words, 1, COMPOSE), Some(Verb::Compose)),
            "docker-buildx" | "buildx" => behind_buildx(&words, 1),
            "podman" | "buildah" | "nerdctl" | "kaniko" => bail!(
                "{program} does not take BuildKit's cache options; give it a repository of the \
                 server instead, as --cache-from and --cache-to HOST/cache/PROJECT"
            ),
            _ => bail!("{program} is no build command that is known here"),
        };
        let Some(verb) = verb else {
            bail!("`{}` does not build", words.join(" "));
        };
        let at = match verb {
            Verb::Compose => {
                let word = words.get(at).map(String::as_str);
                ensure!(
                    word == Some("build"),
                    "of compose's commands only build builds"
                );
                at + 1
            }
            Verb::Build | Verb::Bake => at,
        };
        Ok(Self { words, verb, at })
    }

    pub(crate) const fn verb(&self) -> Verb {
        self.verb
    }

    /// All words, as they were given.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// What stands before the verb's own flags, the verb included.
    pub(crate) fn head(&self) -> &[String] {
        &self.words[..self.at]
    }

    /// Another command of the same program, with the same connection to the daemon.
    pub(crate) fn beside(&self, words: &[&str]) -> Vec<String> {
        let globals = match self.behind_globals() {
            Some(at) => self.words[..at].to_vec(),
            None => vec!["docker".to_owned()],
        };
        let words = words.iter().map(|word| (*word).to_owned());
        globals.into_iter().chain(words).collect()
    }

    /// Where compose's own flags begin: behind `docker compose`, or behind the program that
    /// is compose alone.
    pub(crate) fn behind_compose(&self) -> usize {
        let at = self.behind_globals().map_or(1, |at| at + 1);
        at.min(self.at)
    }

    /// Where docker's own flags end, unless the program is a plugin called by itself.
    fn behind_globals(&self) -> Option<usize> {
        (file_name(&self.words[0]) == "docker").then(|| behind(&self.words, 1, DOCKER))
    }

    /// The same command line with further flags before the user's.
    pub(crate) fn with(&self, flags: impl IntoIterator<Item = String>) -> Self {
        let mut words = self.words[..self.at].to_vec();
        words.extend(flags);
        words.extend_from_slice(&self.words[self.at..]);
        Self {
            words,
            ..self.clone()
        }
    }

    /// Other words for the same verb, whose flags begin at `at`.
    pub(crate) fn replaced(&self, words: Vec<String>, at: usize) -> Self {
        let verb = self.verb;
        Self { words, verb, at }
    }

    /// The same command line without the flag, wherever it stands as one: not as the value
    /// of another, and not behind `--`.
    pub(crate) fn without(&self, name: &str) -> Self {
        // What is told apart behind the verb as `arguments` does it.
        let takes_next = |word, at| {
            let valued: &[_] = match at < self.at {
                true => &[BUILD, BUILDX, COMPOSE, DOCKER],
                false => &[BUILD, COMPOSE],
            };
            valued.iter().any(|valued| valued.contains(&word))
        };
        let mut kept = Vec::new();
        let (mut at, mut head) = (0, self.at);
        while let Some(word) = self.words.get(at).map(String::as_str) {
            if word == "--" && at >= self.at {
                kept.extend_from_slice(&self.words[at..]);
                break;
            }
            let attached = word.strip_prefix(name);
            let is_it = word == name;
            let is_it_with_value = attached.is_some_and(|rest| rest.starts_with('='));
            let length = 1 + usize::from(is_it || !is_it_with_value && takes_next(word, at));
            let end = (at + length).min(self.words.len());
            if is_it || is_it_with_value {
                head -= self.at.saturating_sub(at).min(end - at);
            } else {
                kept.extend_from_slice(&self.words[at..end]);
            }
            at = end;
        }
        Self {
            words: kept,
            verb: self.verb,
            at: head,
        }
    }

    /// The verb's flags and names, in their order.
    pub(crate) fn arguments(&self) -> Vec<Argument<'_>> {
        arguments(&self.words[self.at..])
    }

    /// What is not a flag: the context, or targets, or services.
    pub(crate) fn names(&self) -> Vec<&str> {
        let name = |argument| match argument {
            Argument::Name(name) => Some(name),
            Argument::Flag(..) => None,
        };
        self.arguments().into_iter().filter_map(name).collect()
    }

    pub(crate) fn has(&self, flag: &str) -> bool {
        let is =
            |argument: &Argument<'_>| matches!(argument, Argument::Flag(name, _) if *name == flag);
        self.arguments().iter().any(is)
    }

    /// Every value of a flag.
    pub(crate) fn values(&self, flag: &str) -> Vec<&str> {
        let value = |argument| match argument {
            Argument::Flag(name, value) if name == flag => value,
            _ => None,
        };
        self.arguments().into_iter().filter_map(value).collect()
    }

    /// The one that counts: Docker takes the last.
    pub(crate) fn value(&self, flag: &str) -> Option<&str> {
        self.values(flag).pop()
    }

    /// The progress that was asked for; compose takes it before its verb.
    pub(crate) fn progress(&self) -> Option<&str> {
        let before = match self.verb {
            Verb::Compose => arguments(&self.words[1..self.at]),
            Verb::Build | Verb::Bake => Vec::new(),
        };
        let all = before.into_iter().chain(self.arguments());
        let value = |argument| match argument {
            Argument::Flag("--progress", value) => value,
            _ => None,
        };
        all.filter_map(value).next_back()
    }

    /// Which builder was asked for, by flag.
    pub(crate) fn builder(&self) -> Option<&str> {
        let before = arguments(&self.words[1..self.at]);
        let all = before.into_iter().chain(self.arguments());
        let value = |argument| match argument {
            Argument::Flag("--builder", value) => value,
            _ => None,
        };
        all.filter_map(value).next_back()
    }
}

fn file_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or_default()
}

fn behind_docker(words: &[String]) -> Result<(usize, Option<Verb>)> {
    let at = behind(words, 1, DOCKER);
    let word = |at: usize| words.get(at).map(String::as_str);
    Ok(match word(at) {
        Some("build") => (at + 1, Some(Verb::Build)),
        Some("image" | "builder") if word(at + 1) == Some("build") => (at + 2, Some(Verb::Build)),
        Some("buildx") => behind_buildx(words, at + 1),
        Some("compose") => (behind(words, at + 1, COMPOSE), Some(Verb::Compose)),
        Some(other) => bail!("`docker {other}` does not build"),
        None => bail!("`docker` alone does not build"),
    })
}

fn behind_buildx(words: &[String], at: usize) -> (usize, Option<Verb>) {
    let at = behind(words, at, BUILDX);
    let verb = match words.get(at).map(String::as_str) {
        Some("build" | "b") => Some(Verb::Build),
        Some("bake" | "f") => Some(Verb::Bake),
        _ => None,
    };
    (at + 1, verb)
}

/// Where the flags that begin at a word end.
fn behind(words: &[String], mut at: usize, valued: &[&str]) -> usize {
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += if valued.contains(&word.as_str()) {
            2
        } else {
            1
        };
    }
    at.min(words.len())
}

fn arguments(words: &[String]) -> Vec<Argument<'_>> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if word == "--" {
            found.extend(words.by_ref().map(Argument::Name));
        } else if word == "-" || !word.starts_with('-') {
            found.push(Argument::Name(word));
        } else if let Some((name, value)) = word.split_once('=') {
            found.push(Argument::Flag(long(name), Some(value)));
        } else if BUILD.contains(&word) || COMPOSE.contains(&word) {
            found.push(Argument::Flag(long(word), words.next()));
        } else if let Some((name, value)) = attached(word) {
            found.push(Argument::Flag(name, Some(value)));
        } else {
            found.push(Argument::Flag(long(word), None));
        }
    }
    found
}

/// `-fDockerfile`.
fn attached(word: &str) -> Option<(&str, &str)> {
    let (short, value) = word.split_at_checked(2)?;
    let known = matches!(short, "-f" | "-t" | "-o") && !value.is_empty();
    known.then(|| (long(short), value))
}

fn long(name: &str) -> &str {
    match name {
        "-f" => "--file",
        "-t" => "--tag",
        "-o" => "--output",
        "-q" => "--quiet",
        "-p" => "--project-name",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Result<CommandLine> {
        CommandLine::parse(words.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn the_verb_is_found_behind_flags_of_every_level() -> Result<()> {
        for (words, verb, head) in [
            ("docker build .", Verb::Build, 2),
            ("/usr/bin/docker -c remote build .", Verb::Build, 4),
            ("docker image build .", Verb::Build, 3),
            ("docker buildx build .", Verb::Build, 3),
            ("docker -D buildx --builder b b .", Verb::Build, 6),
            ("docker buildx --builder=b bake web", Verb::Bake, 4),
            ("docker compose -f a.yaml -p x build web", Verb::Compose, 7),
            ("docker-compose build", Verb::Compose, 2),
        ] {
            let line = line(words)?;
            assert_eq!((line.verb(), line.at), (verb, head), "{words}");
        }
        Ok(())
    }

    #[test]
    fn what_does_not_build_with_buildkit_is_refused() {
        for (words, why) in [
            ("podman build .", "podman does not take"),
            ("buildah bud .", "buildah does not take"),
            ("docker push x", "does not build"),
            ("docker buildx ls", "does not build"),
            ("docker compose up", "only build builds"),
            ("docker", "does not build"),
            ("make", "no build command"),
        ] {
            let error = line(words).unwrap_err().to_string();
            assert!(error.contains(why), "{words}: {error}");
        }
        assert!(CommandLine::parse(Vec::new()).is_err());
    }

    #[test]
    fn a_value_that_looks_like_a_flag_is_none() -> Result<()> {
        let line = line("docker build --label --cache-to -t=a -fx --pull ctx -- --push")?;
        assert!(!line.has("--cache-to") && line.has("--pull") && !line.has("--push"));
        assert_eq!(line.values("--tag"), ["a"]);
        assert_eq!(line.value("--file"), Some("x"));
        assert_eq!(line.names(), ["ctx", "--push"]);
        Ok(())
    }

    #[test]
    fn flags_are_put_right_behind_the_verb_and_taken_out_anywhere() -> Result<()> {
        let given = line("docker compose --progress tty build --progress=plain web")?;
        let added = given.without("--progress").with(["--pull".to_owned()]);
        assert_eq!(added.words().join(" "), "docker compose build --pull web");
        assert_eq!(given.progress(), Some("plain"));
        assert_eq!(given.beside(&["info"]).join(" "), "docker info");
        Ok(())
    }
}
