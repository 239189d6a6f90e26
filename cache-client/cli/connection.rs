//! Which server, and as whom.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use cache_client::{Builder, Client};
use clap::Args;

/// Options that every command has.
#[derive(Args, Clone, Debug)]
pub(crate) struct Connection {
    /// The server's data listener.
    #[arg(
        long,
        global = true,
        env = "CACHALOT_URL",
        default_value = "http://127.0.0.1:3142",
        value_name = "URL"
    )]
    pub(crate) server: String,
    /// The server's admin listener, for gc, scrub, check and repair.
    #[arg(
        long,
        global = true,
        env = "CACHALOT_ADMIN_URL",
        default_value = "http://127.0.0.1:3143",
        value_name = "URL"
    )]
    pub(crate) admin: String,
    /// Who keys belong to, as `team/app`.
    #[arg(
        long,
        short,
        global = true,
        env = "CACHALOT_NAMESPACE",
        default_value = "default",
        value_name = "NAME"
    )]
    pub(crate) namespace: String,
    /// A file with a bearer token; the token itself may be in CACHALOT_TOKEN.
    #[arg(long, global = true, env = "CACHALOT_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A certificate authority to trust, in PEM.
    #[arg(long, global = true, env = "CACHALOT_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl Connection {
    /// Connects to the data listener.
    pub(crate) async fn open(&self) -> Result<Client> {
        self.connect(&self.server).await
    }

    /// Connects to the admin listener.
    pub(crate) async fn open_admin(&self) -> Result<Client> {
        self.connect(&self.admin).await
    }

    async fn connect(&self, server: &str) -> Result<Client> {
        let builder = self.credentials(Client::builder(server))?;
        builder.connect().await.with_context(|| server.to_owned())
    }

    /// A client of the data listener that is yet to be set up.
    pub(crate) fn builder(&self) -> Result<Builder> {
        self.credentials(Client::builder(&self.server))
    }

    fn credentials(&self, mut builder: Builder) -> Result<Builder> {
        if let Some(token) = self.token()? {
            builder = builder.token(token);
        }
        if let Some(pem) = self.authority()? {
            builder = builder.authority(pem);
        }
        Ok(builder)
    }

    /// The same options for another process of this program. A token itself is in its
    /// environment.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec!["--server".to_owned(), self.server.clone()];
        words.extend(["--namespace".to_owned(), self.namespace.clone()]);
        let mut file = |name: &str, file: &Option<PathBuf>| {
            if let Some(file) = file {
                words.extend([name.to_owned(), file.display().to_string()]);
            }
        };
        file("--token-file", &self.token_file);
        file("--ca", &self.ca);
        words
    }

    /// The certificate authority, in PEM.
    pub(crate) fn authority(&self) -> Result<Option<Vec<u8>>> {
        let read = |file: &PathBuf| fs::read(file).with_context(|| file.display().to_string());
        self.ca.as_ref().map(read).transpose()
    }

    /// A file wins over the environment, which other processes may see.
    pub(crate) fn token(&self) -> Result<Option<String>> {
        let Some(file) = &self.token_file else {
            return Ok(std::env::var("CACHALOT_TOKEN").ok());
        };
        let token = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Some(token.trim().to_owned()))
    }
}
