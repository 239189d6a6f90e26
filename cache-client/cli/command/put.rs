//! `put FILE [KEY]`.

use std::{io, path::PathBuf};

use anyhow::{Context, Result};
use cache_client::{Binding, Upload};
use clap::Args;
use futures::stream;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::{Connection, Exit, Output};

/// Store a file, and let a key lead to it.
///
/// Without a key the blob's name is all that leads to it, which is what `get` takes, and
/// it may be evicted sooner. What the server has is not sent again.
#[derive(Args, Debug)]
pub(crate) struct Put {
    /// The file; - for the standard input.
    file: PathBuf,
    /// The key.
    key: Option<String>,
    /// Refuse if the key leads somewhere already.
    #[arg(long, requires = "key")]
    new: bool,
}

impl Put {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        // Its name must be known before the first byte is sent.
        let spooled = self.spool().await?;
        let file = spooled
            .as_ref()
            .map_or(&*self.file, |spooled| spooled.path());
        let upload = Upload::file(file).await?;
        let blob = *upload.blob();
        let bar = output.bytes_bar(blob.size);
        let moved = bar.clone();
        let blobs = client.blobs(&connection.namespace);
        let blobs = blobs.progress(move |bytes| moved.inc(bytes));
        let uploaded = blobs.put_many(stream::iter([upload])).await;
        bar.finish_and_clear();
        let sent = uploaded?.sent_bytes;
        if let Some(key) = &self.key {
            let binding = Binding::new(key, blob);
            let binding = if self.new {
                binding.if_unbound()
            } else {
                binding
            };
            let refs = client.refs(&connection.namespace);
            refs.bind(&binding).await.with_context(|| key.clone())?;
        }
        let document = json!({
            "blob": blob.to_string(),
            "bytes": blob.size,
            "sent_bytes": sent,
            "key": self.key,
        });
        output.print(&document, |_| blob.to_string())?;
        Ok(Exit::Done)
    }

    /// The standard input as a file, if that is what is to be stored.
    async fn spool(&self) -> Result<Option<NamedTempFile>> {
        if self.file.as_os_str() != "-" {
            return Ok(None);
        }
        let spool = || {
            let mut spooled = NamedTempFile::new()?;
            io::copy(&mut io::stdin().lock(), &mut spooled)?;
            Ok::<_, io::Error>(spooled)
        };
        let spooled = tokio::task::spawn_blocking(spool).await?;
        Ok(Some(spooled.context("standard input")?))
    }
}
