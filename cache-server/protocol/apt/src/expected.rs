//! What the published package indexes of an archive say of its files.

use std::sync::Arc;

use cache_core::Digest;
use tokio::task::spawn_blocking;

use crate::{
    apt::Apt,
    archive::Archive,
    error::AptError,
    moment::Moment,
    packages::{Expected, Packing, Table, packing},
    path::Path,
    published::Published,
};

/// An index that is longer is not read, and its files are not known.
const LONGEST: u64 = 128 << 20;
/// Suites of an archive whose indexes are looked into.
const SUITES: usize = 1000;

/// A package index that a published release lists and a client uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageIndex {
    /// What its file names are below.
    root: Path,
    digest: Digest,
    packing: Packing,
}

/// Why an index cannot be read now.
enum Unread {
    /// It is not here.
    Gone,
    /// The store failed.
    Failed(AptError),
}

impl From<cache_core::Error> for Unread {
    fn from(error: cache_core::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Apt {
    /// What a file must be. `None` if no index that is here knows it, or two suites
    /// disagree on it.
    pub(crate) async fn expected(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
    ) -> Result<Option<Expected>, AptError> {
        let indexes = self.package_indexes(archive).await?;
        self.agreed(&indexes, path).await
    }

    /// What a file was at a time.
    ///
    /// # Errors
    /// [`AptError::Absent`] if no index of that time that is here knows it.
    pub(crate) async fn expected_as_of(
        &self,
        archive: &Arc<Archive>,
        path: &Path,
        at: Moment,
    ) -> Result<Expected, AptError> {
        let refs = self.0.cache.refs();
        let suites = refs.list(&archive.namespace, "published/", None, SUITES);
        let (mut used, mut listed) = (Vec::new(), Vec::new());
        for (_, found) in suites.await? {
            let published = serde_json::from_slice::<Published>(&found.meta).ok();
            let Some(directory) = published.and_then(|it| it.directory()) else {
                continue;
            };
            let suite = self.suite(archive, &directory)?;
            let Some((kept, release)) = self.release_as_of(&suite, at).await? else {
                continue;
            };
            for file in release.files() {
                let Some(packing) = packing(file.path.split().1) else {
                    continue;
                };
                let is_used = kept.uses(&file.digest);
                let indexes = if is_used { &mut used } else { &mut listed };
                indexes.push(PackageIndex {
                    root: root(&directory),
                    digest: file.digest,
                    packing,
                });
            }
        }
        for indexes in [used, listed] {
            if let Some(expected) = self.agreed(&indexes, path).await? {
                return Ok(expected);
            }
        }
        Err(AptError::Absent)
    }

    async fn agreed(
        &self,
        indexes: &[PackageIndex],
        path: &Path,
    ) -> Result<Option<Expected>, AptError> {
        let mut expected = None;
        for index in indexes {
            let Some(name) = path.below(&index.root) else {
                continue;
            };
            let table = match self.table(index).await {
                Ok(table) => table,
                Err(Unread::Gone) => continue,
                Err(Unread::Failed(error)) => return Err(error),
            };
            match (expected, table.find(&name)) {
                (Some(one), Some(other)) if one != other => return Ok(None),
                (None, found) => expected = found,
                (Some(_), _) => {}
            }
        }
        Ok(expected)
    }

    async fn package_indexes(
        &self,
        archive: &Arc<Archive>,
    ) -> Result<Arc<[PackageIndex]>, AptError> {
        let (version, known) = archive.known_indexes();
        if let Some(known) = known {
            return Ok(known);
        }
        let refs = self.0.cache.refs();
        let suites = refs.list(&archive.namespace, "published/", None, SUITES);
        let mut indexes = Vec::new();
        for (_, found) in suites.await? {
            let published = serde_json::from_slice::<Published>(&found.meta).ok();
            if let Some(published) = published {
                self.add_indexes(archive, &published, &mut indexes).await?;
            }
        }
        let indexes = indexes.into();
        archive.keep_indexes(version, &indexes);
        Ok(indexes)
    }

    async fn add_indexes(
        &self,
        archive: &Arc<Archive>,
        published: &Published,
        indexes: &mut Vec<PackageIndex>,
    ) -> Result<(), AptError> {
        let Some(directory) = published.directory() else {
            return Ok(());
        };
        let read = self.read_release(published.kind(), &published.main.digest);
        let Some(release) = read.await? else {
            return Ok(());
        };
        let suite = self.suite(archive, &directory)?;
        for path in self.wanted(&suite).await? {
            let (Some(file), Some(packing)) = (release.file(&path), packing(path.split().1)) else {
                continue;
            };
            let index = PackageIndex {
                root: root(&directory),
                digest: file.digest,
                packing,
            };
            if !indexes.contains(&index) {
                indexes.push(index);
            }
        }
        Ok(())
    }

    /// The files of an index, read once. It is not fetched for this.
    async fn table(&self, index: &PackageIndex) -> Result<Arc<Table>, Unread> {
        let read = async {
            let blob = self.0.cache.blobs().open(&index.digest).await?;
            let blob = blob.ok_or(Unread::Gone)?;
            if blob.size() > LONGEST {
                return Ok(Arc::default());
            }
            let permit = Arc::clone(&self.0.unpacking).acquire_owned().await;
            let bytes = blob.read(LONGEST).await?;
            let packing = index.packing;
            let table = spawn_blocking(move || {
                // It goes on if the client leaves, and so does its place.
                let _permit = permit;
                Table::read(packing, &bytes)
            });
            // It only fails with the server.
            Ok(Arc::new(table.await.unwrap_or_default()))
        };
        let tables = &self.0.tables;
        tables.get_or_insert_async(&index.digest, read).await
    }

    /// Reads the indexes of an archive before the first package is asked for.
    pub(crate) async fn read_ahead(&self, archive: &Arc<Archive>) {
        if let Err(error) = self.expected(archive, &Path::default()).await {
            tracing::warn!(%error, "the package indexes cannot be read");
        }
    }
}

/// Where the file names of a suite begin: beside its `dists`, or in a flat archive its
/// own directory.
fn root(suite: &Path) -> Path {
    let parents = suite.parents();
    let mut outermost_first = std::iter::once(suite).chain(&parents).rev();
    let dists = outermost_first.find(|it| it.split().1 == "dists");
    dists.map_or_else(|| suite.clone(), |dists| dists.split().0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_begin_beside_dists() {
        for (suite, expected) in [
            ("dists/stable", ""),
            ("dists/stable/updates", ""),
            ("repo/dists/stable", "repo"),
            ("", ""),
            ("flat/sub", "flat/sub"),
        ] {
            let suite = Path::of_text(suite).unwrap();
            assert_eq!(root(&suite).as_str(), expected);
        }
    }
}
