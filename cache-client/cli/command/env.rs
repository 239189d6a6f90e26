//! `env`.

use std::path;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::{
    Connection, Exit, Output,
    setup::{Cache, Machine, Tool, environment},
};

/// Where a variable's value is kept meanwhile.
const KEPT: &str = "CACHALOT_BEFORE_";

/// Print variables that turn the cache on in one shell.
///
/// `eval "$(cachalot env)"` turns it on, `eval "$(cachalot env --unset)"` off.
#[derive(Args, Debug)]
pub(crate) struct Env {
    /// These tools only.
    #[arg(long, value_delimiter = ',', value_name = "TOOL")]
    only: Vec<Tool>,
    /// In whose language.
    #[arg(long, value_enum, default_value = "sh")]
    shell: Shell,
    /// Make the variables what they were.
    #[arg(long)]
    unset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Sh,
    Fish,
    Json,
}

impl Env {
    pub(crate) fn run(self, connection: &Connection, output: &Output) -> Result<Exit> {
        let cache = Cache::of(&connection.server)?;
        let machine = Machine::here(None)?;
        let tools = if self.only.is_empty() {
            Tool::ALL.to_vec()
        } else {
            self.only
        };
        let silent: Vec<&str> = tools
            .iter()
            .filter(|tool| environment(&[**tool], &cache, None).is_empty())
            .map(|tool| tool.name())
            .collect();
        let authority = connection.ca.as_deref().map(path::absolute).transpose()?;
        let all = environment(&tools, &cache, authority.as_deref());
        let variables = document(&all, self.unset);
        let lines = lines(&all, &machine, self.shell, self.unset);
        if !silent.is_empty() && !self.unset {
            output.note(&format!(
                "no variables for {}: use `cachalot setup`",
                silent.join(", ")
            ));
        }
        output.print(&variables, |_| lines.join("\n"))?;
        Ok(Exit::Done)
    }
}

/// For programs: names and values, null for what is to be unset.
fn document(variables: &[(&'static str, String)], unset: bool) -> Map<String, Value> {
    let value = |value: &String| {
        if unset {
            Value::Null
        } else {
            value.clone().into()
        }
    };
    let all = variables.iter();
    all.map(|(name, text)| ((*name).to_owned(), value(text)))
        .collect()
}

fn lines(
    variables: &[(&'static str, String)],
    machine: &Machine,
    shell: Shell,
    unset: bool,
) -> Vec<String> {
    if shell == Shell::Json {
        return vec![Value::Object(document(variables, unset)).to_string()];
    }
    let mut lines = Vec::new();
    for (name, value) in variables {
        let kept = format!("{KEPT}{name}");
        let before = machine.variable(name).filter(|it| it != value);
        match (unset, before, machine.variable(&kept)) {
            (false, Some(before), None) => {
                lines.push(set(shell, &kept, before));
                lines.push(set(shell, name, value));
            }
            (false, ..) => lines.push(set(shell, name, value)),
            (true, _, Some(before)) => {
                lines.push(set(shell, name, before));
                lines.push(clear(shell, &kept));
            }
            (true, _, None) => lines.push(clear(shell, name)),
        }
    }
    lines
}

fn set(shell: Shell, name: &str, value: &str) -> String {
    match shell {
        Shell::Fish => {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("set -gx {name} '{value}'")
        }
        _ => format!("export {name}='{}'", value.replace('\'', r"'\''")),
    }
}

fn clear(shell: Shell, name: &str) -> String {
    match shell {
        Shell::Fish => format!("set -e {name}"),
        _ => format!("unset {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, ffi::OsString};

    use super::*;

    fn machine(variables: &[(&str, &str)]) -> Machine {
        let all = [("HOME", "/home/a")].iter().chain(variables);
        let all = all.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        Machine::with(None, all.collect::<BTreeMap<_, _>>()).unwrap()
    }

    const ONE: &[(&str, &str)] = &[("PIP_INDEX_URL", "https://packages.example/it's")];

    #[test]
    fn what_was_set_is_kept_and_comes_back() {
        let wanted = [("PIP_INDEX_URL", "http://cache.example:3142/".to_owned())];
        let on = lines(&wanted, &machine(ONE), Shell::Sh, false);
        let kept = r"export CACHALOT_BEFORE_PIP_INDEX_URL='https://packages.example/it'\''s'";
        assert_eq!(
            on,
            [kept, "export PIP_INDEX_URL='http://cache.example:3142/'"]
        );

        let then = [
            ("PIP_INDEX_URL", "http://cache.example:3142/"),
            ("CACHALOT_BEFORE_PIP_INDEX_URL", "x"),
        ];
        let again = lines(&wanted, &machine(&then), Shell::Sh, false);
        assert_eq!(again, ["export PIP_INDEX_URL='http://cache.example:3142/'"]);
        let off = lines(&wanted, &machine(&then), Shell::Fish, true);
        assert_eq!(
            off,
            [
                "set -gx PIP_INDEX_URL 'x'",
                "set -e CACHALOT_BEFORE_PIP_INDEX_URL"
            ]
        );
    }

    #[test]
    fn what_was_not_set_is_unset_again() {
        let wanted = [("UV_DEFAULT_INDEX", "http://cache.example:3142/".to_owned())];
        assert_eq!(
            lines(&wanted, &machine(&[]), Shell::Sh, true),
            ["unset UV_DEFAULT_INDEX"]
        );
        let json = lines(&wanted, &machine(&[]), Shell::Json, true);
        assert_eq!(json, [r#"{"UV_DEFAULT_INDEX":null}"#]);
    }
}
