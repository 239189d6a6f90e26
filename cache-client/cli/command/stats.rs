//! `stats`.

use std::collections::BTreeMap;

use anyhow::Result;
use cache_client::Summary;
use clap::Args;
use serde_json::{Value, json};

use crate::{Connection, Exit, Output, output};

/// Show what the server did since its start, in figures.
#[derive(Args, Debug)]
pub(crate) struct Stats {}

impl Stats {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let summary = client.statistics().summary().await?;
        output.print(&document(&summary), |_| described(&summary))?;
        Ok(Exit::Done)
    }
}

/// Requests of one protocol.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    hits: u64,
    others: u64,
    by_outcome: BTreeMap<String, u64>,
    served: u64,
    upstream: u64,
}

impl Counts {
    /// Of what could have been a hit; `None` if nothing could.
    fn ratio(&self) -> Option<f64> {
        let all = self.hits + self.others;
        (all > 0).then(|| self.hits as f64 / all as f64)
    }
}

/// What came without waiting for an origin's bytes. Probes, refusals and what is only
/// passed on are neither hit nor miss.
fn is_hit(outcome: &str) -> Option<bool> {
    match outcome {
        "hit" | "hit_stale" | "revalidated" | "coalesced" | "partial" | "negative_hit" => {
            Some(true)
        }
        "miss" | "error" => Some(false),
        _ => None,
    }
}

fn by_protocol(summary: &Summary) -> BTreeMap<&str, Counts> {
    let mut protocols: BTreeMap<&str, Counts> = BTreeMap::new();
    for count in &summary.requests {
        let counts = protocols.entry(&count.protocol).or_default();
        match is_hit(&count.outcome) {
            Some(true) => counts.hits += count.requests,
            Some(false) => counts.others += count.requests,
            None => {}
        }
        let of = counts.by_outcome.entry(count.outcome.clone());
        *of.or_default() += count.requests;
    }
    for count in &summary.bytes {
        let counts = protocols.entry(&count.protocol).or_default();
        match &*count.tier {
            "upstream" => counts.upstream += count.bytes,
            _ => counts.served += count.bytes,
        }
    }
    protocols
}

fn document(summary: &Summary) -> Value {
    let protocols = by_protocol(summary).into_iter().map(|(name, counts)| {
        let document = json!({
            "requests": counts.by_outcome,
            "hit_ratio": counts.ratio(),
            "served_bytes": counts.served,
            "upstream_bytes": counts.upstream,
        });
        (name.to_owned(), document)
    });
    json!({
        "version": summary.version,
        "started": humantime::format_rfc3339_seconds(summary.started).to_string(),
        "storage": {
            "blobs": summary.storage.blobs,
            "bytes": summary.storage.bytes,
            "capacity": summary.storage.capacity,
        },
        "protocols": protocols.collect::<serde_json::Map<_, _>>(),
    })
}

fn described(summary: &Summary) -> String {
    let storage = &summary.storage;
    let mut lines = vec![
        format!(
            "cachalot {} since {}",
            summary.version,
            humantime::format_rfc3339_seconds(summary.started)
        ),
        format!(
            "{} blobs, {} of {}",
            storage.blobs,
            output::size(storage.bytes),
            output::size(storage.capacity)
        ),
        String::new(),
        format!(
            "{:<10} {:>6} {:>10} {:>10} {:>10} {:>10}",
            "protocol", "hits", "hit", "miss", "from cache", "upstream"
        ),
    ];
    lines.extend(by_protocol(summary).into_iter().map(|(name, counts)| {
        let ratio = counts.ratio();
        let ratio = ratio.map_or("-".to_owned(), |r| format!("{:.1}%", r * 100.0));
        format!(
            "{name:<10} {ratio:>6} {:>10} {:>10} {:>10} {:>10}",
            counts.hits,
            counts.others,
            output::size(counts.served),
            output::size(counts.upstream),
        )
    }));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_is_neither_hit_nor_miss() {
        assert_eq!(is_hit("hit"), Some(true));
        assert_eq!(is_hit("miss"), Some(false));
        assert_eq!(is_hit("probe"), None);
        assert_eq!(is_hit("denied"), None);
        assert_eq!(Counts::default().ratio(), None);
    }
}
