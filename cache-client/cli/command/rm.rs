//! `rm KEY...`.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;

use crate::{Connection, Exit, Output};

/// Unbind keys. What they led to is evicted when nobody needs it.
///
/// Exits with 3 if none of them was bound.
#[derive(Args, Debug)]
pub(crate) struct Rm {
    #[arg(required = true)]
    keys: Vec<String>,
}

impl Rm {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let refs = client.refs(&connection.namespace);
        let mut exit = Exit::Miss;
        for key in &self.keys {
            let existed = refs.delete(key).await.with_context(|| key.clone())?;
            if existed {
                exit = Exit::Done;
            }
            let said = if existed { "removed" } else { "was not bound" };
            let document = json!({ "key": key, "removed": existed });
            output.print(&document, |_| format!("{key} {said}"))?;
        }
        Ok(exit)
    }
}
