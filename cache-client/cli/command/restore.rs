//! `restore KEY`.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::Result;
use cache_client::snapshot::{Restore as Request, Restored};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;

use crate::{Connection, Exit, Output};

/// Restore directories that were saved under a key.
///
/// The whole snapshot is checked and built beside its place first, and put there by a few
/// renames: whatever fails, the target is as it was. Files that are there already are not
/// fetched. Files that are not in the snapshot stay, unless it is to be exact. Like tar,
/// it does not wait for the disk. Exits with 3 if nothing is saved under the key or a
/// fallback.
#[derive(Args, Debug)]
pub(crate) struct Restore {
    key: String,
    /// If there is no such key, the newest of those that begin with this; the first that
    /// has any wins.
    #[arg(long, value_name = "KEY")]
    fallback: Vec<String>,
    /// What the saved paths are relative to.
    #[arg(long, short = 'C', default_value = ".", value_name = "FOLDER")]
    base: PathBuf,
    /// Remove what is in the saved directories and not in the snapshot.
    #[arg(long)]
    exact: bool,
    /// Give files the owners that they had, with setuid and setgid; for root.
    #[arg(long)]
    owner: bool,
    /// Refuse more bytes than so many.
    #[arg(long, value_name = "BYTES")]
    limit: Option<u64>,
    /// Where it is noted what files are, for the next save [default: in `XDG_CACHE_HOME`]
    #[arg(long, value_name = "FILE", conflicts_with = "no_index")]
    index: Option<PathBuf>,
    /// Note nothing, and read every file that may be there already.
    #[arg(long)]
    no_index: bool,
}

impl Restore {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let begun = Instant::now();
        let bar = Arc::new(output.bytes_bar(0));
        let client = connection.open().await?;
        let snapshots = client.snapshots(&connection.namespace);
        let request = self.request(&bar);
        let restored = snapshots.restore(&self.key, &self.fallback, &request).await;
        bar.finish_and_clear();
        let Some(restored) = restored? else {
            output.note(&format!("nothing is saved under {}", self.key));
            return Ok(Exit::Miss);
        };
        print(&restored, begun.elapsed().as_secs_f64(), output)?;
        Ok(Exit::Done)
    }

    fn request(&self, bar: &Arc<ProgressBar>) -> Request {
        let mut request = Request::new(&self.base);
        if self.exact {
            request = request.exact();
        }
        if self.owner {
            request = request.owner();
        }
        if let Some(bytes) = self.limit {
            request = request.limit(bytes);
        }
        if let Some(file) = &self.index {
            request = request.index(file);
        }
        if self.no_index {
            request = request.without_index();
        }
        let bar = Arc::clone(bar);
        request.progress(move |progress| {
            bar.set_length(progress.total.unwrap_or(progress.bytes));
            bar.set_position(progress.bytes);
        })
    }
}

fn print(restored: &Restored, seconds: f64, output: &Output) -> Result<()> {
    let document = json!({
        "key": restored.key,
        "entries": restored.entries,
        "bytes": restored.bytes,
        "bytes_moved": restored.fetched_bytes,
        "files_reused": restored.reused_files,
        "bytes_reused": restored.reused_bytes,
        "kept": restored.kept,
        "seconds": seconds,
    });
    output.print(&document, |_| {
        format!(
            "restored {}: {} files and folders, {}; {} downloaded, {} reused, {seconds:.2} s",
            restored.key,
            restored.entries,
            HumanBytes(restored.bytes),
            HumanBytes(restored.fetched_bytes),
            HumanBytes(restored.reused_bytes),
        )
    })
}
