//! What `get` and `stat` are asked for: a key, or a blob itself.

use std::{convert::Infallible, str::FromStr};

use anyhow::Result;
use cache_client::{Blob, Client};

/// A key of the namespace, or a blob as `sha256:<hex>/<bytes>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Key(String),
    Blob(Blob),
}

/// What is no blob's name is a key.
impl FromStr for Name {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(text
            .parse()
            .map_or_else(|_| Self::Key(text.to_owned()), Self::Blob))
    }
}

impl Name {
    /// The blob, if the key is bound and whole.
    pub(crate) async fn blob(&self, client: &Client, namespace: &str) -> Result<Option<Blob>> {
        match self {
            Self::Blob(blob) => Ok(Some(*blob)),
            Self::Key(key) => {
                let found = client.refs(namespace).resolve(key).await?;
                Ok(found.map(|found| found.target))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_name_of_a_blob_is_one() {
        let blob = Blob::of(b"whale");
        assert_eq!(blob.to_string().parse(), Ok(Name::Blob(blob)));
        for key in ["cache-1", "sha256:ab/5", &blob.digest.to_string()] {
            assert_eq!(key.parse(), Ok(Name::Key(key.to_owned())));
        }
    }
}
