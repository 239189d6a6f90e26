//! Refs: mutable names for blobs.

use std::time::SystemTime;

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::cachalot::v1::{self, refs_client::RefsClient};

use crate::{Error, Result, client::Authorized};

/// The name of immutable bytes, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Blob {
    /// SHA-256.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

/// A mutable name, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// Who it belongs to.
    pub namespace: String,
    /// Its name there.
    pub key: String,
    /// What it leads to.
    pub target: Blob,
    /// What its writer put beside it.
    pub meta: Bytes,
    /// The principal who wrote it.
    pub writer: String,
    /// When, by the server's clock.
    pub written: SystemTime,
}

/// The refs of one namespace.
#[derive(Clone, Debug)]
pub struct Refs {
    client: RefsClient<Authorized>,
    namespace: String,
}

impl Refs {
    pub(crate) fn new(channel: Authorized, namespace: String) -> Self {
        Self {
            client: RefsClient::new(channel),
            namespace,
        }
    }

    /// What `key` leads to, if it is bound and all of its blobs are there.
    ///
    /// # Errors
    /// Any but [`Error::Conflict`].
    pub async fn resolve(&self, key: &str) -> Result<Option<Ref>> {
        let candidate = v1::Candidate {
            namespace: self.namespace.clone(),
            key: key.to_owned(),
            prefix: false,
        };
        let request = v1::ResolveRequest {
            candidates: vec![candidate],
        };
        let answer = self.client.clone().resolve(request).await;
        let answer = answer.map_err(|status| Error::of("cachalot.v1.Refs.Resolve", status))?;
        answer.into_inner().r#ref.map(Ref::parse).transpose()
    }
}

impl Ref {
    fn parse(wire: v1::Ref) -> Result<Self> {
        let target = wire.target.unwrap_or_default();
        let written = wire.written.unwrap_or_default();
        Ok(Self {
            target: Blob::parse(&target)?,
            namespace: wire.namespace,
            key: wire.key,
            meta: wire.meta,
            writer: wire.writer,
            written: SystemTime::try_from(written).unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }
}

impl Blob {
    fn parse(wire: &v1::Blob) -> Result<Self> {
        let hash = <[u8; 32]>::try_from(&wire.sha256[..])
            .map_err(|_| Error::Corrupt("a digest that is not 32 bytes".to_owned()))?;
        Ok(Self {
            digest: Digest::from_sha256(hash),
            size: wire.size,
        })
    }
}
