//! Refs: mutable names for blobs.

use std::time::SystemTime;

use bytes::Bytes;
use cache_core::Digest;
use cache_proto::cachalot::v1::{self, bind_request, refs_client::RefsClient};
use futures::stream::BoxStream;

use crate::{Blob, Error, Result, connection::Connection, paged::paged, retry::Repeat};

/// A page of a list: 1,000 refs, each with up to 64 KiB beside it.
const PAGE: usize = 80 << 20;

/// A mutable name, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ref {
    /// Who it belongs to.
    pub namespace: String,
    /// Its name there.
    pub key: String,
    /// What it leads to.
    pub target: Blob,
    /// How many further blobs it needs.
    pub closure: u64,
    /// What its writer put beside it.
    pub meta: Bytes,
    /// The principal who wrote it.
    pub writer: String,
    /// When, by the server's clock.
    pub written: SystemTime,
}

/// A key to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    namespace: Option<String>,
    key: String,
    prefix: bool,
}

impl Candidate {
    /// This key.
    pub fn key(key: impl Into<String>) -> Self {
        Self {
            namespace: None,
            key: key.into(),
            prefix: false,
        }
    }

    /// Of the keys that begin with `prefix` the one that was written last.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            prefix: true,
            ..Self::key(prefix)
        }
    }

    /// The same in another namespace than that of the handle which is asked.
    #[must_use]
    pub fn of(self, namespace: impl Into<String>) -> Self {
        Self {
            namespace: Some(namespace.into()),
            ..self
        }
    }
}

/// A ref that was found, and by which of the candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The ref.
    pub target: Ref,
    /// Which candidate it is, counted from 0.
    pub candidate: usize,
}

/// What a key is to lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    key: String,
    target: Blob,
    closure: Vec<Blob>,
    meta: Bytes,
    only: Only,
}

/// What must be so for a key to be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Always,
    IfUnbound,
    IfLeadsTo(Digest),
}

impl Binding {
    /// `key` is to lead to `target`, a blob that is stored, whatever it led to.
    pub fn new(key: impl Into<String>, target: Blob) -> Self {
        Self {
            key: key.into(),
            target,
            closure: Vec::new(),
            meta: Bytes::new(),
            only: Only::Always,
        }
    }

    /// Every further blob without which the target is of no use: the key is a miss as
    /// soon as one of them is gone.
    #[must_use]
    pub fn closure(self, closure: impl IntoIterator<Item = Blob>) -> Self {
        let closure = closure.into_iter().collect();
        Self { closure, ..self }
    }

    /// What is to be given back with it, at most 64 KiB.
    #[must_use]
    pub fn meta(self, meta: impl Into<Bytes>) -> Self {
        let meta = meta.into();
        Self { meta, ..self }
    }

    /// Only if the key leads nowhere.
    #[must_use]
    pub fn if_unbound(self) -> Self {
        let only = Only::IfUnbound;
        Self { only, ..self }
    }

    /// Only if the key leads to this blob, by its SHA-256.
    #[must_use]
    pub fn if_leads_to(self, digest: Digest) -> Self {
        let only = Only::IfLeadsTo(digest);
        Self { only, ..self }
    }

    fn to_wire(&self, namespace: &str) -> Result<v1::BindRequest> {
        let closure = self.closure.iter().map(|blob| blob.to_ours());
        let precondition = match self.only {
            Only::Always => None,
            Only::IfUnbound => Some(bind_request::Precondition::Unbound(true)),
            Only::IfLeadsTo(digest) => {
                let wire = Blob { digest, size: 0 }.to_ours()?;
                Some(bind_request::Precondition::LeadsTo(wire.sha256))
            }
        };
        Ok(v1::BindRequest {
            namespace: namespace.to_owned(),
            key: self.key.clone(),
            target: Some(self.target.to_ours()?),
            closure: closure.collect::<Result<_>>()?,
            meta: self.meta.clone(),
            precondition,
        })
    }
}

/// The refs of one namespace.
#[derive(Clone, Debug)]
pub struct Refs {
    connection: Connection,
    namespace: String,
}

impl Refs {
    pub(crate) fn new(connection: Connection, namespace: String) -> Self {
        Self {
            connection,
            namespace,
        }
    }

