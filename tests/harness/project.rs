//! The projects in `tests/builds`: what a build of each is, and what a change to it
//! must run again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{Root, root::Run, steps::Steps};

/// A working copy of a project, as a runner has it.
#[derive(Debug)]
pub struct Project {
    name: String,
    recipe: Recipe,
    copy: TempDir,
}

/// `project.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Images in the order of their builds.
    #[serde(default, rename = "image")]
    pub images: Vec<ImageRecipe>,
    /// Or a compose file.
    pub compose: Option<Compose>,
    /// The edit of an ordinary commit.
    pub change: Change,
}

/// One image.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecipe {
    /// Its repository, below the project's.
    pub name: String,
    /// The folder that is sent to the builder.
    pub context: String,
    /// The stage that is pushed.
    pub target: String,
    /// All stages that people build.
    #[serde(default)]
    pub targets: Vec<String>,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// Other values of them; each has a cache tag of its own.
    #[serde(default)]
    pub variants: BTreeMap<String, BTreeMap<String, String>>,
    /// With `{timestamp}` and `{commit}`.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A compose project.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compose {
    /// Its file.
    pub file: String,
    /// Its services.
    pub services: Vec<String>,
    /// The stages that every service has.
    pub targets: Vec<String>,
    /// Where images go, with `{service}`.
    pub repositories: String,
    /// Where caches go, with `{service}`.
    pub caches: String,
}

/// An edit, and what a build after it does. Steps are prefixes of what buildx prints.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The edited file.
    pub file: PathBuf,
    /// What is added to it.
    pub append: String,
    /// RUN steps that run again.
    pub reruns: Vec<String>,
    /// RUN steps that do not.
    pub cached: Vec<String>,
}

/// How a project is built.
#[derive(Clone, Copy, Debug)]
pub struct Build<'a> {
    /// `host:port` of the registry.
    pub registry: &'a str,
    /// Which values of the arguments.
    pub variant: Option<&'a str>,
    /// Whether a cache is imported and exported.
    pub cached: bool,
    /// Where RUN steps have their packages from.
    pub packages: Packages,
}

/// Where the RUN steps of a build have their packages from.
#[derive(Clone, Copy, Debug)]
pub enum Packages {
    /// Where this machine has its own.
    OfThisMachine,
    /// From a cache that is called [`Packages::NAME`], and from nowhere else: no other
    /// name leads anywhere. Index addresses are build arguments; apt is told of a proxy.
    Cached {
        /// Where the name leads.
        address: IpAddr,
        /// Its port, a part of the indexes' URLs.
        port: u16,
    },
}

/// A build that succeeded.
#[derive(Debug)]
pub struct Built {
    /// Its steps.
    pub steps: Steps,
    /// Its time, without the daemon's start.
    pub seconds: f64,
    /// The tags it pushed, as `{repository}:{tag}`.
    pub pushed: Vec<String>,
}

/// The commit every working copy is at.
const COMMIT: &str = "2f6a91c";

impl Project {
    /// A fresh working copy.
    ///
    /// # Errors
    /// If it cannot be made, or its `project.toml` is unsound.
    pub fn checkout(name: &str) -> Result<Self> {
        let folder = crate::root::tests_folder().join("builds").join(name);
        let copy = tempfile::tempdir()?;
        let copied = Command::new("cp")
            .arg("-a")
            .arg(folder.join("."))
            .arg(copy.path())
            .stdin(Stdio::null())
            .status()?;
        ensure!(copied.success(), "{} is not copied", folder.display());
        let recipe = fs::read_to_string(folder.join("project.toml"))?;
        Ok(Self {
            name: name.to_owned(),
            recipe: toml::from_str(&recipe).with_context(|| format!("{name}/project.toml"))?,
            copy,
        })
    }

