//! `cachalot build` and `cachalot mount` in client roots.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use crate::{
    Root,
    project::{ImageRecipe, Recipe},
    root::{Run, tests_folder, text},
};

/// What `cachalot --json build` told, as far as tests look at it.
#[derive(Debug, Deserialize)]
pub struct Report {
    /// Of the build.
    pub status: u8,
    /// Steps that came from a cache.
    pub cached: usize,
    /// Steps that ran.
    pub executed: usize,
    /// Every instruction.
    pub steps: Vec<ReportedStep>,
    /// What was left out, and why.
    pub notes: Vec<String>,
    /// The images.
    pub images: Vec<ReportedImage>,
    /// Estimated.
    pub saved_seconds_estimate: Option<f64>,
    /// Of layers.
    pub saved_bytes: u64,
    /// Of the build before.
    pub previous_size: Option<u64>,
}

/// One instruction.
#[derive(Debug, Deserialize)]
pub struct ReportedStep {
    /// As `BuildKit` calls it.
    pub name: String,
    /// `cached`, `executed`, `failed`, `canceled`.
    pub verdict: String,
}

/// One image.
#[derive(Debug, Deserialize)]
pub struct ReportedImage {
    /// Of its layers.
    pub size: u64,
}

/// A wrapped build that has ended.
#[derive(Debug)]
pub struct Wrapped {
    /// Of each image, in their order; empty if a build told nothing.
    pub reports: Vec<Report>,
    /// What each build printed for people and programs.
    pub printed: Vec<String>,
    /// The exit status of the last.
    pub status: i32,
}

/// A copy of a project to work in.
#[derive(Debug)]
pub struct Checkout {
    name: String,
    folder: TempDir,
    is_cut_off: bool,
    builder: Option<String>,
    /// Its `project.toml`.
    pub recipe: Recipe,
}

impl Checkout {
    /// Copies it.
    ///
    /// # Errors
    /// If it is not there.
    pub fn of(name: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let from = tests_folder().join("builds").join(name);
        let copied = Command::new("cp")
            .arg("-a")
            .arg(from.join("."))
            .arg(folder.path())
            .status()?;
        anyhow::ensure!(copied.success(), "{name} is not copied");
        let recipe = fs::read_to_string(from.join("project.toml"))?;
        Ok(Self {
            name: name.to_owned(),
            folder,
            is_cut_off: false,
            builder: None,
            recipe: toml::from_str(&recipe)?,
        })
    }

    /// Its builds find packages nowhere but where the wrapper tells them to look.
    #[must_use]
    pub const fn cut_off(mut self) -> Self {
        self.is_cut_off = true;
        self
    }