    /// What `key` leads to, if it is bound and all of its blobs are there. They stay for
    /// a while then.
    ///
    /// # Errors
    /// Any but [`Error::Conflict`].
    pub async fn resolve(&self, key: &str) -> Result<Option<Ref>> {
        let found = self.resolve_first([Candidate::key(key)]).await?;
        Ok(found.map(|found| found.target))
    }

    /// The first of the candidates, at most 64, that is bound and whole.
    ///
    /// # Errors
    /// As of [`Refs::resolve`].
    pub async fn resolve_first(
        &self,
        candidates: impl IntoIterator<Item = Candidate>,
    ) -> Result<Option<Found>> {
        let wire = |candidate: Candidate| v1::Candidate {
            namespace: candidate
                .namespace
                .unwrap_or_else(|| self.namespace.clone()),
            key: candidate.key,
            prefix: candidate.prefix,
        };
        let request = v1::ResolveRequest {
            candidates: candidates.into_iter().map(wire).collect(),
        };
        let call = "cachalot.v1.Refs.Resolve";
        let resolve =
            |channel, request| async move { RefsClient::new(channel).resolve(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, resolve);
        let answer = answer.await?;
        let found = answer.r#ref.map(Ref::parse).transpose()?;
        Ok(found.map(|target| Found {
            target,
            candidate: answer.candidate as usize,
        }))
    }

    /// Binds a key.
    ///
    /// # Errors
    /// [`Error::Missing`] if one of its blobs is not stored, [`Error::Conflict`] if its
    /// condition does not hold: nothing is changed then. With a condition a call that
    /// broke is not repeated, since it may have been done: [`Error::Unreachable`] leaves
    /// open whether it was.
    pub async fn bind(&self, binding: &Binding) -> Result<Ref> {
        let request = binding.to_wire(&self.namespace)?;
        let repeat = match binding.only {
            Only::Always => Repeat::Safe,
            Only::IfUnbound | Only::IfLeadsTo(_) => Repeat::IfNeverSent,
        };
        let call = "cachalot.v1.Refs.Bind";
        let bind = |channel, request| async move { RefsClient::new(channel).bind(request).await };
        let answer = self.connection.call(call, repeat, request, bind).await?;
        let bound = answer.r#ref.map(Ref::parse).transpose()?;
        bound.ok_or_else(|| Error::Corrupt("an answer without the ref".to_owned()))
    }

    /// The refs whose keys begin with `prefix`, in the byte order of their keys, asked
    /// for as they are read.
    ///
    /// # Errors
    /// An item is an error of any call; the stream ends there.
    pub fn list(&self, prefix: impl Into<String>) -> BoxStream<'static, Result<Ref>> {
        let connection = self.connection.clone();
        paged(self.namespace.clone(), prefix.into(), move |request| {
            let connection = connection.clone();
            async move {
                let list = |channel, request| async move {
                    let mut client = RefsClient::new(channel).max_decoding_message_size(PAGE);
                    client.list(request).await
                };
                let call = "cachalot.v1.Refs.List";
                connection.call(call, Repeat::Safe, request, list).await
            }
        })
    }

    /// Unbinds a key; false if it was unbound already, or if an attempt whose answer was
    /// lost did it. Its blobs stay until nobody needs them.
    ///
    /// # Errors
    /// Any but [`Error::Conflict`].
    pub async fn delete(&self, key: &str) -> Result<bool> {
        let request = v1::DeleteRefRequest {
            namespace: self.namespace.clone(),
            key: key.to_owned(),
        };
        let call = "cachalot.v1.Refs.Delete";
        let delete =
            |channel, request| async move { RefsClient::new(channel).delete(request).await };
        let answer = self.connection.call(call, Repeat::Safe, request, delete);
        Ok(answer.await?.existed)
    }
}

impl Ref {
    pub(crate) fn parse(wire: v1::Ref) -> Result<Self> {
        let target = wire.target.unwrap_or_default();
        let written = wire.written.unwrap_or_default();
        Ok(Self {
            target: Blob::parse(&target)?,
            namespace: wire.namespace,
            key: wire.key,
            closure: wire.closure,
            meta: wire.meta,
            writer: wire.writer,
            written: SystemTime::try_from(written).unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }
}
