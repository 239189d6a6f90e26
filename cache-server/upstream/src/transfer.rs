//! A transfer under way, and everyone who reads along.

use std::sync::Arc;

use cache_core::{Blob, Content, Grower, Growing};
use http::HeaderMap;

use crate::{Error, error::Failure};

/// A body that is arriving, and the headers that came before it.
#[derive(Clone, Debug)]
pub(crate) struct Transfer {
    pub(crate) headers: HeaderMap,
    body: Arc<Growing<Failure>>,
}

impl Transfer {
    /// Begins with nothing; `taken` is what the writer of the body has.
    pub(crate) fn begin(
        headers: HeaderMap,
        size: Option<u64>,
        taken: Arc<dyn Content>,
    ) -> (Grower<Failure>, Self) {
        let (grower, body) = Grower::new(size, taken, stopped());
        let body = Arc::new(body);
        (grower, Self { headers, body })
    }

    /// Length in bytes, if the origin said.
    pub(crate) fn size(&self) -> Option<u64> {
        self.body.size()
    }

    /// The bytes, as they arrive.
    pub(crate) fn content(&self) -> Arc<dyn Content> {
        Arc::clone(&self.body) as _
    }

    /// The blob, once it is one.
    pub(crate) async fn stored(&self) -> Result<Blob, Error> {
        Ok(self.body.stored().await?)
    }
}

fn stopped() -> Failure {
    Failure::BrokenOff {
        host: "this server".to_owned(),
        bytes: 0,
        reason: "it stops".to_owned(),
    }
}
