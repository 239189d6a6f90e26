//! What is run in place of the user's command line, and what had to be left out.

use std::{
    io::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};
use url::Url;

use super::{
    bake,
    builder::{Builder, Driver},
    command_line::{CommandLine, Verb},
    compose,
    progress::{Form, Shown},
    scope::{Scope, slug},
    single,
    target::{Means, Packages},
};

/// The names of many targets are one name, which the server takes up to twice as long.
const LONGEST: usize = 128;

/// What the user wants besides the build.
#[derive(Clone, Debug)]
pub(crate) struct Wishes<'a> {
    /// The server's data listener.
    pub(crate) server: &'a str,
    /// Which of the project's builds.
    pub(crate) name: &'a str,
    /// Whether packages are to come through the cache, too.
    pub(crate) packages: bool,
}

/// A build that is ready to run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) line: CommandLine,
    /// Which of the project's builds it is.
    pub(crate) target: String,
    /// `None` if it is to run as it was given, without being read.
    pub(crate) progress: Option<(Form, Shown)>,
    /// Where buildx tells what it made.
    pub(crate) metadata: Option<PathBuf>,
    /// Images by name, where there is no such file.
    pub(crate) images: Vec<String>,
    /// Whether the server answered.
    pub(crate) is_served: bool,
    /// What was left out, and why.
    pub(crate) notes: Vec<String>,
    /// Holds our files until the build has ended.
    folder: TempDir,
}

impl Plan {
    /// Finds out what there is to build and what can be added to it.
    pub(crate) async fn make(
        line: CommandLine,
        scope: &Scope,
        wishes: &Wishes<'_>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir().context("a folder for the build's messages")?;
        let mut plan = Self {
            target: wishes.name.to_owned(),
            progress: None,
            metadata: None,
            images: Vec::new(),
            is_served: false,
            notes: Vec::new(),
            folder,
            line,
        };
        if plan.only_asks() {
            return Ok(plan);
        }
        let builder = Builder::ask(&plan.line).await;
        if builder.driver == Driver::Unknown && plan.line.verb() != Verb::Compose {
            plan.note("docker buildx does not answer: the build runs as it is");
            return Ok(plan);
        }
        let user = plan.line.clone();
        let means = plan.means(&builder, scope, wishes).await;
        match plan.line.verb() {
            Verb::Build => plan.single(&builder, means.as_ref()),
            Verb::Bake => plan.bake(&builder, means.as_ref()).await,
            Verb::Compose => plan.compose(means.as_ref()).await?,
        }
        plan.watch(&builder, &user);
        Ok(plan)
    }

    /// Whether it builds nothing, but tells what it would build.
    fn only_asks(&self) -> bool {
        let asks = [
            "--print",
            "--call",
            "--check",
            "--list",
            "--help",
            "--dry-run",
        ];
        asks.iter().any(|flag| self.line.has(flag))
    }

    /// What the server and the builder can do; `None` if the server is not there.
    async fn means(
        &mut self,
        builder: &Builder,
        scope: &Scope,
        wishes: &Wishes<'_>,
    ) -> Option<Means> {
        let found = match reached(wishes.server).await {
            Ok(found) => found,
            Err(error) => {
                self.note(format!("{error:#}: the build runs without the cache"));
                return None;
            }
        };
        self.is_served = true;
        let (url, address) = found;
        let host = url.host_str().unwrap_or_default();
        let is_local = address.ip().is_loopback();
        if is_local && !builder.on_host_network && self.line.verb() != Verb::Compose {
            self.note(format!(
                "{url} is this machine, and the builder is in a network of its own: no cache. \
                 Name the server by an address that the builder reaches, or make the builder \
                 with --driver-opt network=host"
            ));
            return None;
        }
        let exports = builder.exports_caches();
        if !exports {
            self.note(
                "this builder exports no caches: it is dockerd's own without containerd's \
                 image store. `docker buildx create --use` makes one that does",
            );
        }
        if scope.branch.is_none() {
            self.note("no branch is checked out: the cache is read and not written");
        }
        let is_plain = url.scheme() == "http";
        let port = address.port();
        Some(Means {
            scope: scope.clone(),
            registry: format!("{host}:{port}"),
            is_insecure: is_plain && !is_local,
            imports: !self.line.has("--no-cache"),
            exports,
            // A certificate that this machine trusts is no use in a container.
            packages: (is_plain && wishes.packages).then_some(Packages {
                address: address.ip(),
                port,
            }),
        })
    }

