//! `check` and `repair`: the same findings, looked at or put right.

use anyhow::{Result, bail};
use cache_client::Checked;
use clap::Args;
use futures::{TryStreamExt, stream::BoxStream};
use serde_json::json;

use crate::{Connection, Exit, Output, output};

/// Look for keys without their blobs and blobs without their files; asks the admin
/// listener.
///
/// Changes nothing. Exits with 6 if something is wrong.
#[derive(Args, Debug)]
pub(crate) struct Check {}

/// Put right what a check finds wrong; asks the admin listener.
///
/// Records without bytes are dropped, files without records are taken back. Exits with 6
/// if something stayed wrong.
#[derive(Args, Debug)]
pub(crate) struct Repair {}

impl Check {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open_admin().await?;
        follow(client.administration().check().await?, output).await
    }
}

impl Repair {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open_admin().await?;
        follow(client.administration().repair().await?, output).await
    }
}

async fn follow(
    mut progress: BoxStream<'static, cache_client::Result<Checked>>,
    output: &Output,
) -> Result<Exit> {
    let bar = output.counting_bar();
    let mut last = None;
    while let Some(checked) = progress.try_next().await? {
        bar.set_message(format!("{} refs, {} blobs", checked.refs, checked.blobs));
        bar.set_position(checked.bytes);
        last = Some(checked);
    }
    bar.finish_and_clear();
    let Some(done) = last.filter(|last| last.complete) else {
        bail!("it was broken off");
    };
    report(&done, output)?;
    Ok(if wrong(&done) > done.repaired {
        Exit::Damaged
    } else {
        Exit::Done
    })
}

/// An incomplete ref is a miss, which is what it should be; the others are not.
fn wrong(checked: &Checked) -> u64 {
    checked.missing_blobs + checked.unknown_files
}

fn report(done: &Checked, output: &Output) -> Result<()> {
    let document = json!({
        "refs": done.refs,
        "blobs": done.blobs,
        "bytes": done.bytes,
        "incomplete_refs": done.incomplete_refs,
        "missing_blobs": done.missing_blobs,
        "unknown_files": done.unknown_files,
        "repaired": done.repaired,
        "findings": done.findings,
    });
    output.print(&document, |_| {
        let size = output::size(done.bytes);
        let mut lines = vec![format!("{} refs, {} blobs, {size}", done.refs, done.blobs)];
        lines.extend(done.findings.iter().map(|finding| format!("  {finding}")));
        lines.push(format!(
            "{} incomplete refs, {} missing blobs, {} unknown files, {} put right",
            done.incomplete_refs, done.missing_blobs, done.unknown_files, done.repaired
        ));
        lines.join("\n")
    })
}
