//! What an operator says of a bucket.

use std::{fmt, path::PathBuf, time::Duration};

use cache_core::Secret;

/// A bucket as the store.
#[derive(Clone, Debug)]
pub struct BucketConfig {
    /// Whose bucket it is.
    pub provider: Provider,
    /// Its name; a container's for Azure.
    pub bucket: String,
    /// What every key begins with, as `cachalot/`; empty for none.
    pub prefix: String,
    /// Where the service is, if not at the provider's own place.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` without one, as most compatible servers have it.
    pub region: Option<String>,
    /// Whether the bucket stands in the path instead of the host.
    pub path_style: bool,
    /// Who asks. Without them the provider's usual chain finds out: environment, web
    /// identity, container, instance.
    pub credentials: Option<Credentials>,
    /// How the provider encrypts what it keeps.
    pub encryption: Encryption,
    /// Certificates (PEM) that are trusted besides the system's.
    pub authorities: Option<PathBuf>,
    /// Requests at once, at most.
    pub requests: usize,
    /// How long one request is tried.
    pub patience: Duration,
    /// How long what was seen in the bucket is believed.
    pub fresh: Duration,
    /// How old what is said of a ref may be: a ref that another server wrote is seen so
    /// long after it.
    pub fresh_refs: Duration,
    /// What is used is written anew when it is older than this; `None` for a bucket that
    /// removes nothing.
    pub touch_after: Option<Duration>,
    /// Where bytes lie on their way to a bucket that has no disk before it.
    pub spool: PathBuf,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// S3, or what speaks like it.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
        })
    }
}

/// A key and its secret: an access key of S3, or an account and its key of Azure.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The public half.
    pub id: String,
    /// The other.
    pub secret: Secret<String>,
    /// Of a session that ends.
    pub token: Option<Secret<String>>,
}

/// Encryption by the provider (S3's `x-amz-server-side-encryption`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket has it.
    #[default]
    Bucket,
    /// With keys that S3 keeps: `AES256`.
    Managed,
    /// With a key of the key management service: `aws:kms`.
    Kms {
        /// Which key.
        key: String,
    },
}
