//! Indexes: whatever name one is asked for by, it is the one that the release lists.

use std::sync::Arc;

use cache_core::Digest;
use cache_upstream::{Answer as Fetched, Class, Demand, Found, Resource};
use http::StatusCode;

use crate::{
    answer::{Answer, Ask, Lifetime},
    apt::Apt,
    archive::Archive,
    error::AptError,
    history::Kept,
    metrics::Prevented,
    moment::Moment,
    packages::packing,
    path::Path,
    published::Published,
    release::{File, Release},
    route::ByHash,
    suite::Suite,
};

/// An index up to this size is had whole before a client sees any of it, so that a
/// mirror with another version is passed over.
const CHECKED: u64 = 16 << 20;
/// Directories that are tried for a release nobody asked for.
const GUESSES: usize = 3;

/// A file of a generation of a suite.
struct Listed {
    suite: Arc<Suite>,
    of: Of,
    release: Arc<Release>,
    file: File,
}

/// Which generation.
enum Of {
    /// The one that clients see now, by its document.
    Now(Digest),
    /// One that they saw.
    Past(Box<Kept>),
}

/// What is known of a path.
enum Place {
    Listed(Box<Listed>),
    /// Its suite does not have it.
    Unlisted,
    /// No directory that it lies in has a release.
    Nowhere,
}

impl Apt {
    /// An index by its name. That never makes a suite move on.
    pub(crate) async fn index(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let mut place = self.place(archive, path, ask).await?;
        let may_come = matches!(place, Place::Nowhere) && ask.at.is_none();
        if may_come && self.discover(archive, path).await? {
            place = self.place(archive, path, ask).await?;
        }
        match place {
            Place::Listed(listed) => {
                let found = self.listed(&listed).await?;
                Ok(ask.reply(&found, Some(listed.file.digest), Lifetime::Tagged))
            }
            Place::Unlisted => Err(AptError::Absent),
            Place::Nowhere if ask.at.is_some() => Err(AptError::Unseen(None)),
            Place::Nowhere => self.other(archive, path, ask).await,
        }
    }

    /// An index by its hash. That of an older generation is served while it can be had.
    pub(crate) async fn by_hash(
        &self,
        archive: &Arc<Archive>,
        by_hash: &ByHash,
        ask: &Ask,
    ) -> Result<Answer, AptError> {
        let digest = by_hash.digest.ok_or(AptError::Absent)?;
        let found = match self.with_digest(archive, by_hash, &digest, ask.at).await? {
            Some(listed) => self.listed(&listed).await?,
            None => {
                let path = &by_hash.path;
                let mut resource = archive.resource("by-hash", path, Class::Immutable)?;
                resource.digest = Some(digest);
                self.found(&resource).await?
            }
        };
        Ok(ask.reply(&found, Some(digest), Lifetime::Immutable))
    }

    /// Whether a document is listed by the release of a suite above its own directory,
    /// as the `Release` of a component is.
    pub(crate) async fn is_listed(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        ask: &Ask,
    ) -> Result<bool, AptError> {
        let place = self.place(archive, path, ask).await?;
        Ok(matches!(place, Place::Listed(_)))
    }

    async fn place(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        ask: &Ask,
    ) -> Result<Place, AptError> {
        let mut place = Place::Nowhere;
        for directory in suites(path) {
            let suite = self.suite(archive, &directory)?;
            let Some((of, release)) = self.read_by(&suite, ask).await? else {
                continue;
            };
            let below = path.below(&directory).unwrap_or_default();
            if let Some(file) = release.file(&below).cloned() {
                return Ok(Place::Listed(Box::new(Listed {
                    suite,
                    of,
                    release,
                    file,
                })));
            }
            place = Place::Unlisted;
        }
        Ok(place)
    }

    /// The generation that a reader sees.
    async fn read_by(
        &self,
        suite: &Suite,
        ask: &Ask,
    ) -> Result<Option<(Of, Arc<Release>)>, AptError> {
        let now = self.0.clock.elapsed();
        let read = match ask.at {
            None => self.0.readers.find(ask.reader, &suite.key, now),
            Some(_) => None,
        };
        if let Some(read) = read {
            let release = self.read_release(read.kind(), &read.main.digest).await?;
            if let Some(release) = release {
                self.count_if_older(suite, &read).await?;
                return Ok(Some((Of::Now(read.main.digest), release)));
            }
        }
        self.seen(suite, ask.at).await
    }

    /// Another client may have made the suite move on since.
    async fn count_if_older(&self, suite: &Suite, read: &Published) -> Result<(), AptError> {
        let now = self.published(suite).await?;
        if now.is_some_and(|now| now.main.digest != read.main.digest) {
            self.0.metrics.prevented(Prevented::Connection);
        }
        Ok(())
    }

    /// The generation that everyone sees, or saw.
    async fn seen(
        &self,
        suite: &Suite,
        at: Option<Moment>,
    ) -> Result<Option<(Of, Arc<Release>)>, AptError> {
        if let Some(at) = at {
            let past = self.release_as_of(suite, at).await?;
            return Ok(past.map(|(kept, release)| (Of::Past(Box::new(kept)), release)));
        }
        let Some(published) = self.published(suite).await? else {
            return Ok(None);
        };
        let release = self.release_of(&published).await?;
        Ok(Some((Of::Now(published.main.digest), release)))
    }

