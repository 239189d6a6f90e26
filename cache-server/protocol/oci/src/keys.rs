//! Where a repository's things are kept among the refs.
//!
//! | namespace | name | leads to |
//! |---|---|---|
//! | `oci/<repository>` | `blob/<digest>` | a blob that the repository has |
//! | | `manifest/<digest>` | a manifest, with its closure |
//! | | `tag/<tag>` | the same |
//! | | `referrer/<subject>/<digest>` | a manifest that refers to another |
//! | | `deleted/<digest>` | nothing: it was deleted here, see [`crate::links`] |
//! | `oci-blob/<digest>` | `<repository>` | the same as that repository's `blob/` |

use std::fmt;

use cache_core::{Digest, Namespace, RefKey};

use crate::name::{Repository, Tag};

/// Begins the namespace of every repository.
pub(crate) const REPOSITORIES: &str = "oci/";
/// Begins the name of every tag.
pub(crate) const TAGS: &str = "tag/";
/// Begins the name of every mark of a deletion.
pub(crate) const DELETED: &str = "deleted/";

impl Repository {
    pub(crate) fn namespace(&self) -> Namespace {
        namespace(format_args!("{REPOSITORIES}{self}"))
    }

    pub(crate) fn blob(&self, digest: &Digest) -> RefKey {
        key(self.namespace(), format!("blob/{digest}"))
    }

    pub(crate) fn manifest(&self, digest: &Digest) -> RefKey {
        key(self.namespace(), format!("manifest/{digest}"))
    }

    pub(crate) fn tag(&self, tag: &Tag) -> RefKey {
        key(self.namespace(), format!("{TAGS}{tag}"))
    }

    pub(crate) fn referrer(&self, subject: &Digest, manifest: &Digest) -> RefKey {
        key(
            self.namespace(),
            format!("{}{manifest}", referrers(subject)),
        )
    }

    pub(crate) fn deleted(&self, digest: &Digest) -> RefKey {
        key(self.namespace(), format!("{DELETED}{digest}"))
    }

    /// The other direction of [`Self::blob`].
    pub(crate) fn holds(&self, digest: &Digest) -> RefKey {
        key(holders(digest), self.as_str().to_owned())
    }
}

/// The repositories that have a blob, as names in this namespace.
pub(crate) fn holders(digest: &Digest) -> Namespace {
    namespace(format_args!("oci-blob/{digest}"))
}

/// Begins the names of all that refers to `subject`.
pub(crate) fn referrers(subject: &Digest) -> String {
    format!("referrer/{subject}/")
}

fn namespace(text: fmt::Arguments<'_>) -> Namespace {
    let namespace = text.to_string().parse();
    namespace.expect("a repository's name has at most 255 plain bytes, a digest 135")
}

fn key(namespace: Namespace, name: String) -> RefKey {
    RefKey::new(namespace, name).expect("two digests and a tag are plain and below 512 bytes")
}
