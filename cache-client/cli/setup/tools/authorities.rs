//! Whom tools are to trust when the server's own authority is none that the system knows.
//!
//! A tool that is given a file of authorities trusts nobody else. So the file has the system's
//! too, as they are at that moment.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::Wanted;
use crate::setup::{Edit, Machine, Scope, Tool};

const NAME: &str = "cachalot/authorities.pem";

/// Where systems keep theirs: Debian and its kin, Fedora and its kin, openSUSE, Alpine.
const SYSTEMS: [&str; 4] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
];

/// The server's authority, and a file of all that are to be trusted.
#[derive(Clone, Debug)]
pub(crate) struct Authorities {
    own: String,
    text: String,
    /// Where it is written.
    path: PathBuf,
    /// The same for programs that run on the machine.
    at: PathBuf,
}

impl Authorities {
    /// Those that vouch for a server by the authority in `file`.
    pub(super) fn of(file: &Path, scope: Scope, machine: &Machine) -> Result<Self> {
        let own = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        ensure!(
            own.contains("-----BEGIN CERTIFICATE-----"),
            "{} has no certificate in PEM in it",
            file.display()
        );
        let systems = SYSTEMS.iter().map(|path| machine.system(path));
        let system = systems.filter_map(|path| fs::read_to_string(path).ok());
        let mut text = system.take(1).collect::<String>();
        if !text.contains(own.trim()) {
            text = format!("{}\n{}\n", text.trim_end(), own.trim_end());
        }
        let (path, at) = match scope {
            Scope::User => (machine.config().join(NAME), machine.config().join(NAME)),
            Scope::System => (
                machine.system(&format!("etc/{NAME}")),
                Path::new("/etc").join(NAME),
            ),
        };
        Ok(Self {
            own,
            text,
            path,
            at,
        })
    }

    /// Where it is, as it stands in settings.
    pub(super) fn at(&self) -> String {
        self.at.display().to_string()
    }

    /// The server's authority, in PEM.
    pub(super) fn own(&self) -> &str {
        &self.own
    }

    /// The file that has them all. Every tool wants the same one, and the last one takes it
    /// away.
    pub(super) fn wanted(&self, tool: Tool) -> Wanted {
        Wanted {
            tool,
            path: self.path.clone(),
            keys: Vec::new(),
            edit: Edit::Whole {
                text: self.text.clone(),
                executable: false,
            },
        }
    }
}