    /// Publishes the release of the suite that a path may belong to; whether there is one.
    async fn discover(&self, archive: &Arc<Archive>, path: &Path) -> Result<bool, AptError> {
        let mut guesses = suites(path);
        if guesses.last() == Some(&Path::default()) {
            // A flat archive, whose indexes lie beside its release.
            guesses.truncate(1);
        }
        for directory in guesses.iter().rev().take(GUESSES) {
            let suite = self.suite(archive, directory)?;
            match self.current(&suite).await {
                Ok(_) => return Ok(true),
                Err(AptError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn with_digest(
        &self,
        archive: &Arc<Archive>,
        by_hash: &ByHash,
        digest: &Digest,
        at: Option<Moment>,
    ) -> Result<Option<Listed>, AptError> {
        let directory = &by_hash.directory;
        for above in std::iter::once(directory.clone()).chain(directory.parents()) {
            let suite = self.suite(archive, &above)?;
            let Some((of, release)) = self.seen(&suite, at).await? else {
                continue;
            };
            let below = directory.below(&above).unwrap_or_default();
            if let Some(file) = release.by_digest(&below, digest).cloned() {
                return Ok(Some(Listed {
                    suite,
                    of,
                    release,
                    file,
                }));
            }
        }
        Ok(None)
    }

    /// Fetches what a release lists, and remembers that it is used.
    async fn listed(&self, listed: &Listed) -> Result<Found, AptError> {
        let Listed {
            suite,
            of,
            release,
            file,
        } = listed;
        let resource = self.index_resource(suite, release, file)?;
        let found = self.found(&resource).await;
        let found = found.map_err(|error| {
            let is_other = error.status() == StatusCode::BAD_GATEWAY;
            match of {
                Of::Past(_) if is_other => return AptError::Incomplete,
                Of::Past(_) => {}
                // The origin may have moved on: then there is a newer release.
                Of::Now(_) => suite.doubt(),
            }
            if is_other { AptError::Unsettled } else { error }
        })?;
        match of {
            Of::Now(release) => {
                self.want(suite, &file.path, release).await;
                if packing(file.path.split().1).is_some() {
                    self.read_when_here(&suite.archive, &found);
                }
            }
            Of::Past(kept) if kept.uses(&file.digest) => {}
            Of::Past(kept) if found.digest.is_some() => self.keep_with(kept, file.digest).await,
            Of::Past(kept) => self.keep_when_here(kept, &found),
        }
        Ok(found)
    }

    fn read_when_here(&self, archive: &Arc<Archive>, found: &Found) {
        let (apt, archive, found) = (self.clone(), Arc::clone(archive), found.clone());
        tokio::spawn(async move {
            if found.blob().await.is_ok() {
                apt.read_ahead(&archive).await;
            }
        });
    }

    fn keep_when_here(&self, kept: &Kept, found: &Found) {
        let (apt, kept, found) = (self.clone(), kept.clone(), found.clone());
        tokio::spawn(async move {
            if let Ok(blob) = found.blob().await {
                apt.keep_with(&kept, *blob.digest()).await;
            }
        });
    }

    /// An index in the version that a release lists: by its hash, or by its name if the
    /// bytes are the right ones.
    pub(crate) fn index_resource(
        &self,
        suite: &Suite,
        release: &Release,
        file: &File,
    ) -> Result<Resource, AptError> {
        let archive = &suite.archive;
        let path = suite.directory.join(&file.path);
        let hex = file.digest.hex();
        let mut sources = Vec::new();
        if release.by_hash {
            let name = Path::of_text(&format!("by-hash/SHA256/{hex}")).unwrap_or_default();
            sources.extend(archive.sources(&path.split().0.join(&name))?);
        }
        sources.extend(archive.sources(&path)?);
        let key = archive.key("index", &format!("{hex}/{path}"))?;
        let mut resource = Resource::new("apt", key, sources, Class::Immutable);
        resource.digest = Some(file.digest);
        resource.size = Some(file.size);
        if file.size <= CHECKED {
            resource = resource.checked(|_, _| Ok(()));
        }
        Ok(resource)
    }

    /// What a resource is; that it is not is an error.
    pub(crate) async fn found(&self, resource: &Resource) -> Result<Found, AptError> {
        match self.0.fetcher.fetch(resource, Demand::Any).await? {
            Fetched::Found(found) => Ok(found),
            Fetched::Refused(refused) => Err(AptError::Refused(Box::new(refused))),
        }
    }
}

/// The directories whose release may list a path, the deepest first: those below
/// `dists`, or all in a flat archive.
fn suites(path: &Path) -> Vec<Path> {
    let is_below_dists = |it: &Path| it.segments().any(|segment| segment == "dists");
    let mut parents = path.parents();
    if is_below_dists(path) {
        parents.retain(|it| is_below_dists(it) && it.split().1 != "dists");
    }
    parents
}
