//! Both stores in memory: real implementations, for tests and for embedding.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    ops::Range,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, future, stream};
use parking_lot::RwLock;

use crate::{
    Blob, BlobStore, BlobWriter, ByteStream, Change, Content, Digest, Error, Hasher, Namespace,
    Ref, RefKey, RefStore, Result, Stored, Upload, blob::check_size,
};

/// Blobs and refs in memory. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    blobs: RwLock<Blobs>,
    refs: RwLock<BTreeMap<RefKey, Ref>>,
}

#[derive(Debug, Default)]
struct Blobs {
    bytes: HashMap<Digest, Bytes>,
    aliases: HashMap<Digest, Digest>,
}

impl Blobs {
    fn find(&self, digest: &Digest) -> Option<(Digest, &Bytes)> {
        let name = self.aliases.get(digest).unwrap_or(digest);
        self.bytes.get(name).map(|bytes| (*name, bytes))
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl BlobStore for Memory {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        let blobs = self.0.blobs.read();
        Ok(blobs
            .find(digest)
            .map(|(name, bytes)| Blob::from_bytes(name, bytes.clone())))
    }

    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let mut opened = Vec::with_capacity(digests.len());
        for digest in digests {
            opened.push(self.open(digest).await);
        }
        opened
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        let blobs = self.0.blobs.read();
        Ok(digests
            .iter()
            .map(|d| blobs.find(d).map(|(_, bytes)| bytes.len() as u64))
            .collect())
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        let shared = Arc::clone(&self.0);
        Ok(Box::new(Writer {
            shared,
            upload,
            bytes: Arc::default(),
        }))
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        let mut blobs = self.0.blobs.write();
        let Some((name, _)) = blobs.find(digest) else {
            return Ok(false);
        };
        blobs.aliases.retain(|_, target| *target != name);
        Ok(blobs.bytes.remove(&name).is_some())
    }
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    upload: Upload,
    bytes: Arc<Taken>,
}

/// The bytes of an unfinished blob.
#[derive(Debug, Default)]
struct Taken(RwLock<BytesMut>);

impl Content for Taken {
    fn stream(self: Arc<Self>, range: Range<u64>) -> ByteStream {
        // The caller keeps the range within what is written, so both ends fit a usize.
        let range = range.start as usize..range.end as usize;
        let part = Bytes::copy_from_slice(&self.0.read()[range]);
        stream::once(future::ready(Ok(part))).boxed()
    }

    fn resident(&self) -> Option<Bytes> {
        None
    }
}

#[async_trait]
impl BlobWriter for Writer {
    fn written(&self) -> u64 {
        self.bytes.0.read().len() as u64
    }

    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        let actual = self.written() + bytes.len() as u64;
        if let Some(expected) = self.upload.size.filter(|size| actual > *size) {
            return Err(Error::SizeMismatch { expected, actual });
        }
        self.bytes.0.write().extend_from_slice(&bytes);
        Ok(())
    }

    fn taken(&mut self) -> Arc<dyn Content> {
        Arc::clone(&self.bytes) as _
    }

    async fn commit(self: Box<Self>, expected: Option<&Digest>) -> Result<Stored> {
        check_size(self.upload.size, self.written())?;
        let bytes = self.bytes.0.read().clone().freeze();
        let name = Digest::sha256(&bytes);
        if let Some(expected) = expected {
            let mut hasher = Hasher::new(expected.algorithm());
            hasher.update(&bytes);
            let actual = hasher.finish();
            if actual != *expected {
                return Err(Error::DigestMismatch {
                    expected: *expected,
                    actual,
                });
            }
        }
        let mut blobs = self.shared.blobs.write();
        if let Some(alias) = expected.filter(|digest| **digest != name) {
            blobs.aliases.insert(*alias, name);
        }
        let size = bytes.len() as u64;
        let created = blobs.bytes.insert(name, bytes).is_none();
        Ok(Stored {
            digest: name,
            size,
            created,
        })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl RefStore for Memory {
    async fn resolve(&self, key: &RefKey) -> Result<Option<Ref>> {
        Ok(self.0.refs.read().get(key).cloned())
    }

    async fn bind(&self, change: Change) -> Result<()> {
        let mut refs = self.0.refs.write();
        for binding in &change.bindings {
            binding.precondition.check(refs.get(&binding.key))?;
        }
        for binding in change.bindings {
            match binding.to {
                Some(to) => refs.insert(binding.key, to),
                None => refs.remove(&binding.key),
            };
        }
        Ok(())
    }

    async fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>> {
        let refs = self.0.refs.read();
        let found = refs
            .iter()
            .filter(|(key, _)| key.namespace() == namespace)
            .filter(|(key, _)| key.name().starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.name() > after));
        Ok(found
            .take(limit)
            .map(|(key, to)| (key.name().to_owned(), to.clone()))
            .collect())
    }

    async fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>> {
        let refs = self.0.refs.read();
        let mut found: Vec<Namespace> = Vec::new();
        for (key, _) in refs.iter() {
            let namespace = key.namespace();
            let wanted = namespace.as_str().starts_with(prefix)
                && after.is_none_or(|after| namespace.as_str() > after)
                && found.last() != Some(namespace);
            if wanted {
                if found.len() == limit {
                    break;
                }
                found.push(namespace.clone());
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn passes_the_blob_store_contract() {
        testing::blob_store(async || Memory::default()).await;
    }

    #[tokio::test]
    async fn passes_the_ref_store_contract() {
        testing::ref_store(async || Memory::default()).await;
    }
}
