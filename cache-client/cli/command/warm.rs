//! `warm FILE...`.

use std::{collections::BTreeSet, env::consts::ARCH, fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use cache_client::{Error, Packages, Warmed};
use clap::Args;
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use serde_json::json;

use crate::{
    Connection, Exit, Output,
    lock::{Lock, Page, Project},
};

/// Files that are asked for at a time.
const PARALLEL: usize = 8;
/// The longest lock file, and the longest page of a project, that are read.
const DOCUMENT: u64 = 64 << 20;

/// Fetch into the cache what lock files name: uv.lock, requirements.txt,
/// package-lock.json, pnpm-lock.yaml, Cargo.lock.
///
/// The bytes stay at the server. Exits with 1 if a file could not be had.
#[derive(Args, Debug)]
pub(crate) struct Warm {
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also wheels that do not run on Linux machines like this one.
    #[arg(long)]
    all: bool,
}

/// What the files came to.
#[derive(Debug, Default)]
struct Tally {
    present: u64,
    fetched: u64,
    failed: Vec<(String, String)>,
}

impl Warm {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let locks = self.locks()?;
        let packages = connection.open().await?.packages();
        let mut tally = Tally::default();
        let (mut paths, mut passed_over) = (BTreeSet::new(), Vec::new());
        for lock in locks {
            paths.extend(lock.paths);
            passed_over.extend(lock.passed_over);
            paths.extend(self.pages(&packages, &lock.projects, &mut tally).await?);
        }
        let bar = output.counting_bar();
        fetch(&packages, paths, &mut tally, &bar).await;
        bar.finish_and_clear();
        report(&tally, &passed_over, output)?;
        Ok(if tally.failed.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    fn locks(&self) -> Result<Vec<Lock>> {
        let parse = |path: &PathBuf| {
            let length = fs::metadata(path)?.len();
            if length > DOCUMENT {
                bail!("longer than {DOCUMENT} bytes");
            }
            Lock::parse(path, &fs::read_to_string(path)?)
        };
        let named = |path: &PathBuf| parse(path).with_context(|| path.display().to_string());
        self.files.iter().map(named).collect()
    }

    /// The files of Python projects, as their pages lead to them.
    async fn pages(
        &self,
        packages: &Packages,
        projects: &[Project],
        tally: &mut Tally,
    ) -> Result<Vec<String>> {
        let machine = (!self.all).then_some(ARCH);
        let mut pages = stream::iter(projects)
            .map(async |project| (project, page(packages, project).await))
            .buffer_unordered(PARALLEL);
        let mut paths = Vec::new();
        while let Some((project, page)) = pages.next().await {
            match page {
                Ok(page) => {
                    let files = page.files(project, machine);
                    if files.is_empty() {
                        tally.fail(project.name.clone(), "no such file in its page".to_owned());
                    }
                    paths.extend(files);
                }
                Err(error) => tally.fail(project.name.clone(), fatal(error)?),
            }
        }
        Ok(paths)
    }
}

impl Tally {
    fn fail(&mut self, what: String, why: String) {
        self.failed.push((what, why));
    }
}

async fn page(packages: &Packages, project: &Project) -> Result<Page> {
    let page = packages.read(&project.path(), Page::TYPE, DOCUMENT).await?;
    Page::parse(&page.context("no such project")?)
}

/// What one file's failure says; an error if all others would fail like it.
fn fatal(error: anyhow::Error) -> Result<String> {
    match error.downcast_ref() {
        Some(Error::Unreachable(_) | Error::Refused(_)) => Err(error),
        _ => Ok(format!("{error:#}")),
    }
}

async fn fetch(packages: &Packages, paths: BTreeSet<String>, tally: &mut Tally, bar: &ProgressBar) {
    let all = paths.len();
    let mut warmed = stream::iter(paths)
        .map(async |path| {
            let warmed = packages.warm(&path).await;
            (path, warmed)
        })
        .buffer_unordered(PARALLEL);
    let mut done = 0;
    while let Some((path, warmed)) = warmed.next().await {
        done += 1;
        bar.set_message(format!("{done} of {all} files"));
        match warmed {
            Ok(Warmed::Present) => tally.present += 1,
            Ok(Warmed::Fetched) => tally.fetched += 1,
            Ok(_) => tally.fail(path, "not found".to_owned()),
            // One origin may be away while the others are not.
            Err(error) => tally.fail(path, error.to_string()),
        }
    }
}

fn report(tally: &Tally, passed_over: &[String], output: &Output) -> Result<()> {
    let failed = tally.failed.iter();
    let failed: Vec<_> = failed
        .map(|(what, why)| json!({ "file": what, "error": why }))
        .collect();
    let document = json!({
        "present": tally.present,
        "fetched": tally.fetched,
        "failed": failed,
        "passed_over": passed_over,
    });
    output.print(&document, |_| {
        let mut lines: Vec<String> = Vec::new();
        lines.extend(
            tally
                .failed
                .iter()
                .map(|(what, why)| format!("{what}: {why}")),
        );
        let (present, fetched) = (tally.present, tally.fetched);
        let (failed, passed) = (tally.failed.len(), passed_over.len());
        lines.push(format!(
            "{present} were there, {fetched} fetched, {failed} failed, {passed} passed over"
        ));
        lines.join("\n")
    })
}
