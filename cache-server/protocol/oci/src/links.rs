//! Which repository has which blob.
//!
//! The store has a blob once, whoever pushed it; a repository shows it only if it
//! has a link to it. A writer who asks for a blob that another repository of
//! theirs has gets the link at once, so an export to a second repository uploads
//! nothing. A reader gets none: it would show the blob to everyone who may read
//! this repository. A blob that was deleted here is marked, and the mark holds
//! until someone pushes or mounts it again.

use bytes::Bytes;
use cache_core::{Action, Binding, Change, Digest, Durability, Error, Principal, Result};

use crate::{keys::holders, name::Repository, oci::Oci};

/// Repositories looked at in one step while searching one that may be read.
const STEP: usize = 256;

impl Oci {
    /// The SHA-256 name of a blob that `repository` has, or may have for `who`.
    pub(crate) async fn linked(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Option<Digest>> {
        if let Some(link) = self.refs().resolve(&repository.blob(digest)).await? {
            return Ok(Some(link.target));
        }
        if !who.may(Action::Write, repository.as_str()) {
            return Ok(None);
        }
        let Some(target) = self.held(who, digest).await? else {
            return Ok(None);
        };
        let deleted = self.refs().resolve(&repository.deleted(digest)).await?;
        if deleted.is_some() {
            return Ok(None);
        }
        match self.link(who, repository, digest, target).await {
            Ok(linked) => Ok(linked.then_some(target)),
            // What may be read is read although the link cannot be kept.
            Err(Error::Full { .. } | Error::ReadOnly { .. }) => Ok(Some(target)),
            Err(error) => Err(error),
        }
    }

    /// The SHA-256 name of a blob that is in any repository that `who` may read.
    pub(crate) async fn held(&self, who: &Principal, digest: &Digest) -> Result<Option<Digest>> {
        let namespace = holders(digest);
        let mut after: Option<String> = None;
        loop {
            let refs = self.refs();
            let step = refs.list(&namespace, "", after.as_deref(), STEP).await?;
            let readable = step.iter().find(|(name, _)| who.may(Action::Read, name));
            if let Some((_, link)) = readable {
                return Ok(Some(link.target));
            }
            match step.into_iter().next_back() {
                Some((name, _)) => after = Some(name),
                None => return Ok(None),
            }
        }
    }

    /// Lets `repository` have a blob and leases it; false if the store has it not.
    pub(crate) async fn link(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
        target: Digest,
    ) -> Result<bool> {
        let to = self.written(&who.name, target, Vec::new(), Bytes::new());
        let change = Change {
            bindings: vec![
                Binding::set(repository.blob(digest), to.clone()),
                Binding::set(repository.holds(digest), to),
                Binding::unset(repository.deleted(digest)),
            ],
            durability: Durability::Grouped,
        };
        match self.cache().bind(change).await {
            Ok(()) => Ok(true),
            Err(Error::Incomplete { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a blob from `repository`; false if it had none.
    pub(crate) async fn unlink(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<bool> {
        if self.linked(who, repository, digest).await?.is_none() {
            return Ok(false);
        }
        let change = Change {
            bindings: vec![
                Binding::unset(repository.blob(digest)),
                Binding::unset(repository.holds(digest)),
                self.mark_deleted(who, repository, digest),
            ],
            durability: Durability::Barrier,
        };
        self.refs().bind(change).await?;
        Ok(true)
    }

    /// Marks a blob or manifest as deleted. A ref must lead somewhere, so a mark
    /// leads to the empty blob: it holds nothing that is worth keeping.
    pub(crate) fn mark_deleted(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
    ) -> Binding {
        let nothing = Digest::sha256(b"");
        let to = self.written(&who.name, nothing, Vec::new(), Bytes::new());
        Binding::set(repository.deleted(digest), to)
    }

    /// Those of `digests` that `repository` does not show: deleted in it, or swept
    /// after an eviction and since then stored again by someone else.
    pub(crate) async fn unlinked(
        &self,
        repository: &Repository,
        digests: impl Iterator<Item = &Digest>,
    ) -> Result<Vec<Digest>> {
        let mut unlinked = Vec::new();
        for digest in digests {
            let blob = self.refs().resolve(&repository.blob(digest)).await?;
            let shown = match blob {
                Some(_) => blob,
                None => self.refs().resolve(&repository.manifest(digest)).await?,
            };
            if shown.is_none() {
                unlinked.push(*digest);
            }
        }
        Ok(unlinked)
    }

    /// Mounts a blob into `repository` (end-11); false if `who` may not read it
    /// there, or it is not there: the same answer, so it tells nothing.
    pub(crate) async fn mount(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
        from: Option<&Repository>,
    ) -> Result<bool> {
        let source = match from {
            Some(from) if who.may(Action::Read, from.as_str()) => {
                let link = self.refs().resolve(&from.blob(digest)).await?;
                link.map(|link| link.target)
            }
            Some(_) => None,
            None => self.held(who, digest).await?,
        };
        match source {
            Some(target) => self.link(who, repository, digest, target).await,
            None => Ok(false),
        }
    }
}
