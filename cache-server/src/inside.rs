//! What the statistics tell that no protocol knows: the store, URLs, whether we stop.

use std::sync::Arc;

use async_trait::async_trait;
use cache_cachalot::{Inside, Storage};
use cache_store::Disk;

use crate::{health::Draining, why::Why};

/// The server as a whole.
#[derive(Debug)]
pub(crate) struct Whole {
    pub(crate) store: Disk,
    pub(crate) why: Why,
    pub(crate) draining: Arc<Draining>,
}

#[async_trait]
impl Inside for Whole {
    fn storage(&self) -> Storage {
        let (bytes, capacity) = self.store.usage();
        Storage {
            blobs: self.store.blobs(),
            bytes,
            capacity,
        }
    }

    fn is_stopping(&self) -> bool {
        self.draining.has_begun()
    }

    async fn explain(&self, url: &str) -> Result<String, String> {
        self.why.json(url).await
    }
}
