//! The name of immutable bytes.

use std::{fmt, str::FromStr};

use cache_core::{Algorithm, Digest};
use cache_proto::{
    cachalot::v1,
    reapi::{self, digest_function::Value as Function},
};

use crate::{Error, Result};

/// The name of immutable bytes, and how many there are: `sha256:<hex>/<bytes>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob {
    /// SHA-256, or another function that the server's storage knows. Refs lead to
    /// SHA-256 only.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
}

impl Blob {
    /// The name of `bytes`, by SHA-256.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            digest: Digest::sha256(bytes),
            size: bytes.len() as u64,
        }
    }

    /// The Remote Execution API's number of the hash function.
    pub(crate) fn function(&self) -> Function {
        match self.digest.algorithm() {
            Algorithm::Sha256 => Function::Sha256,
            Algorithm::Sha512 => Function::Sha512,
            Algorithm::Blake3 => Function::Blake3,
        }
    }

    /// As the Remote Execution API writes it. Nobody has blobs beyond `i64::MAX`.
    pub(crate) fn to_reapi(self) -> reapi::Digest {
        reapi::Digest {
            hash: self.digest.hex(),
            size_bytes: i64::try_from(self.size).unwrap_or(i64::MAX),
        }
    }

    /// As our own services write it.
    pub(crate) fn to_ours(self) -> Result<v1::Blob> {
        let hash = self.digest.as_sha256();
        let hash = hash.ok_or_else(|| Error::configuration("a ref's target", &"not SHA-256"))?;
        Ok(v1::Blob {
            sha256: hash.to_vec().into(),
            size: self.size,
        })
    }

    pub(crate) fn parse(wire: &v1::Blob) -> Result<Self> {
        let hash = <[u8; 32]>::try_from(&wire.sha256[..])
            .map_err(|_| Error::Corrupt("a digest that is not 32 bytes".to_owned()))?;
        Ok(Self {
            digest: Digest::from_sha256(hash),
            size: wire.size,
        })
    }
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.digest, self.size)
    }
}

impl FromStr for Blob {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |reason: &dyn ToString| Error::configuration("a blob's name", reason);
        let (digest, size) = text
            .split_once('/')
            .ok_or_else(|| bad(&"expected algorithm:hex/bytes"))?;
        Ok(Self {
            digest: digest.parse().map_err(|error| bad(&error))?,
            size: size.parse().map_err(|error| bad(&error))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        let blob = Blob::of(b"whale");
        assert_eq!(blob.to_string().parse::<Blob>().unwrap(), blob);
    }

    #[test]
    fn refuses_what_is_no_name() {
        let digest = Digest::sha256(b"whale");
        for bad in [
            "",
            "/",
            "sha256:/5",
            &format!("{digest}"),
            &format!("{digest}/-1"),
        ] {
            assert!(bad.parse::<Blob>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_sha256_can_be_bound() {
        let blob = Blob {
            digest: Digest::of(Algorithm::Blake3, b"whale"),
            size: 5,
        };
        assert!(matches!(blob.to_ours(), Err(Error::Configuration { .. })));
    }
}
