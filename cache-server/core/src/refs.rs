//! Refs: mutable names for blobs, and the seam behind which they live.

use std::{fmt, str::FromStr, time::SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Digest, Error, Result};

/// Who refs belong to: a protocol and a path in it, as `oci/app/cache`.
///
/// At most 512 bytes, no control characters: it is part of stored keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace(String);

/// Why a string is not a namespace or a ref name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("empty, longer than {MAX_NAME} bytes, or with a control character")]
pub struct NameError;

/// Namespaces and names are at most this long, so that a stored key stays small.
const MAX_NAME: usize = 512;

impl Namespace {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Namespace {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        is_name(text)
            .then(|| Self(text.to_owned()))
            .ok_or(NameError)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a ref: a namespace and a name in it, as `tag/latest`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RefKey {
    namespace: Namespace,
    name: String,
}

impl RefKey {
    /// A key.
    ///
    /// # Errors
    /// [`NameError`] if the name is empty, over 512 bytes, or has a control character.
    pub fn new(namespace: Namespace, name: impl Into<String>) -> Result<Self, NameError> {
        let name = name.into();
        if is_name(&name) {
            Ok(Self { namespace, name })
        } else {
            Err(NameError)
        }
    }

    /// Who the ref belongs to.
    #[must_use]
    pub const fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its name there.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for RefKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.namespace, self.name)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME && !text.chars().any(char::is_control)
}

/// What a ref leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    /// The blob that it names.
    pub target: Digest,
    /// Every further blob that must be present for the ref to be usable,
    /// flattened: an index has its manifests and their layers here.
    pub closure: Vec<Digest>,
    /// What the protocol keeps beside it, as a media type. At most 1 MiB.
    pub meta: Bytes,
    /// The principal who wrote it.
    pub writer: String,
    /// When it was written, by the server's wall clock.
    pub written: SystemTime,
}

impl Ref {
    /// The target and the closure.
    pub fn blobs(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.target).chain(&self.closure)
    }
}

/// What must hold for a binding to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing: the last writer wins.
    Any,
    /// The key must be unbound.
    Unbound,
    /// The key must lead to this blob.
    Target(Digest),
}

/// One key's part in a [`Change`].
#[derive(Clone, Debug)]
pub struct Binding {
    /// The key.
    pub key: RefKey,
    /// What it leads to from now on; `None` unbinds it.
    pub to: Option<Ref>,
    /// What must hold.
    pub precondition: Precondition,
}

impl Binding {
    /// Binds `key` to `to`, whatever it led to before.
    #[must_use]
    pub const fn set(key: RefKey, to: Ref) -> Self {
        Self {
            key,
            to: Some(to),
            precondition: Precondition::Any,
        }
    }

    /// Unbinds `key`.
    #[must_use]
    pub const fn unset(key: RefKey) -> Self {
        Self {
            key,
            to: None,
            precondition: Precondition::Any,
        }
    }
}

/// When a change counts as made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it and every blob acknowledged before it survive a power cut.
    Barrier,
    /// Once it survives the death of the process; a power cut may undo it.
    Grouped,
}

/// Bindings that are made together or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The bindings.
    pub bindings: Vec<Binding>,
    /// When [`RefStore::bind`] returns.
    pub durability: Durability,
}

/// Where refs live.
#[async_trait]
pub trait RefStore: fmt::Debug + fmt::Display + Send + Sync + 'static {
    /// What `key` leads to; `None` if it is unbound. Does not look at blobs.
    async fn resolve(&self, key: &RefKey) -> Result<Option<Ref>>;

    /// Makes a change, whole or not at all.
    ///
    /// Does not look at blobs: [`crate::Cache::bind`] does.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a precondition does not hold.
    async fn bind(&self, change: Change) -> Result<()>;

    /// Up to `limit` refs of a namespace whose names begin with `prefix` and
    /// come behind `after`, in byte order of their names.
    async fn list(
        &self,
        namespace: &Namespace,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Ref)>>;

    /// Up to `limit` namespaces that begin with `prefix` and come behind
    /// `after`, in byte order. A namespace exists while it has a ref.
    async fn namespaces(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Namespace>>;
}

impl Precondition {
    /// Checks against what the key leads to now.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub fn check(self, current: Option<&Ref>) -> Result<()> {
        let holds = match self {
            Self::Any => true,
            Self::Unbound => current.is_none(),
            Self::Target(digest) => current.is_some_and(|r| r.target == digest),
        };
        if holds { Ok(()) } else { Err(Error::Conflict) }
    }
}
