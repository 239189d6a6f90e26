//! Counts and times what is asked of a blob store.

use std::{fmt, time::Instant};

use async_trait::async_trait;
use cache_core::{Blob, BlobStore, BlobWriter, Digest, Result, Upload};
use prometheus::{Histogram, HistogramOpts, HistogramVec, Registry};

/// A blob store whose operations are timed.
#[derive(Debug)]
pub struct Metered<S> {
    inner: S,
    open: Histogram,
    lease: Histogram,
    create: Histogram,
    remove: Histogram,
}

impl<S> Metered<S> {
    /// Wraps a store; the times go to `cachalot_store_operation_duration_seconds`.
    ///
    /// # Errors
    /// If the registry has a metric of this name already.
    pub fn new(inner: S, registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = HistogramOpts::new(
            "cachalot_store_operation_duration_seconds",
            "Time of one operation of the blob store, without the transfer of bytes.",
        );
        // 10 µs for a blob in memory up to 10 s for one that is verified first.
        let opts = opts.buckets(prometheus::exponential_buckets(0.000_01, 10.0, 7)?);
        let times = HistogramVec::new(opts, &["operation"])?;
        registry.register(Box::new(times.clone()))?;
        let of = |operation: &str| times.with_label_values(&[operation]);
        Ok(Self {
            inner,
            open: of("open"),
            lease: of("lease"),
            create: of("create"),
            remove: of("remove"),
        })
    }
}

impl<S: fmt::Display> fmt::Display for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Metered({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<S: BlobStore> BlobStore for Metered<S> {
    async fn open(&self, digest: &Digest) -> Result<Option<Blob>> {
        timed(&self.open, self.inner.open(digest)).await
    }

    /// Each blob counts, with its share of the time.
    async fn open_all(&self, digests: &[Digest]) -> Vec<Result<Option<Blob>>> {
        let start = Instant::now();
        let opened = self.inner.open_all(digests).await;
        let share = start.elapsed().as_secs_f64() / digests.len().max(1) as f64;
        digests.iter().for_each(|_| self.open.observe(share));
        opened
    }

    async fn lease(&self, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        timed(&self.lease, self.inner.lease(digests)).await
    }

    async fn create(&self, upload: Upload) -> Result<Box<dyn BlobWriter>> {
        timed(&self.create, self.inner.create(upload)).await
    }

    async fn remove(&self, digest: &Digest) -> Result<bool> {
        timed(&self.remove, self.inner.remove(digest)).await
    }
}

async fn timed<T>(histogram: &Histogram, operation: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let result = operation.await;
    histogram.observe(start.elapsed().as_secs_f64());
    result
}

#[cfg(test)]
mod tests {
    use cache_core::{Memory, testing};

    use super::*;

    #[tokio::test]
    async fn passes_the_blob_store_contract() {
        testing::blob_store(async || Metered::new(Memory::default(), &Registry::new()).unwrap())
            .await;
    }

    #[tokio::test]
    async fn every_operation_is_counted_once() {
        let registry = Registry::new();
        let store = Metered::new(Memory::default(), &registry).unwrap();
        let digest = Digest::sha256(b"absent");
        store.open(&digest).await.unwrap();
        assert_eq!(store.open_all(&[digest, digest]).await.len(), 2);
        store.lease(&[digest]).await.unwrap();
        store.lease(&[digest]).await.unwrap();
        let counts: Vec<u64> = [&store.open, &store.lease, &store.create, &store.remove]
            .map(Histogram::get_sample_count)
            .to_vec();
        assert_eq!(counts, [3, 2, 0, 0]);
        assert_eq!(store.to_string(), "Metered(Memory)");
    }
}
