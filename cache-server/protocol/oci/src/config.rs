//! What an operator decides about the registry.

use std::collections::BTreeMap;

use cache_core::Period;
use cache_upstream::{Freshness, OriginConfig};
use serde::{Deserialize, Serialize};

/// Which absent things a pushed manifest may name.
///
/// What is absent at the push stays outside of the manifest's closure: it is
/// served as complete as it was pushed, with a `Warning`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sparse {
    /// None: everything is pushed before the manifest that names it.
    None,
    /// An index may name absent manifests, as when one platform of several is
    /// mirrored. BuildKit's cache manifests may not.
    #[default]
    Indexes,
    /// A manifest may name absent layers as well, though never an absent config.
    All,
}

/// Configuration of the registry; the default suits a server of its own.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OciConfig {
    /// Whether a request that no authentication layer has seen may do everything.
    /// False unless the code that embeds the registry says so: a forgotten layer
    /// opens nothing, and no configuration file can.
    #[serde(skip)]
    pub open: bool,
    /// Whether clients may delete; otherwise DELETE is 405.
    pub delete: bool,
    /// What a pushed manifest may name without its being here.
    pub sparse: Sparse,
    /// The largest manifest, in bytes. Clients count on 4 MiB (spec, "Pushing
    /// Manifests"), and BuildKit on `4 * 1048 * 1048`.
    pub manifest_bytes: u64,
    /// The largest blob, in bytes; `None` for what the store has room for.
    pub blob_bytes: Option<u64>,
    /// How many upload sessions may be open at once.
    pub upload_sessions: usize,
    /// After how many seconds without a byte an upload session is given up.
    pub upload_idle_seconds: u64,
    /// How many request bodies are stored at once; the others queue.
    pub upload_slots: usize,
    /// How many seconds one waits in that queue before 503. Below the 30 s after
    /// which containerd gives up.
    pub upload_wait_seconds: u64,
    /// Registries that are mirrored, by the name that clients know them by.
    pub mirrors: BTreeMap<String, MirrorConfig>,
    /// The mirrored registry that is meant by a repository that nobody pushed here, when
    /// a client does not say whose it is, as Docker's classic store. Without it there is
    /// no such repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_mirror: Option<String>,
}

/// A registry that is mirrored.
///
/// ```toml
/// [oci.mirrors."registry.example"]
/// origins = [{ url = "https://registry.example/", token_hosts = ["auth.example"] }]
/// ```
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MirrorConfig {
    /// Where it is, up to its `/v2/`; the first that has something wins. Without any it
    /// is not mirrored.
    pub origins: Vec<OriginConfig>,
    /// How long a tag or a list is served without asking whether it still is the same.
    #[serde(default = "fresh")]
    pub fresh: Period,
    /// How long after that it is served while its origins fail.
    #[serde(default = "if_error")]
    pub if_error: Period,
    /// What a repository without a slash is below, for clients that ask by path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
}

const fn fresh() -> Period {
    Period::seconds(60)
}

const fn if_error() -> Period {
    Period::seconds(30 * 24 * 60 * 60)
}

impl MirrorConfig {
    pub(crate) fn freshness(&self) -> Freshness {
        Freshness {
            fresh: self.fresh.0,
            // A tag that has moved is not served once more: asking takes one HEAD.
            while_revalidating: std::time::Duration::ZERO,
            if_error: self.if_error.0,
        }
    }
}

impl Default for OciConfig {
    fn default() -> Self {
        Self {
            open: false,
            delete: true,
            sparse: Sparse::default(),
            manifest_bytes: 8 << 20,
            blob_bytes: None,
            upload_sessions: 4096,
            upload_idle_seconds: 15 * 60,
            upload_slots: 256,
            upload_wait_seconds: 25,
            mirrors: BTreeMap::new(),
            default_mirror: None,
        }
    }
}
