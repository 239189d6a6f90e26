//! A store in memory that fails where it is told to.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use cache_core::Digest;
use tokio::sync::Mutex;

use super::super::store::{Created, Found, Store, Uploaded};
use crate::{Blob, Error, Result};

#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) state: Arc<Mutex<State>>,
    /// Calls so far, of any kind.
    pub(super) calls: Arc<AtomicUsize>,
    /// The call that fails, if any.
    pub(super) failing: Option<usize>,
    /// Whether that call gives wrong bytes instead, if it can.
    pub(super) lies: Option<Lie>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Lie {
    Flipped,
    Truncated,
    Swapped,
    Fewer,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) blobs: HashMap<Digest, Bytes>,
    pub(super) keys: BTreeMap<String, (Blob, u64)>,
    /// Each that came, in order.
    pub(super) uploads: Vec<Blob>,
    /// Each that was asked for.
    pub(super) reads: Vec<Blob>,
    /// How many blobs presence was asked for.
    pub(super) asked: usize,
    clock: u64,
}

impl Memory {
    /// The same store, through a connection that fails at one call.
    pub(super) fn failing(&self, call: usize) -> Self {
        Self {
            calls: Arc::default(),
            failing: Some(call),
            ..self.clone()
        }
    }

    pub(super) fn lying(&self, call: usize, lie: Lie) -> Self {
        Self {
            lies: Some(lie),
            ..self.failing(call)
        }
    }

    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Puts bytes in, and tells their name.
    pub(super) fn put(&self, bytes: impl Into<Bytes>) -> Blob {
        let bytes = bytes.into();
        let blob = Blob {
            digest: Digest::sha256(&bytes),
            size: bytes.len() as u64,
        };
        let mut state = self.state.try_lock().expect("nobody else");
        state.blobs.insert(blob.digest, bytes);
        blob
    }

    pub(super) fn bind(&self, key: &str, root: Blob) {
        let mut state = self.state.try_lock().expect("nobody else");
        state.clock += 1;
        let now = state.clock;
        state.keys.insert(key.to_owned(), (root, now));
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.try_lock().expect("nobody else"))
    }

    /// Whether this call is to lie.
    fn call(&self) -> Result<Option<Lie>> {
        let now = self.calls.fetch_add(1, Ordering::Relaxed);
        match (self.failing == Some(now), self.lies) {
            (true, None) => Err(Error::Conflict),
            (true, lies) => Ok(lies),
            (false, _) => Ok(None),
        }
    }
}

impl Lie {
    fn tell(self, bytes: &mut Vec<Bytes>) {
        let Some(first) = bytes.first_mut() else {
            return;
        };
        match self {
            Self::Flipped => {
                let mut wrong = first.to_vec();
                if let Some(byte) = wrong.last_mut() {
                    *byte ^= 1;
                }
                *first = wrong.into();
            }
            Self::Truncated => *first = first.slice(..first.len().saturating_sub(1)),
            Self::Swapped => bytes.reverse(),
            Self::Fewer => {
                bytes.pop();
            }
        }
    }
}

impl Store for Memory {
    fn identity(&self) -> String {
        "memory".to_owned()
    }

    async fn put_many(&self, blobs: Vec<(Blob, Bytes)>) -> Result<Uploaded> {
        self.call()?;
        let mut state = self.state.lock().await;
        let mut uploaded = Uploaded::default();
        for (blob, bytes) in blobs {
            assert_eq!(Digest::sha256(&bytes), blob.digest, "of the bytes");
            state.asked += 1;
            if state.blobs.insert(blob.digest, bytes).is_none() {
                uploaded.blobs += 1;
                uploaded.bytes += blob.size;
                state.uploads.push(blob);
            }
        }
        Ok(uploaded)
    }

    async fn read_many(&self, blobs: Vec<Blob>) -> Result<Vec<Bytes>> {
        let lie = self.call()?;
        let mut state = self.state.lock().await;
        let mut found = Vec::new();
        for blob in blobs {
            state.reads.push(blob);
            let bytes = state.blobs.get(&blob.digest).cloned();
            found.push(bytes.ok_or_else(|| Error::Corrupt("it is gone".to_owned()))?);
        }
        if let Some(lie) = lie {
            lie.tell(&mut found);
        }
        Ok(found)
    }

    async fn create(&self, key: &str, root: Blob, only_if_unbound: bool) -> Result<Created> {
        use super::super::{
            document,
            document::Root,
            entry::{Contents, Kind},
        };
        self.call()?;
        let mut state = self.state.lock().await;
        if only_if_unbound && state.keys.get(key).is_some_and(|(bound, _)| *bound != root) {
            return Ok(Created::Conflict);
        }
        // As a server does: everything is there, or it is not bound.
        let blob = |blob: &Blob| state.blobs.get(&blob.digest).cloned();
        let parsed = Root::parse(blob(&root).expect("the root")).expect("a root");
        for segment in parsed.segments {
            let Some(document) = blob(&segment.blob) else {
                return Ok(Created::Incomplete("a segment".to_owned()));
            };
            for entry in document::entries(document).expect("entries") {
                if let Kind::File(Contents::Chunks(chunks)) = entry.kind
                    && chunks.iter().any(|chunk| blob(chunk).is_none())
                {
                    return Ok(Created::Incomplete(entry.path.to_string()));
                }
            }
        }
        state.clock += 1;
        let now = state.clock;
        state.keys.insert(key.to_owned(), (root, now));
        Ok(Created::Bound)
    }

    async fn resolve(&self, key: &str, fallbacks: &[String]) -> Result<Option<Found>> {
        self.call()?;
        let state = self.state.lock().await;
        let exact = state.keys.get_key_value(key);
        let newest = |prefix: &String| {
            let bound = state.keys.iter().filter(|(key, _)| key.starts_with(prefix));
            bound.max_by_key(|(_, (_, written))| *written)
        };
        let found = exact.or_else(|| fallbacks.iter().find_map(newest));
        Ok(found.map(|(key, (root, _))| Found {
            key: key.clone(),
            root: *root,
        }))
    }
}
