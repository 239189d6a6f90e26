//! What the builder can do: its buildx, its driver, its store.

use std::{process::Stdio, time::Duration};

use tokio::{process::Command, time::timeout};

use super::command_line::CommandLine;

/// What was found out. What could not be is taken to be the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Builder {
    /// buildx's, major and minor.
    pub(crate) version: Option<(u32, u32)>,
    pub(crate) driver: Driver,
    /// Whether the builder itself is in the host's network.
    pub(crate) on_host_network: bool,
}

/// Where `BuildKit` runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driver {
    /// In dockerd, with containerd's image store or without.
    Docker { containerd: bool },
    /// In a container, a pod, or elsewhere.
    Apart,
    /// Not even buildx answers.
    Unknown,
}

impl Builder {
    /// Asks the Docker of a command line.
    pub(crate) async fn ask(line: &CommandLine) -> Self {
        let version = said(line, &["buildx", "version"]).await;
        let mut inspect = vec!["buildx", "inspect"];
        inspect.extend(line.builder());
        let inspected = said(line, &inspect).await.unwrap_or_default();
        let driver = match field(&inspected, "Driver:") {
            Some("docker") => {
                let store = said(line, &["info", "--format", "{{json .DriverStatus}}"]).await;
                let store = store.unwrap_or_default();
                Driver::Docker {
                    containerd: store.contains("io.containerd.snapshotter"),
                }
            }
            Some(_) => Driver::Apart,
            None => Driver::Unknown,
        };
        let options = field(&inspected, "Driver Options:").unwrap_or_default();
        Self {
            version: version.as_deref().and_then(parse_version),
            driver,
            on_host_network: matches!(driver, Driver::Docker { .. })
                || options.contains("network=\"host\"")
                || field(&inspected, "Driver:") == Some("remote"),
        }
    }

    /// Whether `type=registry` caches are exported (docs of buildx, "Cache storage
    /// backends": the docker driver needs containerd's image store).
    pub(crate) fn exports_caches(&self) -> bool {
        matches!(
            self.driver,
            Driver::Apart | Driver::Docker { containerd: true }
        )
    }

    /// `--progress=rawjson` came with buildx 0.13.
    pub(crate) fn has_rawjson(&self) -> bool {
        self.version >= Some((0, 13))
    }
}

/// What another command of the same Docker printed; `None` if it failed or took too long.
pub(crate) async fn said(line: &CommandLine, words: &[&str]) -> Option<String> {
    said_by(&line.beside(words)).await
}

/// The same for whole command lines.
pub(crate) async fn said_by(words: &[String]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), command.output()).await;
    let output = output.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then_some(text)
}

/// The value behind a name at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

/// Of `packages.example/docker/buildx v0.29.1 0123abc`; Debian leaves out the `v`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().nth(1)?.trim_start_matches('v');
    let mut numbers = version.split(['.', '-', '+']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_releases_and_packages_print_them() {
        for (text, version) in [
            (
                "packages.example/docker/buildx v0.29.1 a32761a",
                Some((0, 29)),
            ),
            (
                "packages.example/docker/buildx 0.13.1+ds1 0.13.1+ds1-3",
                Some((0, 13)),
            ),
            ("packages.example/docker/buildx v1.0.0-rc1 a", Some((1, 0))),
            ("buildx", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn old_and_unknown_versions_have_no_rawjson() {
        for (version, has) in [(None, false), (Some((0, 12)), false), (Some((0, 13)), true)] {
            let builder = Builder {
                version,
                driver: Driver::Unknown,
                on_host_network: false,
            };
            assert_eq!(builder.has_rawjson(), has, "{version:?}");
            assert!(!builder.exports_caches());
        }
    }
}
