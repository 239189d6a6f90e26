//! `scrub`.

use anyhow::{Result, bail};
use clap::Args;
use futures::TryStreamExt;
use serde_json::json;

use crate::{Connection, Exit, Output, output};

/// Read every blob and compare it with its seal; asks the admin listener.
///
/// What is damaged is a miss from then on. Exits with 6 if something was.
#[derive(Args, Debug)]
pub(crate) struct Scrub {}

impl Scrub {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open_admin().await?;
        let mut progress = client.administration().scrub().await?;
        let bar = output.counting_bar();
        let mut last = None;
        while let Some(scrubbed) = progress.try_next().await? {
            bar.set_message(format!("{} blobs read", scrubbed.blobs));
            bar.set_position(scrubbed.bytes);
            last = Some(scrubbed);
        }
        bar.finish_and_clear();
        let Some(done) = last.filter(|last| last.complete) else {
            bail!("the scrub was broken off");
        };
        let document = json!({
            "blobs": done.blobs,
            "bytes": done.bytes,
            "damaged": done.damaged,
        });
        output.print(&document, |_| {
            let size = output::size(done.bytes);
            format!("{} blobs, {size}, {} damaged", done.blobs, done.damaged)
        })?;
        Ok(if done.damaged > 0 {
            Exit::Damaged
        } else {
            Exit::Done
        })
    }
}
