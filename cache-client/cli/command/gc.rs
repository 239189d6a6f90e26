//! `gc`.

use anyhow::Result;
use bytesize::ByteSize;
use clap::Args;
use serde_json::json;

use crate::{Connection, Exit, Output, output};

/// Evict what was used the least; asks the admin listener.
///
/// What a build was shown lately stays.
#[derive(Args, Debug)]
pub(crate) struct Gc {
    /// How much may stay, as 20GiB; without it, as much as the server's own eviction
    /// leaves.
    #[arg(long, value_name = "SIZE")]
    target: Option<ByteSize>,
    /// Only say what would go.
    #[arg(long)]
    dry_run: bool,
}

impl Gc {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open_admin().await?;
        // 0 says "the low watermark", so what is to leave nothing leaves a byte.
        let target = self.target.map_or(0, |target| target.as_u64().max(1));
        let administration = client.administration();
        let collected = administration.collect(target, self.dry_run).await?;
        let document = json!({
            "blobs": collected.blobs,
            "bytes": collected.bytes,
            "dry_run": self.dry_run,
        });
        let verb = if self.dry_run {
            "would evict"
        } else {
            "evicted"
        };
        output.print(&document, |_| {
            let size = output::size(collected.bytes);
            format!("{verb} {} blobs, {size}", collected.blobs)
        })?;
        Ok(Exit::Done)
    }
}