    /// It is built by a builder in a container, whose image is `buildkit`.
    #[must_use]
    pub fn apart(mut self, buildkit: &str) -> Self {
        self.builder = Some(buildkit.to_owned());
        self
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes the change of an ordinary commit.
    ///
    /// # Errors
    /// If the file cannot be edited.
    pub fn change(&self) -> Result<()> {
        let path = self.path().join(&self.recipe.change.file);
        let text = fs::read_to_string(&path)?;
        Ok(fs::write(path, text + &self.recipe.change.append)?)
    }

    /// Builds it with the Docker whose state is in a folder; `options` are the wrapper's
    /// own. The build says its progress raw where it can, so that the test reads for itself
    /// what it says.
    ///
    /// # Errors
    /// If nothing could be run; a build that fails is none.
    pub fn build(
        &self,
        root: &Root,
        state: &Path,
        registry: &str,
        options: &str,
    ) -> Result<Wrapped> {
        let commands = match &self.recipe.compose {
            Some(compose) => vec![self.compose(&compose.file, registry)?],
            None => {
                let images = self.recipe.images.iter();
                let command = |image| self.image(image, registry);
                images.map(command).collect::<Result<_>>()?
            }
        };
        let out = tempfile::tempdir()?;
        let mut script = String::from("cd /project; status=0\n");
        if let Some(image) = &self.builder {
            writeln!(script, "{}", create_builder("apart", image))?;
        }
        for (number, (wrapper, command)) in commands.iter().enumerate() {
            writeln!(
                script,
                "cachalot --json --server http://{registry} build --project test/{} {wrapper} {options} \
                 -- {command} >/out/{number}.report 2>/out/{number}.printed || status=$?",
                self.name
            )?;
        }
        script += "echo $status >/out/status";
        let mut run = Run::default()
            .with_docker(state)
            .with_bind(self.path(), "/project")
            .with_bind(out.path(), "/out")
            .with_bind(cachalot(), "/usr/bin/cachalot");
        if self.is_cut_off {
            run = run.without_names();
        }
        text(&root.run(&run, &["bash", "-c", &script])?)?;
        let mut wrapped = Wrapped {
            reports: Vec::new(),
            printed: Vec::new(),
            status: fs::read_to_string(out.path().join("status"))?
                .trim()
                .parse()?,
        };
        for number in 0..commands.len() {
            let read = |what| fs::read_to_string(out.path().join(format!("{number}.{what}")));
            let printed = read("printed")?;
            let report = read("report")?;
            let last = report.lines().last().unwrap_or_default();
            if let Ok(report) = serde_json::from_str(last) {
                wrapped.reports.push(report);
            }
            // compose 2.26 shows its progress on the first channel.
            let progress = report.lines().filter(|line| line.starts_with('#'));
            let progress: String = progress.map(|line| format!("{line}\n")).collect();
            wrapped.printed.push(progress + &printed);
        }
        Ok(wrapped)
    }

    fn image(&self, image: &ImageRecipe, registry: &str) -> Result<(String, String)> {
        let mut command = "docker buildx build --progress rawjson --network host".to_owned();
        if self.builder.is_some() {
            command += " --builder apart --allow network.host";
        }
        for argument in self.arguments()? {
            write!(command, " --build-arg '{argument}'")?;
        }
        for (name, value) in &image.args {
            write!(command, " --build-arg '{name}={value}'")?;
        }
        let (project, name, target) = (&self.name, &image.name, &image.target);
        write!(
            command,
            " --build-arg REGISTRY={registry} --target {target} --push \
             -t {registry}/{project}/{name}:latest {}",
            image.context
        )?;
        Ok((format!("--name {name}"), command))
    }

    /// This machine's proxies and package indexes, as `NAME=VALUE`.
    fn arguments(&self) -> Result<Vec<String>> {
        if self.is_cut_off {
            return Ok(Vec::new());
        }
        let said = Command::new(tests_folder().join("clients/host-build-args")).output()?;
        Ok(text(&said)?.lines().map(str::to_owned).collect())
    }

    /// Without the project's own caches: they would win.
    fn compose(&self, file: &str, registry: &str) -> Result<(String, String)> {
        let path = self.path().join(file);
        let text = fs::read_to_string(&path)?;
        let is_cache = |line: &&str| line.trim_start().starts_with("cache_");
        let lines: Vec<&str> = text.lines().filter(|line| !is_cache(line)).collect();
        fs::write(&path, lines.join("\n"))?;
        // The wrapper wants the build's own program first, so no variables before it.
        let mut variables = format!("REGISTRY={registry}\n");
        for argument in self.arguments()? {
            writeln!(variables, "{argument}")?;
        }
        fs::write(self.path().join(".env"), variables)?;
        Ok((
            String::new(),
            format!("docker compose --progress plain -f {file} build --push"),
        ))
    }
}

/// The command that makes a builder in a container, beside a Docker of
/// [`Run::with_docker`].
#[must_use]
pub fn create_builder(name: &str, image: &str) -> String {
    format!(
        "docker buildx create --name {name} --driver docker-container --bootstrap \
         --driver-opt network=host,image={image} \
         --driver-opt cgroup-parent=/$CACHALOT_CGROUP/builder >/dev/null"
    )
}

/// The client's binary: the one that `CACHALOT_CLIENT` names, or the one beside the tests.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn cachalot() -> &'static Path {
    use std::{path::PathBuf, sync::OnceLock};
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os("CACHALOT_CLIENT") {
            return built.into();
        }
        let this = std::env::current_exe().expect("this program");
        let folder = this
            .ancestors()
            .find(|folder| folder.join("cachalot").exists());
        folder
            .expect("the client beside the tests")
            .join("cachalot")
    })
}

/// Runs a script in a root with the client and a project.
///
/// # Errors
/// If it fails; the error has what it printed.
pub fn script(root: &Root, state: &Path, project: &Path, script: &str) -> Result<String> {
    let run = Run::default()
        .with_docker(state)
        .with_bind(project, "/project")
        .with_bind(cachalot(), "/usr/bin/cachalot");
    let output = root.run(
        &run,
        &["bash", "-c", &format!("set -eu; cd /project; {script}")],
    )?;
    text(&output).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}
