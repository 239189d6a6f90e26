//! `why SUBJECT`.

use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;

use crate::{Connection, Exit, Output};

/// Tell what the server knows of something, and what a request for it would find.
#[derive(Args, Debug)]
pub(crate) struct Why {
    /// A URL, a digest as sha256:<hex>, or a key as namespace:key.
    subject: String,
}

impl Why {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let client = connection.open().await?;
        let told = client.statistics().why(&self.subject).await?;
        let told: Value = serde_json::from_str(&told).context("the server's answer")?;
        output.print(&told, |told| {
            let mut lines = Vec::new();
            describe(told, 0, &mut lines);
            lines.join("\n")
        })?;
        Ok(Exit::Done)
    }
}

/// The document as indented lines: it says different things of different subjects.
fn describe(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let entries: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(k, v)| (k.replace('_', " "), v)).collect(),
        Value::Array(items) => items.iter().map(|v| ("-".to_owned(), v)).collect(),
        scalar => {
            lines.push(format!("{indent}{}", plain(scalar)));
            return;
        }
    };
    for (name, value) in entries {
        match value {
            Value::Object(_) | Value::Array(_) => {
                lines.push(format!("{indent}{name}"));
                describe(value, depth + 1, lines);
            }
            scalar => lines.push(format!("{indent}{name} {}", plain(scalar))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "nothing".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_is_told_in_lines() {
        let document = json!({ "subject": "a:b", "refs": [{ "key": "b", "writer": null }] });
        let mut lines = Vec::new();
        describe(&document, 0, &mut lines);
        let expected = [
            "subject a:b",
            "refs",
            "  -",
            "    key b",
            "    writer nothing",
        ];
        assert_eq!(lines, expected);
    }
}