    fn single(&mut self, builder: &Builder, means: Option<&Means>) {
        let is_apart = builder.driver == Driver::Apart;
        if self.target.is_empty() {
            self.target = self.line.value("--target").unwrap_or_default().to_owned();
        }
        let target = single::target(&self.line, &self.target, is_apart);
        if let Some(means) = means {
            self.line = self.line.with(single::flags(means.added(&target)));
        }
        self.tell_metadata();
    }

    async fn bake(&mut self, builder: &Builder, means: Option<&Means>) {
        let Some(definition) = bake::definition(&self.line).await else {
            self.note("bake does not say what it would build: it runs without the cache");
            return self.tell_metadata();
        };
        let targets = definition.targets(&self.line, builder.driver != Driver::Apart);
        let mut flags = Vec::new();
        for target in &targets {
            let added = means.map(|means| means.added(target)).unwrap_or_default();
            flags.extend(bake::flags(&target.name, &added, builder));
        }
        self.name_after(targets.iter().map(|target| target.name.as_str()));
        self.line = self.line.with(flags);
        self.tell_metadata();
    }

    async fn compose(&mut self, means: Option<&Means>) -> Result<()> {
        let Some(model) = compose::model(&self.line).await else {
            self.note("compose does not say what it would build: it runs without the cache");
            return Ok(());
        };
        let asked: Vec<String> = self.line.names().into_iter().map(str::to_owned).collect();
        let targets = model.targets();
        let names = targets.iter().map(|target| target.name.as_str());
        self.name_after(names.filter(|name| asked.is_empty() || asked.iter().any(|it| it == name)));
        if self.line.has("--push") {
            self.images = model.images();
        }
        if let Some(means) = means {
            let file = self.file("compose.json", &model.with(means))?;
            self.line = compose::reading(&self.line, &file);
        }
        Ok(())
    }

    /// Has the progress printed in a form that can be read.
    fn watch(&mut self, builder: &Builder, user: &CommandLine) {
        if user.has("--quiet") {
            return self.note("a quiet build tells nothing of its steps");
        }
        let choice = user.progress().map(str::to_owned);
        let choice = choice.or_else(|| std::env::var("BUILDKIT_PROGRESS").ok());
        let form = match self.line.verb() {
            Verb::Build | Verb::Bake if builder.has_rawjson() => Form::Rawjson,
            Verb::Build | Verb::Bake | Verb::Compose => Form::Plain,
        };
        let value = match form {
            Form::Rawjson => "rawjson",
            Form::Plain => "plain",
        };
        let line = self.line.without("--progress");
        let flag = ["--progress".to_owned(), value.to_owned()];
        self.line = match line.verb() {
            Verb::Build | Verb::Bake => line.with(flag),
            Verb::Compose => compose::globally(&line, &flag),
        };
        self.progress = Some((form, Shown::of(choice.as_deref(), form)));
    }

    /// Lets buildx write what it made where we can read it.
    fn tell_metadata(&mut self) {
        let users = self.line.value("--metadata-file").map(PathBuf::from);
        let path = users.unwrap_or_else(|| {
            let path = self.folder.path().join("metadata.json");
            let flag = ["--metadata-file".to_owned(), path.display().to_string()];
            self.line = self.line.with(flag);
            path
        });
        self.metadata = Some(path);
    }

    fn name_after<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        if self.target.is_empty() {
            let names = names.collect::<Vec<_>>().join("+");
            self.target = match names.len() {
                0..=LONGEST => names,
                _ => slug(&names),
            };
        }
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        // The folder is for its owner only; a model may have secrets in it.
        let mut file = std::fs::File::create(&path)?;
        file.write_all(text.as_bytes())?;
        Ok(path)
    }

    fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }
}

/// Connects to the server, so that no build is sent to one that is away.
async fn reached(server: &str) -> Result<(Url, SocketAddr)> {
    let url = Url::parse(server).with_context(|| server.to_owned())?;
    let host = url
        .host_str()
        .with_context(|| format!("{server}: no host"))?;
    let port = url.port_or_known_default();
    let port = port.with_context(|| format!("{server}: no port"))?;
    let named = (host.trim_matches(['[', ']']), port);
    let found = lookup_host(named).await;
    let found: Vec<_> = found.with_context(|| server.to_owned())?.collect();
    // Docker and apt know both, but containers often have no way to the second.
    let (first, second): (Vec<_>, Vec<_>) = found
        .into_iter()
        .partition(|address| matches!(address.ip(), IpAddr::V4(_)));
    for address in first.into_iter().chain(second) {
        let connected = timeout(Duration::from_secs(2), TcpStream::connect(address)).await;
        if matches!(connected, Ok(Ok(_))) {
            return Ok((url, address));
        }
    }
    anyhow::bail!("{server} does not answer")
}
