//! The state behind the routes: archives, suites, and what was read of documents.

use std::{fmt, sync::Arc};

use cache_core::{Cache, Clock, Digest, RefKey};
use cache_upstream::Fetcher;
use prometheus::Registry;
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter, sync::Cache as Recent, sync::DefaultLifecycle,
};
use tokio::sync::Semaphore;

use crate::{
    archive::Archive,
    config::AptConfig,
    error::{AptError, SetupError},
    metrics::Metrics,
    packages::Table,
    path::Path,
    published::Published,
    readers::Readers,
    release::Release,
    route::{Kind, Target},
    suite::Suite,
};

/// Suites that are known at once.
const SUITES: usize = 1000;
/// Memory for releases, as long as their documents together.
const RELEASES: u64 = 32 << 20;
/// No release is longer; see [`Release::parse`].
const LONGEST_RELEASE: u64 = 16 << 20;

/// A cache of Debian archives. Clones share everything.
#[derive(Clone)]
pub struct Apt(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) fetcher: Fetcher,
    pub(crate) cache: Cache,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: AptConfig,
    archives: Vec<Arc<Archive>>,
    pub(crate) suites: Recent<RefKey, Arc<Suite>>,
    releases: Weighed<(u64, Arc<Release>)>,
    pub(crate) tables: Weighed<Arc<Table>>,
    pub(crate) readers: Readers,
    pub(crate) metrics: Metrics,
    /// Indexes are unpacked one at a time.
    pub(crate) unpacking: Arc<Semaphore>,
}

/// Values by the digest of what they were read from, bounded by their bytes.
pub(crate) type Weighed<T> = Recent<Digest, T, ByBytes>;

#[derive(Clone, Debug)]
pub(crate) struct ByBytes;

impl Weighter<Digest, (u64, Arc<Release>)> for ByBytes {
    fn weight(&self, _: &Digest, (bytes, _): &(u64, Arc<Release>)) -> u64 {
        *bytes
    }
}

impl Weighter<Digest, Arc<Table>> for ByBytes {
    fn weight(&self, _: &Digest, table: &Arc<Table>) -> u64 {
        table.weight()
    }
}

/// One shard, because a shard keeps nothing that is larger than itself.
fn weighed<T: Clone>(bytes: u64, each: u64) -> Weighed<T>
where
    ByBytes: Weighter<Digest, T>,
{
    let items = usize::try_from(bytes / each).unwrap_or(usize::MAX);
    let options = OptionsBuilder::new()
        .shards(1)
        .estimated_items_capacity(items.max(16))
        .weight_capacity(bytes)
        .build()
        .expect("both capacities are set");
    let lifecycle = DefaultLifecycle::default();
    Recent::with_options(options, ByBytes, DefaultHashBuilder::default(), lifecycle)
}

impl Apt {
    /// A cache of the configured archives, counted in `registry`. `cache` and `clock` are
    /// those of the fetcher.
    ///
    /// # Errors
    /// [`SetupError`] names the archive that cannot be.
    pub fn new(
        fetcher: Fetcher,
        cache: Cache,
        clock: Arc<dyn Clock>,
        mut config: AptConfig,
        registry: &Registry,
    ) -> Result<Self, SetupError> {
        let mut archives: Vec<Arc<Archive>> = Vec::new();
        for archive in std::mem::take(&mut config.archives) {
            let archive = Archive::new(archive)?;
            if archives.iter().any(|it| it.namespace == archive.namespace) {
                return Err(SetupError::Twice(archive.namespace.to_string()));
            }
            archives.push(Arc::new(archive));
        }
        // The deepest first, so that an archive inside of another is found.
        archives.sort_by_key(|it| std::cmp::Reverse(it.base.segments().count()));
        Ok(Self(Arc::new(Inner {
            suites: Recent::new(SUITES),
            releases: weighed(RELEASES, 64 << 10),
            tables: weighed(config.tables.0, 1 << 20),
            readers: Readers::default(),
            metrics: Metrics::register(registry)?,
            unpacking: Arc::new(Semaphore::new(1)),
            fetcher,
            cache,
            clock,
            config,
            archives,
        })))
    }

    /// The archive that a client means, and the path below it.
    pub(crate) fn archive(&self, target: &Target) -> Option<(&Arc<Archive>, Path)> {
        let of_host = self.0.archives.iter().filter(|it| it.host == target.host);
        let mut below = of_host.filter_map(|it| Some((it, target.path.below(&it.base)?)));
        below.next()
    }

    /// What a published generation says.
    pub(crate) async fn release_of(&self, published: &Published) -> Result<Arc<Release>, AptError> {
        let read = self.read_release(published.kind(), &published.main.digest);
        // Evicted between two steps: the next request fetches it.
        read.await?.ok_or(AptError::Unsettled)
    }

    /// Reads a stored release; `None` if it is no longer here.
    pub(crate) async fn read_release(
        &self,
        kind: Kind,
        digest: &Digest,
    ) -> Result<Option<Arc<Release>>, AptError> {
        if let Some((_, release)) = self.0.releases.get(digest) {
            return Ok(Some(release));
        }
        let Some(blob) = self.0.cache.blobs().open(digest).await? else {
            return Ok(None);
        };
        let bytes = blob.read(LONGEST_RELEASE).await?;
        // It was judged before it was kept.
        let Ok(release) = Release::parse(kind, &bytes) else {
            return Ok(None);
        };
        let release = Arc::new(release);
        let value = (bytes.len() as u64 + 1, Arc::clone(&release));
        self.0.releases.insert(*digest, value);
        Ok(Some(release))
    }
}

impl fmt::Debug for Apt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Apt")
            .field("archives", &self.0.archives)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}
