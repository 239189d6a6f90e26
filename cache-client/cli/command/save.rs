//! `save KEY PATH...`.

use std::{path::PathBuf, sync::Arc, time::Instant};

use anyhow::Result;
use cache_client::snapshot::{Save as Request, Saved};
use clap::Args;
use indicatif::{HumanBytes, ProgressBar};
use serde_json::json;

use crate::{Connection, Exit, Output};

/// Save directories under a key.
///
/// Mode, owner, modification time, symbolic and hard links are kept; extended attributes
/// are not. Files that are as they were at the last save are not read again, and bytes
/// that the server has are not sent again. Paths are stored relative to the base, and are
/// restored relative to the base then.
#[derive(Args, Debug)]
pub(crate) struct Save {
    key: String,
    /// Files and directories, in the base.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// What paths are relative to.
    #[arg(long, short = 'C', default_value = ".", value_name = "FOLDER")]
    base: PathBuf,
    /// Where it is noted what files were when they were read [default: in
    /// `XDG_CACHE_HOME`]
    #[arg(long, value_name = "FILE", conflicts_with = "no_index")]
    index: Option<PathBuf>,
    /// Read every file.
    #[arg(long)]
    no_index: bool,
    /// Fail if the key leads to something else already.
    #[arg(long)]
    only_if_unbound: bool,
}

impl Save {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let begun = Instant::now();
        let bar = Arc::new(output.bytes_bar(0));
        let client = connection.open().await?;
        let snapshots = client.snapshots(&connection.namespace);
        let saved = snapshots.save(&self.key, &self.request(&bar)).await;
        bar.finish_and_clear();
        let saved = saved?;
        for left in &saved.left_out {
            output.note(&format!(
                "left out: {}: {}",
                left.path.display(),
                left.reason
            ));
        }
        self.print(&saved, begun.elapsed().as_secs_f64(), output)?;
        Ok(Exit::Done)
    }

    fn request(&self, bar: &Arc<ProgressBar>) -> Request {
        let request = Request::new(&self.base, &self.paths);
        let request = match (&self.index, self.no_index) {
            (Some(file), _) => request.index(file),
            (None, true) => request.without_index(),
            (None, false) => request,
        };
        let request = match self.only_if_unbound {
            true => request.only_if_unbound(),
            false => request,
        };
        let bar = Arc::clone(bar);
        request.progress(move |progress| {
            bar.set_length(progress.bytes);
            bar.set_position(progress.bytes);
        })
    }

    fn print(&self, saved: &Saved, seconds: f64, output: &Output) -> Result<()> {
        let left_out = saved
            .left_out
            .iter()
            .map(|left| json!({ "path": left.path.to_string_lossy(), "reason": left.reason }));
        let document = json!({
            "key": self.key,
            "root": saved.root.digest.to_string(),
            "entries": saved.entries,
            "bytes": saved.bytes,
            "files_read": saved.read,
            "bytes_moved": saved.uploaded_bytes,
            "blobs_moved": saved.uploaded_blobs,
            "bytes_reused": saved.bytes.saturating_sub(saved.uploaded_bytes),
            "left_out": left_out.collect::<Vec<_>>(),
            "seconds": seconds,
        });
        output.print(&document, |_| {
            format!(
                "saved {} as {}: {} files and folders, {}; {} read, {} uploaded, {seconds:.2} s",
                self.paths_shown(),
                self.key,
                saved.entries,
                HumanBytes(saved.bytes),
                saved.read,
                HumanBytes(saved.uploaded_bytes),
            )
        })
    }

    fn paths_shown(&self) -> String {
        let shown = self.paths.iter().map(|path| path.display().to_string());
        shown.collect::<Vec<_>>().join(", ")
    }
}