    /// Its `project.toml`.
    #[must_use]
    pub const fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The named variants, first the one that the arguments without a variant are:
    /// it is the one that the change is told for.
    #[must_use]
    pub fn variants(&self) -> Vec<String> {
        let mut variants = Vec::new();
        for image in &self.recipe.images {
            let is_default = |values: &BTreeMap<String, String>| {
                let same = |(name, value)| image.args.get(name) == Some(value);
                values.iter().all(same)
            };
            let (first, rest): (Vec<_>, Vec<_>) = image
                .variants
                .iter()
                .partition(|(_, values)| is_default(values));
            variants.extend(first.into_iter().chain(rest).map(|(name, _)| name.clone()));
        }
        variants
    }

    /// Makes the change of an ordinary commit.
    ///
    /// # Errors
    /// If the file cannot be edited.
    pub fn change(&self) -> Result<()> {
        let path = self.copy.path().join(&self.recipe.change.file);
        let text = fs::read_to_string(&path)?;
        Ok(fs::write(path, text + &self.recipe.change.append)?)
    }

    /// Builds and pushes it with the Docker whose state is in a folder.
    ///
    /// # Errors
    /// If the build fails; the error has what it said.
    pub fn build(&self, root: &Root, state: &Path, build: Build<'_>) -> Result<Built> {
        let out = tempfile::tempdir()?;
        let (script, pushed) = match &self.recipe.compose {
            Some(compose) => self.compose_script(compose, build)?,
            None => self.buildx_script(build)?,
        };
        let mut run = Run::default()
            .with_docker(state)
            .with_bind(self.copy.path(), "/project")
            .with_bind(out.path(), "/out");
        if let Packages::Cached { .. } = build.packages {
            run = run.without_names();
        }
        root.shell(&run, &script)
            .map_err(|error| error.context(said(out.path())))
            .with_context(|| format!("build of {} with {build:?}", self.name))?;
        let mut built = Built {
            steps: Steps::default(),
            seconds: fs::read_to_string(out.path().join("seconds"))?
                .trim()
                .parse()?,
            pushed,
        };
        for entry in fs::read_dir(out.path())? {
            let path = entry?.path();
            let steps = match path.extension().and_then(|e| e.to_str()) {
                Some("rawjson") => Steps::from_rawjson(&fs::read_to_string(&path)?)?,
                Some("plain") => Steps::from_plain(&fs::read_to_string(&path)?),
                _ => continue,
            };
            built.steps.append(steps);
        }
        Ok(built)
    }

    fn buildx_script(&self, build: Build<'_>) -> Result<(String, Vec<String>)> {
        let (mut script, mut pushed) = (String::new(), Vec::new());
        for (number, image) in self.recipe.images.iter().enumerate() {
            let repository = format!("{}/{}", self.name, image.name);
            let mut command =
                "docker buildx build --progress rawjson --network host --push".to_owned();
            for (name, value) in arguments(image, build)? {
                write!(command, " --build-arg '{name}={value}'")?;
            }
            if let Some(host) = build.packages.host() {
                write!(command, " --add-host {host}")?;
            }
            let latest = vec!["latest".to_owned()];
            for tag in if image.tags.is_empty() {
                &latest
            } else {
                &image.tags
            } {
                let tag = format!("{repository}:{}", filled_in(tag)?);
                write!(command, " -t {}/{tag}", build.registry)?;
                pushed.push(tag);
            }
            if build.cached {
                let tag = build.variant.unwrap_or("main");
                let cache = format!(
                    "type=registry,ref={}/{repository}/cache:{tag}",
                    build.registry
                );
                write!(command, " --cache-from {cache}")?;
                write!(command, " --cache-to {cache},mode=max,image-manifest=true")?;
            }
            write!(
                command,
                " --target {} /project/{}",
                image.target, image.context
            )?;
            writeln!(script, "{command} 2>/out/{number}.rawjson")?;
        }
        Ok((timed(&script), pushed))
    }

