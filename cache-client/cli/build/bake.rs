//! `docker buildx bake`: its targets, as it resolves them itself, and overrides for them.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    builder::{self, Builder},
    command_line::{Argument, CommandLine},
    single::declared_in,
    target::{Added, NAME, Target},
};

/// `docker buildx bake --print`, as far as it is of use.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Definition {
    #[serde(default)]
    pub(crate) target: BTreeMap<String, BakeTarget>,
}

/// One of its targets.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(crate) struct BakeTarget {
    pub(crate) context: Option<String>,
    pub(crate) dockerfile: Option<String>,
    pub(crate) dockerfile_inline: Option<String>,
    pub(crate) args: BTreeMap<String, Option<String>>,
    // Strings once, objects in newer versions.
    cache_from: Vec<serde_json::Value>,
    cache_to: Vec<serde_json::Value>,
    extra_hosts: BTreeMap<String, String>,
    network: Option<String>,
    pub(crate) platforms: Vec<String>,
}

/// `extra-hosts` can be overridden since buildx 0.19.
const EXTRA_HOSTS: (u32, u32) = (0, 19);

/// What bake would build; `None` if it does not say.
pub(crate) async fn definition(line: &CommandLine) -> Option<Definition> {
    let printed = line.without("--progress").with(["--print".to_owned()]);
    let text = builder::said_by(printed.words()).await?;
    serde_json::from_str(&text).ok()
}

impl Definition {
    pub(crate) fn targets(&self, line: &CommandLine, makes_image: bool) -> Vec<Target> {
        let of = |(name, it): (&String, &BakeTarget)| it.target(name, line, makes_image);
        self.target.iter().map(of).collect()
    }
}

impl BakeTarget {
    fn target(&self, name: &str, line: &CommandLine, makes_image: bool) -> Target {
        let is_set = |what: &str| overridden(line, name, what);
        let context = self.context.as_deref().unwrap_or(".");
        let dockerfile = self.dockerfile.as_deref().unwrap_or("Dockerfile");
        Target {
            name: name.to_owned(),
            has_cache_from: !self.cache_from.is_empty() || is_set("cache-from"),
            has_cache_to: !self.cache_to.is_empty() || is_set("cache-to"),
            arguments: self.args.keys().cloned().collect(),
            hosts: self.extra_hosts.keys().cloned().collect(),
            declared: declared_in(&Path::new(context).join(dockerfile)),
            on_host_network: self.network.as_deref() == Some("host"),
            makes_image,
        }
    }
}

/// Whether the user's own `--set` is about it, even to make it empty.
fn overridden(line: &CommandLine, target: &str, what: &str) -> bool {
    let is = |set: &&str| {
        let name = set.split('=').next().unwrap_or_default();
        let key = name.trim_end_matches('+').rsplit_once('.');
        key.is_some_and(|(pattern, key)| {
            key == what && (pattern == target || pattern.contains('*'))
        })
    };
    let arguments = line.arguments();
    let sets = arguments.iter().filter_map(|argument| match argument {
        Argument::Flag("--set", value) => *value,
        _ => None,
    });
    sets.into_iter().any(|set| is(&set))
}

/// The overrides of one target: it has none of what they set, so nothing is replaced.
/// (`+=` would do for all at once, but is newer.)
pub(crate) fn flags(name: &str, added: &Added, builder: &Builder) -> Vec<String> {
    let mut flags = Vec::new();
    let mut set = |key: &str, value: &str| {
        flags.extend(["--set".to_owned(), format!("{name}.{key}={value}")]);
    };
    for reference in &added.cache_from {
        set("cache-from", reference);
    }
    if let Some(to) = &added.cache_to {
        set("cache-to", to);
    }
    // Without its address, the name in the arguments would lead nowhere.
    let named = added.host.is_none() || builder.version >= Some(EXTRA_HOSTS);
    if !named {
        return flags;
    }
    for (argument, value) in &added.arguments {
        set(&format!("args.{argument}"), value);
    }
    if let Some(address) = added.host {
        set(&format!("extra-hosts.{NAME}"), &address.to_string());
    }
    flags
}

#[cfg(test)]
mod tests {
    use anyhow::Result;

    use super::*;
    use crate::build::builder::Driver;

    const PRINTED: &str = r#"{
      "group": {"default": {"targets": ["web", "api"]}},
      "target": {
        "web": {"context": "web", "dockerfile": "Dockerfile", "args": {"A": "1", "B": null},
                "cache-from": [{"type": "registry", "ref": "cache.example/x"}], "network": "host"},
        "api": {"context": "api", "cache-to": ["type=inline"], "unknown": 1}
      }
    }"#;

    #[test]
    fn what_bake_prints_in_either_generation_tells_the_targets() -> Result<()> {
        let definition: Definition = serde_json::from_str(PRINTED)?;
        let words = "docker buildx bake --set web.cache-to=x --set *.cache-from=";
        let line = CommandLine::parse(words.split(' ').map(str::to_owned).collect())?;
        let targets = definition.targets(&line, true);
        let found: Vec<_> = targets
            .iter()
            .map(|it| (it.name.as_str(), it.has_cache_from, it.has_cache_to))
            .collect();
        assert_eq!(found, [("api", true, true), ("web", true, true)]);
        assert!(targets[1].on_host_network && targets[1].arguments.contains("B"));
        Ok(())
    }

    #[test]
    fn old_bake_is_given_no_name_without_an_address() {
        let added = || Added {
            cache_to: Some("type=registry,ref=a".to_owned()),
            arguments: vec![("http_proxy".to_owned(), "u".to_owned())],
            host: Some([192, 0, 2, 1].into()),
            ..Added::default()
        };
        let of = |version| {
            let builder = Builder {
                version: Some(version),
                driver: Driver::Apart,
                on_host_network: false,
            };
            flags("web", &added(), &builder).join(" ")
        };
        assert_eq!(of((0, 13)), "--set web.cache-to=type=registry,ref=a");
        assert_eq!(
            of((0, 29)),
            "--set web.cache-to=type=registry,ref=a --set web.args.http_proxy=u \
             --set web.extra-hosts.cachalot=192.0.2.1"
        );
    }
}
