//! `docker buildx build` and its kin: one target, told in flags.

use std::{collections::BTreeSet, path::Path};

use super::{
    command_line::CommandLine,
    target::{Added, NAME, Target},
};
use crate::dockerfile::Dockerfile;

/// What the flags say of the target.
pub(crate) fn target(line: &CommandLine, name: &str, has_container_driver: bool) -> Target {
    let before = |separators: [char; 2]| {
        move |value: &&str| {
            let name = value.split(separators).next().unwrap_or_default();
            name.to_owned()
        }
    };
    let arguments = line.values("--build-arg");
    let hosts = line.values("--add-host");
    Target {
        name: name.to_owned(),
        has_cache_from: line.has("--cache-from"),
        has_cache_to: line.has("--cache-to"),
        arguments: arguments.iter().map(before(['=', '='])).collect(),
        hosts: hosts.iter().map(before(['=', ':'])).collect(),
        declared: declared(line),
        on_host_network: line.value("--network") == Some("host"),
        makes_image: makes_image(line, has_container_driver),
    }
}

/// The flags that say it.
pub(crate) fn flags(added: Added) -> Vec<String> {
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: String| flags.extend([name.to_owned(), value]);
    for reference in added.cache_from {
        flag("--cache-from", reference);
    }
    if let Some(to) = added.cache_to {
        flag("--cache-to", to);
    }
    for (name, value) in added.arguments {
        flag("--build-arg", format!("{name}={value}"));
    }
    if let Some(address) = added.host {
        flag("--add-host", format!("{NAME}:{address}"));
    }
    flags
}

/// Without an output, a builder in a container makes nothing and dockerd's own an image.
fn makes_image(line: &CommandLine, has_container_driver: bool) -> bool {
    let outputs = line.values("--output");
    let is_image = |output: &&str| {
        let is = |kind: &str| output.split(',').any(|part| part == format!("type={kind}"));
        is("image") || is("registry") || is("docker") || is("oci")
    };
    if line.has("--push") || line.has("--load") || outputs.iter().any(is_image) {
        return true;
    }
    outputs.is_empty() && !has_container_driver
}

/// Of a Dockerfile that is a file here; of others nothing is known.
fn declared(line: &CommandLine) -> BTreeSet<String> {
    let context = line.names().pop().unwrap_or(".");
    let file = line.value("--file").map(Path::new);
    let default = Path::new(context).join("Dockerfile");
    declared_in(file.unwrap_or(&default))
}

/// The arguments that a Dockerfile declares in its stages.
pub(crate) fn declared_in(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    // What is wrong with it, the build will say.
    Dockerfile::parse(&text)
        .map(|it| it.declared())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;

    fn line(words: &str) -> Result<CommandLine> {
        CommandLine::parse(words.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn flags_tell_what_the_user_has_said() -> Result<()> {
        let line = line(
            "docker build --build-arg A=1 --build-arg=B --add-host x=192.0.2.1 \
             --network host --cache-from type=inline .",
        )?;
        let target = target(&line, "", false);
        let names: Vec<_> = target.arguments.iter().map(String::as_str).collect();
        assert_eq!(names, ["A", "B"]);
        assert!(target.hosts.contains("x") && target.on_host_network);
        assert!(target.has_cache_from && !target.has_cache_to && target.makes_image);
        Ok(())
    }

    #[test]
    fn an_image_is_made_if_an_output_says_so_or_by_default() -> Result<()> {
        for (words, apart, makes) in [
            ("docker build .", false, true),
            ("docker build .", true, false),
            ("docker build --load .", true, true),
            ("docker build --push .", true, true),
            ("docker build -o out .", false, false),
            ("docker build -o type=local,dest=out .", false, false),
            ("docker build -o type=image,push=true .", true, true),
        ] {
            assert_eq!(makes_image(&line(words)?, apart), makes, "{words} {apart}");
        }
        Ok(())
    }

    #[test]
    fn the_dockerfile_of_the_context_or_of_the_flag_is_read() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let at = folder.path().display();
        std::fs::write(folder.path().join("Dockerfile"), "FROM a\nARG ONE\n")?;
        std::fs::write(folder.path().join("Other"), "FROM a\nARG TWO=2 THREE\n")?;
        let first = declared(&line(&format!("docker build {at}"))?);
        assert_eq!(first.into_iter().collect::<Vec<_>>(), ["ONE"]);
        let other = declared(&line(&format!("docker build -f {at}/Other -"))?);
        assert_eq!(other.into_iter().collect::<Vec<_>>(), ["THREE", "TWO"]);
        Ok(())
    }
}
