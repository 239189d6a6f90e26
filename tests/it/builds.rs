//! Five projects shaped like users' own: what one builder built, the next one, which
//! knows nothing, does not build again.

use std::{fmt, io::Write as _};

use anyhow::{Context, Result, ensure};
use cache_tests::{
    Build, Built, Outcomes, Packages, Project, Registry, Root, TestServer, root::push_base,
};
use parking_lot::Mutex;

/// Two cores: builds beside each other would tell nothing about time.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What was measured so far, printed whole after every project.
static TABLE: Mutex<Vec<Row>> = Mutex::new(Vec::new());

#[test]
fn embedded_dev_is_not_built_twice_for_either_architecture() {
    tell("embedded-dev", &["debian", "python"]);
}

#[test]
fn runtime_and_app_are_not_built_twice() {
    tell("runtime-and-app", &["debian", "python"]);
}

#[test]
fn compose_services_are_not_built_twice() {
    tell("compose", &["debian", "python", "node"]);
}

#[test]
fn python_web_is_not_built_twice_for_production_or_development() {
    tell("python-web", &["debian", "python"]);
}

#[test]
fn uv_project_is_not_built_twice() {
    tell("uv-project", &["debian", "python"]);
}

fn tell(project: &str, bases: &[&str]) {
    let Some(root) = Root::for_test("trixie", project) else {
        return;
    };
    let _alone = ONE_AT_A_TIME.lock();
    Story::begin(project, root, bases)
        .and_then(|story| story.tell())
        .unwrap();
}

/// One project on one server; every build of it has an empty builder.
struct Story<'a> {
    project: &'a str,
    root: Root,
    server: TestServer,
}

impl<'a> Story<'a> {
    fn begin(project: &'a str, root: Root, bases: &[&str]) -> Result<Self> {
        let server = TestServer::start(&["--quota", "8GiB", "--log-level", "warn"]);
        for base in bases {
            push_base(base, &format!("{}/base/{base}:1", server.address()))?;
        }
        Ok(Self {
            project,
            root,
            server,
        })
    }

    fn tell(&self) -> Result<()> {
        let variants = Project::checkout(self.project)?.variants();
        // All first builds come before all second ones: a variant that overwrote
        // another's cache would show.
        let variants: Vec<Option<&str>> = match variants.as_slice() {
            [] => vec![None],
            some => some.iter().map(|name| Some(name.as_str())).collect(),
        };
        let mut rows = Vec::new();
        for variant in &variants {
            rows.push(Row {
                name: [self.project, variant.unwrap_or_default()].join(" "),
                cold: Some(self.first(*variant, true)?.into()),
                ..Row::default()
            });
        }
        for (variant, row) in variants.iter().zip(&mut rows) {
            row.warm = Some(self.again(*variant)?.into());
        }
        if let Some(row) = rows.first_mut() {
            row.without = Some(self.first(variants[0], false)?.into());
            row.incremental = Some(self.changed(variants[0])?.into());
        }
        print(rows);
        Ok(())
    }

    /// Nothing is in the cache yet, or it is not asked: every step runs.
    fn first(&self, variant: Option<&str>, cached: bool) -> Result<Built> {
        let built = self.build(variant, cached, |_| Ok(()))?;
        let (cached, steps) = built.steps.cached();
        ensure!(
            cached == 0 && steps > 0,
            "{cached} of {steps} steps cached at first"
        );
        Ok(built)
    }

    /// The next runner: no step runs, and the server counted it so.
    fn again(&self, variant: Option<&str>) -> Result<Built> {
        let before = Outcomes::of(&self.server);
        let built = self.build(variant, true, |_| Ok(()))?;
        let counted = Outcomes::of(&self.server) - before;
        eprintln!("{} {variant:?}, fully cached: {counted:?}", self.project);
        ensure!(
            built.steps.ran().is_empty(),
            "these ran again: {:?}",
            built.steps.ran()
        );
        ensure!(counted.hits > 0 && counted.probes > 0, "{counted:?}");
        ensure!(counted.misses == 0 && counted.partial == 0, "{counted:?}");
        ensure!(counted.errors == 0, "{counted:?}");
        Ok(built)
    }

    /// The next commit: what it touches runs, and nothing else.
    fn changed(&self, variant: Option<&str>) -> Result<Built> {
        let built = self.build(variant, true, Project::change)?;
        let project = Project::checkout(self.project)?;
        let change = &project.recipe().change;
        let is_of = |prefixes: &[String], name: &str| {
            prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        for step in built.steps.runs() {
            let (reruns, keeps) = (
                is_of(&change.reruns, &step.name),
                is_of(&change.cached, &step.name),
            );
            ensure!(reruns != keeps, "{} is not in project.toml", step.name);
            ensure!(step.cached == keeps, "{step:?}");
        }
        let listed = change.reruns.len() + change.cached.len();
        let steps = built.steps.runs().count();
        ensure!(steps == listed, "{steps} steps, {listed} in project.toml");
        Ok(built)
    }

    fn build(
        &self,
        variant: Option<&str>,
        cached: bool,
        prepare: impl Fn(&Project) -> Result<()>,
    ) -> Result<Built> {
        let project = Project::checkout(self.project)?;
        prepare(&project)?;
        let empty = tempfile::tempdir()?;
        let registry = self.server.address();
        let built = project.build(
            &self.root,
            empty.path(),
            Build {
                registry: &registry,
                variant,
                cached,
                packages: Packages::OfThisMachine,
            },
        )?;
        for tag in &built.pushed {
            self.is_there(tag)?;
        }
        Ok(built)
    }

    #[tokio::main(flavor = "current_thread")]
    async fn is_there(&self, pushed: &str) -> Result<()> {
        let (repository, tag) = pushed.rsplit_once(':').context("a tag")?;
        let registry = Registry::new(&self.server.address(), repository);
        let manifest = registry.pull_manifest(tag).await?;
        manifest.with_context(|| format!("{pushed} was pushed and is not there"))?;
        Ok(())
    }
}

/// A line of the table that a guide for build optimisation prints.
#[derive(Debug, Default)]
struct Row {
    name: String,
    without: Option<Cell>,
    cold: Option<Cell>,
    warm: Option<Cell>,
    incremental: Option<Cell>,
}

/// Seconds, and RUN steps that were cached.
#[derive(Debug)]
struct Cell {
    seconds: f64,
    cached: usize,
    steps: usize,
}

impl From<Built> for Cell {
    fn from(built: Built) -> Self {
        let (cached, steps) = built.steps.cached();
        Self {
            seconds: built.seconds,
            cached,
            steps,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s ({}/{})", self.seconds, self.cached, self.steps)
    }
}

/// Prints the table as it is now, past the capture of what tests print.
fn print(rows: Vec<Row>) {
    let mut table = TABLE.lock();
    table.extend(rows);
    let mut text = String::from(
        "\nEvery build on an empty builder; in brackets: cached RUN steps.\n\
         | stage | without cache | cold, with export | warm | incremental |\n\
         |---|---|---|---|---|\n",
    );
    for row in table.iter() {
        let cells = [&row.without, &row.cold, &row.warm, &row.incremental];
        let cells = cells.map(|cell| {
            cell.as_ref()
                .map_or_else(|| "-".to_owned(), Cell::to_string)
        });
        text += &format!("| {} | {} |\n", row.name, cells.join(" | "));
    }
    // A closed stderr is no reason to fail.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
