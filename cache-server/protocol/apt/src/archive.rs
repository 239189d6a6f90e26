//! A configured archive: where it is, and the names under which its things are kept.

use std::sync::Arc;

use cache_core::{Namespace, RefKey};
use cache_upstream::{Class, Origin, Resource, Source, key};
use parking_lot::Mutex;

use crate::{
    config::ArchiveConfig,
    error::{AptError, SetupError},
    expected::PackageIndex,
    path::Path,
};

/// An archive and its mirrors.
#[derive(Debug)]
pub(crate) struct Archive {
    /// `host` or `host:port`.
    pub(crate) host: String,
    /// The path of the archive on its host.
    pub(crate) base: Path,
    /// Whose the refs are; its text is the name that rights are granted on.
    pub(crate) namespace: Namespace,
    origins: Vec<Arc<Origin>>,
    /// The package indexes of what is published, until that changes.
    indexes: Mutex<Indexes>,
}

#[derive(Debug, Default)]
struct Indexes {
    /// Counts the changes, so that what was read before one is not kept after it.
    version: u64,
    known: Option<Arc<[PackageIndex]>>,
}

impl Archive {
    pub(crate) fn new(config: ArchiveConfig) -> Result<Self, SetupError> {
        let url = config.origin.url.clone();
        let name = || SetupError::Name(url.clone());
        let all = std::iter::once(config.origin).chain(config.mirrors);
        let origins: Result<Vec<_>, _> = all.map(|it| Origin::new(it).map(Arc::new)).collect();
        let host = url.host_str().unwrap_or_default();
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let base = Path::of_url(url.path().trim_end_matches('/')).ok_or_else(name)?;
        let full = format!("apt/{host}/{base}");
        Ok(Self {
            origins: origins?,
            namespace: full.trim_end_matches('/').parse().map_err(|_| name())?,
            host,
            base,
            indexes: Mutex::default(),
        })
    }

    /// What is published, or what clients use of it, has changed.
    pub(crate) fn forget_indexes(&self) {
        let mut indexes = self.indexes.lock();
        indexes.version += 1;
        indexes.known = None;
    }

    /// The indexes if they are known, and the version to give to [`Self::keep_indexes`].
    pub(crate) fn known_indexes(&self) -> (u64, Option<Arc<[PackageIndex]>>) {
        let indexes = self.indexes.lock();
        (indexes.version, indexes.known.clone())
    }

    pub(crate) fn keep_indexes(&self, version: u64, known: &Arc<[PackageIndex]>) {
        let mut indexes = self.indexes.lock();
        if indexes.version == version {
            indexes.known = Some(Arc::clone(known));
        }
    }

    /// The name of something of this archive, as `published/dists/stable`.
    pub(crate) fn key(&self, kind: &str, name: &str) -> Result<RefKey, AptError> {
        Ok(key(&self.namespace, &format!("{kind}/{name}"))?)
    }

    /// Where a path is: at the origin, then at each mirror.
    pub(crate) fn sources(&self, path: &Path) -> Result<Vec<Source>, AptError> {
        let path = path.encoded();
        let sources = self.origins.iter().map(|origin| origin.at(&path));
        sources.collect::<Option<_>>().ok_or(AptError::Path)
    }

    /// What lies at a path, kept under a name that begins with `kind`.
    pub(crate) fn resource(
        &self,
        kind: &str,
        path: &Path,
        class: Class,
    ) -> Result<Resource, AptError> {
        let key = self.key(kind, path.as_str())?;
        Ok(Resource::new("apt", key, self.sources(path)?, class))
    }
}
