//! Which generation of a suite a connection reads.
//!
//! apt reads a release and its indexes over one connection. If the suite moves on in
//! between, an index that is asked for by its name is still the one of that release.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use cache_core::RefKey;
use quick_cache::sync::Cache;

use crate::published::Published;

/// Connections and suites at once.
const MOST: usize = 10_000;
/// apt asks for the indexes as soon as it has the release; later it is another update,
/// or another client behind a proxy that shares its connections.
const LONGEST: Duration = Duration::from_secs(2 * 60);

/// The client's end of a connection, if the listener says it.
pub(crate) type Reader = Option<SocketAddr>;

#[derive(Debug)]
pub(crate) struct Readers(Cache<(SocketAddr, RefKey), (Arc<Published>, Duration)>);

impl Default for Readers {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl Readers {
    /// The reader was given this generation.
    pub(crate) fn note(&self, reader: Reader, suite: &RefKey, read: &Published, now: Duration) {
        if let Some(reader) = reader {
            let value = (Arc::new(read.clone()), now);
            self.0.insert((reader, suite.clone()), value);
        }
    }

    /// What the reader was given.
    pub(crate) fn find(
        &self,
        reader: Reader,
        suite: &RefKey,
        now: Duration,
    ) -> Option<Arc<Published>> {
        let (published, since) = self.0.get(&(reader?, suite.clone()))?;
        (now.saturating_sub(since) < LONGEST).then_some(published)
    }
}
