//! A ref of ours: what the store keeps of it, and how clients see it.

use std::time::SystemTime;

use bytes::Bytes;
use cache_core::{Cache, Closure, Ref};
use cache_proto::cachalot::v1;
use prost::Message;

use crate::{
    blob::{self, Named},
    closure::{self, Kept},
    name::Space,
};

/// What stands in the meta of a stored ref.
#[derive(Clone, PartialEq, Message)]
struct Aside {
    /// Bytes of the target.
    #[prost(uint64, tag = "1")]
    size: u64,
    /// How many further blobs it needs.
    #[prost(uint64, tag = "2")]
    closure: u64,
    /// Whether the ref's closure is one blob that names them.
    #[prost(bool, tag = "3")]
    apart: bool,
    /// The client's own.
    #[prost(bytes = "bytes", tag = "4")]
    meta: Bytes,
}

/// A stored ref that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) stored: Ref,
    aside: Aside,
}

impl Bound {
    /// What is to be stored.
    pub(crate) fn new(
        target: Named,
        closure: Kept,
        meta: Bytes,
        writer: String,
        written: SystemTime,
    ) -> Self {
        let aside = Aside {
            size: target.size,
            closure: closure.count,
            apart: closure.apart,
            meta,
        };
        let stored = Ref {
            target: target.digest(),
            closure: closure.digests,
            meta: aside.encode_to_vec().into(),
            writer,
            written,
        };
        Self { stored, aside }
    }

    /// What was stored; `None` if it was by no one we know.
    pub(crate) fn read(stored: Ref) -> Option<Self> {
        let aside = Aside::decode(stored.meta.clone()).ok()?;
        Some(Self { stored, aside })
    }

    /// What the client keeps beside it.
    pub(crate) const fn meta(&self) -> &Bytes {
        &self.aside.meta
    }

    /// Bytes of the target.
    pub(crate) const fn size(&self) -> u64 {
        self.aside.size
    }

    /// How many further blobs it needs.
    pub(crate) const fn closure(&self) -> u64 {
        self.aside.closure
    }

    /// The blob that names its closure, if it is kept apart.
    pub(crate) fn list(&self) -> Option<&cache_core::Digest> {
        self.stored.closure.first().filter(|_| self.aside.apart)
    }

    /// How a client sees it.
    pub(crate) fn message(&self, space: &Space, key: &str) -> v1::Ref {
        v1::Ref {
            namespace: space.as_str().to_owned(),
            key: key.to_owned(),
            target: Some(blob::message(&self.stored.target, self.aside.size)),
            closure: self.aside.closure,
            meta: self.aside.meta.clone(),
            writer: self.stored.writer.clone(),
            written: Some(self.stored.written.into()),
        }
    }

    /// Leases its blobs; false if one is not here.
    pub(crate) async fn is_whole(&self, cache: &Cache) -> cache_core::Result<bool> {
        if cache.closure(&self.stored).await? != Closure::Complete {
            return Ok(false);
        }
        match self.list() {
            Some(list) => closure::lease_apart(cache, list).await,
            None => Ok(true),
        }
    }
}
