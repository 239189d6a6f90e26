//! What a pushed manifest needs, flattened, and what of it is not here.
//!
//! A digest counts only if this repository may show it: a manifest that names a
//! blob of someone else is answered as if the blob did not exist.

use std::collections::HashSet;

use cache_core::{BlobStoreExt, Digest, Principal, Ref};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    config::Sparse,
    document::{Document, MOST_NAMED, Need, Role},
    error::OciError,
    name::Repository,
    oci::Oci,
};

/// Links looked up at once.
const AT_ONCE: usize = 16;

/// At most this many digests are remembered as absent, which keeps a ref's meta
/// data (75 bytes each, 135 more for SHA-512) well below its limit of 1 MiB.
const MOST_ABSENT: usize = 4096;

/// A manifest's needs, sorted into what is here and what is not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    /// Each digest once, as the documents name it.
    pub(crate) closure: Vec<Digest>,
    pub(crate) absent: Vec<Digest>,
}

/// One need and the blobs that meet it; none if the repository has it not.
struct Met {
    need: Need,
    by: Option<Vec<Digest>>,
}

impl Oci {
    /// Looks for everything that `document` names, and leases what is here.
    ///
    /// # Errors
    /// [`OciError::ManifestBlobUnknown`] if something is missing that
    /// [`Sparse`] does not excuse.
    pub(crate) async fn gather(
        &self,
        who: &Principal,
        repository: &Repository,
        document: &Document,
    ) -> Result<Gathered, OciError> {
        let met: Vec<Met> = stream::iter(document.needs.clone())
            .map(|need| self.meet(who, repository, need))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        let mut named = HashSet::new();
        let all = met.iter().flat_map(|met| met.by.iter().flatten());
        let all: Vec<_> = all.filter(|it| named.insert(**it)).copied().collect();
        if all.len() > MOST_NAMED {
            let reason = format!("its parts name more than {MOST_NAMED} blobs");
            return Err(OciError::ManifestInvalid(reason));
        }
        let missing: HashSet<_> = self.blobs().missing(&all).await?.into_iter().collect();
        let excused = |need: &Need| excuses(self.config().sparse, document, need);
        sort(met, &missing, excused)
    }

    /// A manifest of this repository with its own closure, or a blob.
    async fn meet(
        &self,
        who: &Principal,
        repository: &Repository,
        need: Need,
    ) -> Result<Met, OciError> {
        let manifest = match need.role {
            Role::Child => self.manifest(repository, &need.digest).await?,
            Role::Config | Role::Layer => None,
        };
        let by = match manifest {
            Some(child) => Some([&[need.digest], child.closure.as_slice()].concat()),
            None => self
                .linked(who, repository, &need.digest)
                .await?
                .map(|_| vec![need.digest]),
        };
        Ok(Met { need, by })
    }

    async fn manifest(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Ref>, OciError> {
        Ok(self.refs().resolve(&repository.manifest(digest)).await?)
    }
}

/// A child that lacks a layer is as good as absent: no client could use it.
fn sort(
    met: Vec<Met>,
    missing: &HashSet<Digest>,
    excused: impl Fn(&Need) -> bool,
) -> Result<Gathered, OciError> {
    let (mut seen, mut refused) = (HashSet::new(), Vec::new());
    let mut gathered = Gathered::default();
    for Met { need, by } in met {
        match by.filter(|by| by.iter().all(|digest| !missing.contains(digest))) {
            Some(by) => {
                let new = by.into_iter().filter(|digest| seen.insert(*digest));
                gathered.closure.extend(new);
            }
            None if need.optional => {}
            None if excused(&need) && gathered.absent.len() < MOST_ABSENT => {
                gathered.absent.push(need.digest);
            }
            None => refused.push(need.digest),
        }
    }
    if refused.is_empty() {
        Ok(gathered)
    } else {
        Err(OciError::ManifestBlobUnknown { missing: refused })
    }
}

fn excuses(sparse: Sparse, document: &Document, need: &Need) -> bool {
    match (sparse, need.role) {
        (Sparse::Indexes, Role::Child) => !document.cache,
        (Sparse::None, _) | (Sparse::Indexes, Role::Layer) | (_, Role::Config) => false,
        (Sparse::All, Role::Layer | Role::Child) => true,
    }
}
