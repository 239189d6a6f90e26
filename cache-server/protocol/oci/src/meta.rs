//! What is kept beside a manifest's ref.

use bytes::Bytes;
use cache_core::{Digest, Error, Ref, Result};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::answer::plain;

/// The JSON in [`Ref::meta`] of `manifest/` and `tag/` refs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meta {
    pub(crate) media_type: String,
    /// The digest that it was pushed under, which need not be SHA-256.
    pub(crate) digest: Digest,
    /// Whether it is a BuildKit cache.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cache: bool,
    /// Whether it is what is left of a cache: we made it, nobody pushed it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) pruned: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Digest>,
    /// What it named although it was not there; not in the closure.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) absent: Vec<Digest>,
}

impl Meta {
    pub(crate) fn of(manifest: &Ref) -> Result<Self> {
        serde_json::from_slice(&manifest.meta)
            .map_err(|error| Error::backend("reading the meta data of a manifest")(error.into()))
    }

    pub(crate) fn bytes(&self) -> Result<Bytes> {
        encode(self)
    }

    /// The value of a `Warning` (spec, "Warnings") if it was pushed incomplete.
    pub(crate) fn warning(&self) -> Option<HeaderValue> {
        let count = self.absent.len();
        (count > 0).then(|| {
            plain(format!(
                "299 - \"{count} of the manifests or layers named here were never pushed\""
            ))
        })
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Bytes> {
    let written = serde_json::to_vec(value).map(Bytes::from);
    written.map_err(|error| Error::backend("writing the meta data of a ref")(error.into()))
}
