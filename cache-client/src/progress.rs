//! Telling how far a transfer is.

use std::{fmt, sync::Arc};

/// Who is told of bytes that are done with.
#[derive(Clone, Default)]
pub(crate) struct Progress(Option<Arc<dyn Fn(u64) + Send + Sync>>);

impl Progress {
    pub(crate) fn new(told: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(told)))
    }

    pub(crate) fn tell(&self, bytes: u64) {
        if let Some(told) = self.0.as_ref().filter(|_| bytes > 0) {
            told(bytes);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "told" } else { "untold" })
    }
}
