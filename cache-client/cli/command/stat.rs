//! `stat NAME`.

use anyhow::Result;
use cache_client::{Blob, Client, Ref};
use clap::Args;
use serde_json::{Value, json};

use super::name::Name;
use crate::{Connection, Exit, Output, output};

/// Show what a key leads to, or whether a blob is stored.
///
/// Exits with 3 if it is not, or not all of it.
#[derive(Args, Debug)]
pub(crate) struct Stat {
    /// A key, or a blob as sha256:<hex>/<bytes>.
    name: Name,
}

impl Stat {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        match &self.name {
            Name::Key(key) => {
                let found = client.refs(&connection.namespace).resolve(key).await?;
                let Some(found) = found else {
                    output.note("nothing is stored under that name");
                    return Ok(Exit::Miss);
                };
                output.print(&document(&found), |_| described(&found))?;
                Ok(Exit::Done)
            }
            Name::Blob(blob) => stat_blob(&client, connection, output, blob).await,
        }
    }
}

async fn stat_blob(
    client: &Client,
    connection: &Connection,
    output: &Output,
    blob: &Blob,
) -> Result<Exit> {
    let blobs = client.blobs(&connection.namespace);
    let is_stored = blobs.missing(&[*blob]).await?.is_empty();
    let document = json!({ "blob": blob.to_string(), "stored": is_stored });
    let said = if is_stored { "stored" } else { "not stored" };
    output.print(&document, |_| format!("{blob} {said}"))?;
    Ok(if is_stored { Exit::Done } else { Exit::Miss })
}

/// A ref for programs.
pub(crate) fn document(found: &Ref) -> Value {
    json!({
        "namespace": found.namespace,
        "key": found.key,
        "blob": found.target.to_string(),
        "bytes": found.target.size,
        "closure": found.closure,
        "writer": found.writer,
        "written": humantime::format_rfc3339_seconds(found.written).to_string(),
    })
}

fn described(found: &Ref) -> String {
    let written = humantime::format_rfc3339_seconds(found.written);
    format!(
        "key       {}\nnamespace {}\nblob      {}\nsize      {}\nneeds     {} more blobs\nwritten   {written} by {}",
        found.key,
        found.namespace,
        found.target.digest,
        output::size(found.target.size),
        found.closure,
        found.writer,
    )
}
