//! `doctor`.

use std::{collections::BTreeSet, str::FromStr};

use anyhow::{Error, Result};
use clap::{Args, ValueEnum};
use serde::Serialize;

use super::setup::Scopes;
use crate::{
    Connection, Exit, Output,
    doctor::{Check, Counters, Probe, Proof, Verdict, checks},
    setup::{Cache, Machine, Tool},
};

/// Prove that each tool goes through the cache.
///
/// Each makes a small request, and the server's counters say whether it came. Requests that
/// others make of the same kind at the same moment count as well.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    /// These tools only; otherwise those that `setup` told of the cache.
    #[arg(long, value_delimiter = ',', value_name = "TOOL")]
    only: Vec<Tool>,
    /// What a tool is to ask for, as `pip=six`.
    #[arg(long = "package", value_name = "TOOL=NAME")]
    packages: Vec<Package>,
    #[command(flatten)]
    scope: Scopes,
}

#[derive(Clone, Debug)]
struct Package {
    tool: Tool,
    name: String,
}

impl FromStr for Package {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (tool, name) = text.split_once('=').ok_or("it is no TOOL=NAME")?;
        let tool = Tool::from_str(tool, false)?;
        let name = name.to_owned();
        Ok(Self { tool, name })
    }
}

#[derive(Debug, Serialize)]
struct Findings {
    server: String,
    checks: Vec<Check>,
    tools: Vec<Proof>,
}

impl Doctor {
    pub(crate) async fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let machine = self.scope.machine()?;
        let tools = self.tools(&machine, output)?;
        let cache = Cache::of(&connection.server)?;
        let counters = Counters::of(connection)?;
        let checks = checks(connection, &cache, &machine, &counters).await;
        let mut proofs = Vec::new();
        for tool in tools {
            output.note(&format!("asking {} ...", tool.name()));
            proofs.push(self.prove(tool, &machine, &counters).await);
        }
        let findings = Findings {
            server: cache.base().to_owned(),
            checks,
            tools: proofs,
        };
        output.print(&findings, Findings::human)?;
        Ok(if findings.are_fine() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }

    fn tools(&self, machine: &Machine, output: &Output) -> Result<BTreeSet<Tool>> {
        if !self.only.is_empty() {
            return Ok(self.only.iter().copied().collect());
        }
        let journals = self.scope.journals(machine)?;
        journals.notes.iter().for_each(|note| output.note(note));
        let entries = journals
            .open
            .iter()
            .flat_map(|(_, journal)| &journal.kept.entries);
        Ok(entries.flat_map(|entry| entry.tools.clone()).collect())
    }

    async fn prove(&self, tool: Tool, machine: &Machine, counters: &Counters) -> Proof {
        let named = self.packages.iter().find(|it| it.tool == tool);
        match Probe::new(tool, named.map(|it| it.name.as_str()), machine) {
            Ok(probe) => probe.prove(counters).await,
            Err(error) => failed(tool, &error),
        }
    }
}

fn failed(tool: Tool, error: &Error) -> Proof {
    Proof {
        tool,
        through: false,
        requests: 0,
        said: format!("{error:#}"),
    }
}

impl Findings {
    fn are_fine(&self) -> bool {
        self.checks.iter().all(|it| it.verdict != Verdict::Wrong)
            && self.tools.iter().all(|it| it.through)
    }

    fn human(&self) -> String {
        let mut lines = Vec::new();
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Fine => "ok",
                Verdict::Odd => "odd",
                Verdict::Wrong => "WRONG",
            };
            lines.push(format!("{:<10} {verdict:<6} {}", check.name, check.said));
        }
        for proof in &self.tools {
            let name = proof.tool.name();
            lines.push(if proof.through {
                let requests = proof.requests;
                format!(
                    "{name:<10} {:<6} through the cache: {requests} requests counted",
                    "ok"
                )
            } else {
                format!("{name:<10} {:<6} {}", "WRONG", proof.said)
            });
        }
        if self.tools.is_empty() {
            lines.push("no tool was told of the cache: `cachalot setup` does that".to_owned());
        }
        lines.join("\n")
    }
}
