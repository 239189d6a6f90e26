//! `get NAME [FILE]`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Result;
use cache_client::{Blob, Blobs};
use clap::Args;
use futures::TryStreamExt;
use serde_json::json;

use super::name::Name;
use crate::{Connection, Exit, Output};

/// Write what is stored under a name to a file.
///
/// The file appears, or takes the place of the one that was there, when every byte was
/// checked. Exits with 3 if nothing is stored under the name.
#[derive(Args, Debug)]
pub(crate) struct Get {
    /// A key, or a blob as sha256:<hex>/<bytes>.
    name: Name,
    /// Where to; - or nothing for the standard output, where bytes come before all of
    /// them were checked.
    file: Option<PathBuf>,
}

impl Get {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let Some(blob) = self.name.blob(&client, &connection.namespace).await? else {
            output.note("nothing is stored under that name");
            return Ok(Exit::Miss);
        };
        let bar = output.bytes_bar(blob.size);
        let moved = bar.clone();
        let blobs = client.blobs(&connection.namespace);
        let blobs = blobs.progress(move |bytes| moved.inc(bytes));
        let file = self.file.as_deref().filter(|file| *file != Path::new("-"));
        let found = match file {
            Some(file) => blobs.download(&blob, file).await,
            None => print(&blobs, &blob).await,
        };
        bar.finish_and_clear();
        if !found? {
            output.note("the blob is not stored any more");
            return Ok(Exit::Miss);
        }
        if let Some(file) = file {
            let document = json!({
                "blob": blob.to_string(),
                "bytes": blob.size,
                "file": file.display().to_string(),
            });
            let said = |_: &_| format!("{} {blob}", file.display());
            output.print(&document, said)?;
        }
        Ok(Exit::Done)
    }
}

async fn print(blobs: &Blobs, blob: &Blob) -> cache_client::Result<bool> {
    let Some(mut stream) = blobs.open(blob).await? else {
        return Ok(false);
    };
    let failed = |source| cache_client::Error::File {
        path: "standard output".to_owned(),
        source,
    };
    while let Some(bytes) = stream.try_next().await? {
        match io::stdout().lock().write_all(&bytes) {
            // As `cachalot get key | head` does it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(true),
            written => written.map_err(failed)?,
        }
    }
    io::stdout().lock().flush().map_err(failed)?;
    Ok(true)
}
