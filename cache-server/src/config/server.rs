//! Listeners, encryption, and how the server stops.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use cache_core::Period;
use serde::{Deserialize, Deserializer, Serialize, de};
use url::Url;

/// Where the server listens and how it stops.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// The data listener: every protocol. apt's auto-detection knows port 3142.
    pub listen: Address,
    /// The admin listener: metrics and health. It asks nobody who they are.
    pub admin_listen: Address,
    /// Lets everyone who reaches the server read and write everything when no
    /// authentication is configured.
    pub open: bool,
    /// What clients write to reach the server, as `http://cache.example:3142/`: it stands
    /// in documents that need whole URLs. The address it listens on, if nothing is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<Url>,
    /// How long requests in progress may take to finish once the server stops.
    pub drain_timeout: Period,
}

impl Default for ServerConfig {
    fn default() -> Self {
        let local = |port| Address((Ipv4Addr::LOCALHOST, port).into());
        Self {
            listen: local(3142),
            admin_listen: local(3143),
            open: false,
            public_url: None,
            drain_timeout: Period::seconds(30),
        }
    }
}

/// Certificate and key of the data listener, read again when the files change.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and its chain, in PEM.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
}

/// An address to listen on; port 0 takes a free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Address(pub SocketAddr);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(AddressVisitor)
    }
}

struct AddressVisitor;

impl de::Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an IP address with a port, as \"127.0.0.1:3142\" or \"[::]:3142\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        text.parse()
            .map(Address)
            .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}
