//! `docker compose build`: its whole model, as compose resolves it, with our part in it.
//!
//! A further file (`-f`) would switch off the search for the usual ones, and its lists
//! would be added to the user's; so compose is given the model that it made itself.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{
    builder,
    command_line::CommandLine,
    single::declared_in,
    target::{Added, Means, NAME, Target},
};

/// What `docker compose config` prints.
#[derive(Clone, Debug)]
pub(crate) struct Model(Value);

/// The model; `None` if compose does not say.
pub(crate) async fn model(line: &CommandLine) -> Option<Model> {
    let head = line.head();
    let mut words = head[..head.len() - 1].to_vec();
    // A service of a profile can be built without switching the profile on.
    let config = ["--profile", "*", "config", "--format", "json"];
    words.extend(config.map(str::to_owned));
    let text = builder::said_by(&words).await?;
    serde_json::from_str(&text).ok().map(Model)
}

impl Model {
    #[cfg(any(test, feature = "fuzzing-cli"))]
    pub(crate) const fn of(model: Value) -> Self {
        Self(model)
    }

    /// The services that are built.
    pub(crate) fn targets(&self) -> Vec<Target> {
        let services = self.0["services"].as_object().into_iter().flatten();
        let built = services.filter(|(_, service)| service["build"].is_object());
        built
            .map(|(name, service)| target(name, &service["build"]))
            .collect()
    }

    /// The Dockerfiles of the services, with the arguments that each is given.
    pub(crate) fn images(&self) -> Vec<String> {
        let services = self.0["services"].as_object().into_iter().flatten();
        let built = services.filter(|(_, service)| service["build"].is_object());
        let image = |(_, service): (&String, &Value)| Some(service["image"].as_str()?.to_owned());
        built.filter_map(image).collect()
    }

    /// The same with what is added to each service; it is to be read by compose again.
    pub(crate) fn with(mut self, means: &Means) -> String {
        for target in self.targets() {
            let added = means.added(&target);
            if let Some(build) = self.0["services"][&target.name]["build"].as_object_mut() {
                add(build, added);
            }
        }
        self.0.to_string()
    }
}

/// The command line that reads the model from a file.
pub(crate) fn reading(line: &CommandLine, file: &Path) -> CommandLine {
    let line = line.without("-f").without("--file");
    globally(&line, &["--file".to_owned(), file.display().to_string()])
}

/// The command line with a flag of compose itself, which stands before its verb.
pub(crate) fn globally(line: &CommandLine, flag: &[String; 2]) -> CommandLine {
    let (words, at) = (line.words(), line.head().len());
    let first = line.behind_compose();
    let words = [&words[..first], &flag[..], &words[first..]].concat();
    line.replaced(words, at + flag.len())
}

fn target(name: &str, build: &Value) -> Target {
    let is_filled = |key: &str| build[key].as_array().is_some_and(|list| !list.is_empty());
    let context = build["context"].as_str().unwrap_or(".");
    let dockerfile = build["dockerfile"].as_str().unwrap_or("Dockerfile");
    let arguments = build["args"].as_object().into_iter().flatten();
    // Without a value it is passed on from the environment, if it is set there.
    let given =
        |(name, value): &(&String, &Value)| !value.is_null() || std::env::var_os(name).is_some();
    let hosts = build["extra_hosts"].as_array().into_iter().flatten();
    let host = |host: &Value| host.as_str()?.split(['=', ':']).next().map(str::to_owned);
    Target {
        name: name.to_owned(),
        has_cache_from: is_filled("cache_from"),
        has_cache_to: is_filled("cache_to"),
        arguments: arguments
            .filter(given)
            .map(|(name, _)| name.clone())
            .collect(),
        hosts: hosts.filter_map(host).collect(),
        declared: declared_in(&Path::new(context).join(dockerfile)),
        on_host_network: build["network"] == "host",
        makes_image: true,
    }
}

fn add(build: &mut Map<String, Value>, added: Added) {
    // A `$` is compose's own when it reads the model.
    let escaped = |text: &str| text.replace('$', "$$");
    if !added.cache_from.is_empty() {
        build.insert("cache_from".to_owned(), json!(added.cache_from));
    }
    if let Some(to) = added.cache_to {
        build.insert("cache_to".to_owned(), json!([to]));
    }
    if !added.arguments.is_empty() {
        let args = build.entry("args").or_insert_with(|| json!({}));
        // Compose prints an object; whatever else there may be is the user's, and stays.
        if let Some(args) = args.as_object_mut() {
            for (name, value) in added.arguments {
                args.insert(name, escaped(&value).into());
            }
        }
    }
    if let Some(address) = added.host {
        let hosts = build.entry("extra_hosts").or_insert_with(|| json!([]));
        if let Some(hosts) = hosts.as_array_mut() {
            hosts.push(format!("{NAME}={address}").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, Result};

    use super::*;
    use crate::build::{scope::Scope, target::Packages};

    fn model() -> Model {
        Model(json!({"name": "x", "services": {
            "web": {"image": "r/web", "build": {"context": "/nowhere", "network": "host",
                "args": {"A": "1", "NPM": null}, "cache_to": ["type=inline"],
                "extra_hosts": ["db=192.0.2.9"]}},
            "db": {"image": "postgres"},
        }}))
    }

    fn means() -> Means {
        Means {
            scope: Scope {
                project: "p".to_owned(),
                branch: Some("main".to_owned()),
                fallbacks: Vec::new(),
            },
            registry: "127.0.0.1:1".to_owned(),
            is_insecure: false,
            imports: true,
            exports: true,
            packages: Some(Packages {
                address: [127, 0, 0, 1].into(),
                port: 1,
            }),
        }
    }

    #[test]
    fn services_get_what_they_have_not_and_keep_what_they_have() -> Result<()> {
        let changed: Value = serde_json::from_str(&model().with(&means()))?;
        let build = &changed["services"]["web"]["build"];
        let from = json!(["type=registry,ref=127.0.0.1:1/cache/p:main--web"]);
        assert_eq!(build["cache_from"], from);
        assert_eq!(build["cache_to"], json!(["type=inline"]));
        assert_eq!(
            build["extra_hosts"],
            json!(["db=192.0.2.9", "cachalot=127.0.0.1"])
        );
        assert_eq!(build["args"]["http_proxy"], "http://cachalot:1");
        assert_eq!(
            (&build["args"]["A"], &build["args"]["NPM"]),
            (&json!("1"), &Value::Null)
        );
        assert_eq!(changed["services"]["db"], json!({"image": "postgres"}));
        Ok(())
    }

    #[test]
    fn compose_reads_the_model_in_place_of_the_files() -> Result<()> {
        for (words, expected) in [
            (
                "docker compose -f a.yaml -f b.yaml -p x build --pull web",
                "docker compose --file /tmp/m -p x build --pull web",
            ),
            (
                "docker --context compose compose build web",
                "docker --context compose compose --file /tmp/m build web",
            ),
            (
                "docker-compose -f a.yaml build web compose",
                "docker-compose --file /tmp/m build web compose",
            ),
        ] {
            let line = CommandLine::parse(words.split(' ').map(str::to_owned).collect())?;
            let line = reading(&line, Path::new("/tmp/m"));
            assert_eq!(line.words().join(" "), expected);
            let last = line.head().last().context("a verb")?;
            assert_eq!(last, "build");
        }
        Ok(())
    }
}
