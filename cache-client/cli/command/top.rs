//! `top`.

use anyhow::Result;
use cache_client::Request;
use clap::Args;
use futures::TryStreamExt;
use serde_json::{Value, json};

use crate::{Connection, Exit, Output, output};

/// Show the last requests, and those that come then, until it is interrupted.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// How many of the last, at most 1000.
    #[arg(long, short = 'l', default_value_t = 20)]
    last: u32,
    /// Do not wait for more.
    #[arg(long)]
    once: bool,
}

impl Top {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let follow = !self.once;
        let mut requests = client.statistics().requests(self.last, follow).await?;
        while let Some(request) = requests.try_next().await? {
            output.print(&document(&request), |_| described(&request))?;
        }
        Ok(Exit::Done)
    }
}

fn document(request: &Request) -> Value {
    json!({
        "id": request.id,
        "started": humantime::format_rfc3339_millis(request.started).to_string(),
        "milliseconds": request.duration.as_secs_f64() * 1_000.0,
        "method": request.method,
        "path": request.path,
        "status": request.status,
        "protocol": request.protocol,
        "outcome": request.outcome,
        "tier": request.tier,
        "client": request.client,
        "principal": request.principal,
        "bytes": request.bytes,
        "package": request.package,
    })
}

fn described(request: &Request) -> String {
    let started = humantime::format_rfc3339_seconds(request.started).to_string();
    format!(
        "{} {:>7.1} ms {:>10} {:<8} {:<12} {:<10} {} {} {}",
        started.get(11..19).unwrap_or_default(),
        request.duration.as_secs_f64() * 1_000.0,
        output::size(request.bytes),
        request.protocol,
        request.outcome,
        request.client,
        request.status,
        request.method,
        request.path,
    )
}