    fn compose_script(&self, compose: &Compose, build: Build<'_>) -> Result<(String, Vec<String>)> {
        let file = self.copy.path().join(&compose.file);
        let text = fs::read_to_string(&file)?;
        if !build.cached {
            let is_cache = |line: &&str| line.trim_start().starts_with("cache_");
            let lines: Vec<&str> = text.lines().filter(|line| !is_cache(line)).collect();
            fs::write(&file, lines.join("\n"))?;
        }
        let mut files = format!("-f {}", compose.file);
        if let Some(host) = build.packages.host() {
            // Compose has no flag for it.
            let hosts =
                |service| format!("  {service}: {{build: {{extra_hosts: [\"{host}\"]}}}}\n");
            let services: String = compose.services.iter().map(hosts).collect();
            fs::write(
                self.copy.path().join("hosts.yaml"),
                format!("services:\n{services}"),
            )?;
            files += " -f hosts.yaml";
        }
        let mut command = format!(
            "cd /project; REGISTRY={} docker compose --progress plain {files} build --push",
            build.registry
        );
        for argument in build.packages.arguments()? {
            write!(command, " --build-arg '{argument}'")?;
        }
        let repository = |service: &String| compose.repositories.replace("{service}", service);
        let pushed = compose.services.iter().map(repository);
        let pushed = pushed.map(|repository| repository + ":latest").collect();
        Ok((timed(&format!("{command} >/out/0.plain 2>&1\n")), pushed))
    }
}

/// The arguments of an image, those of this machine included.
fn arguments(image: &ImageRecipe, build: Build<'_>) -> Result<BTreeMap<String, String>> {
    let mut arguments = image.args.clone();
    if let Some(variant) = build.variant {
        let values = image.variants.get(variant);
        arguments.extend(values.with_context(|| format!("no {variant}"))?.clone());
    }
    arguments.insert("REGISTRY".to_owned(), build.registry.to_owned());
    for argument in build.packages.arguments()? {
        let (name, value) = argument.split_once('=').context("NAME=VALUE")?;
        arguments.insert(name.to_owned(), value.to_owned());
    }
    Ok(arguments)
}

impl Packages {
    /// What a cache is called in builds. It stands in index addresses, and so in cache
    /// keys; the address that it leads to does not.
    pub const NAME: &str = "cachalot";

    /// The build arguments, as `NAME=VALUE`.
    fn arguments(self) -> Result<Vec<String>> {
        let Self::Cached { port, .. } = self else {
            return host_arguments();
        };
        let (name, url) = (Self::NAME, format!("http://{}:{port}", Self::NAME));
        let arguments = [
            format!("http_proxy={url}"),
            format!("no_proxy={name}"),
            format!("PIP_INDEX_URL={url}/pypi/simple/"),
            format!("PIP_TRUSTED_HOST={name}"),
            format!("UV_DEFAULT_INDEX={url}/pypi/simple/"),
            format!("NPM_CONFIG_REGISTRY={url}/npm/"),
        ];
        Ok(arguments.to_vec())
    }

    /// `name:address`, for the container's hosts file.
    fn host(self) -> Option<String> {
        match self {
            Self::OfThisMachine => None,
            Self::Cached { address, .. } => Some(format!("{}:{address}", Self::NAME)),
        }
    }
}

/// This machine's proxies and package indexes.
fn host_arguments() -> Result<Vec<String>> {
    let said = Command::new(crate::root::script("host-build-args"))
        .stdin(Stdio::null())
        .output()?;
    let said = crate::root::text(&said)?;
    Ok(said.lines().map(str::to_owned).collect())
}

fn filled_in(tag: &str) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let tag = tag.replace("{timestamp}", &now.to_string());
    Ok(tag.replace("{commit}", COMMIT))
}

/// A script that leaves the time it took in `/out/seconds`.
fn timed(script: &str) -> String {
    format!(
        "begin=$EPOCHREALTIME\n{script}\
         awk \"BEGIN {{ print $EPOCHREALTIME - $begin }}\" >/out/seconds"
    )
}

/// The errors among what a build printed, or the end of it.
fn said(out: &Path) -> String {
    let mut said = String::new();
    for entry in fs::read_dir(out).into_iter().flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let is_error = |line: &&str| line.to_lowercase().contains("error");
        let lines: Vec<&str> = text.lines().filter(is_error).collect();
        let last: Vec<&str> = text.lines().rev().take(20).collect();
        for line in lines.into_iter().chain(last.into_iter().rev()) {
            said.push_str(line);
            said.push('\n');
        }
    }
    said
}
