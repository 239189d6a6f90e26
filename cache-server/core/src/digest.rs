//! Names of blobs: an algorithm and the hash it gave.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, de::Error as _};
use sha2::Digest as _;

/// A hash function that can name a blob.
///
/// The names are the registered identifiers of the OCI image specification
/// (image-spec, descriptor.md, "Registered Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, 32 bytes: the name under which every blob is stored.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// BLAKE3, 32 bytes.
    Blake3,
}

impl Algorithm {
    /// Length of a hash in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "no hash is empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha256 | Self::Blake3 => 32,
            Self::Sha512 => 64,
        }
    }

    /// The name in front of the colon.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
            Self::Blake3 => "blake3",
        }
    }

    /// One byte that stands for the algorithm in stored keys; never reassigned.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Sha256 => 1,
            Self::Sha512 => 2,
            Self::Blake3 => 3,
        }
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(name: &str) -> Result<Self, DigestError> {
        match name {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            "blake3" => Ok(Self::Blake3),
            _ => Err(DigestError::UnknownAlgorithm),
        }
    }
}

/// Why a string is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The algorithm is not one this server computes.
    #[error("unknown digest algorithm: use sha256, sha512 or blake3")]
    UnknownAlgorithm,
    /// Not `algorithm:hex`, or the hex has the wrong length or a capital letter.
    #[error("malformed digest: expected algorithm:lowercase-hex")]
    Malformed,
}

/// `algorithm:hex`, the name of some bytes (image-spec, descriptor.md, "Digests").
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    /// The hash, zero-padded to the longest algorithm's 64 bytes.
    hash: [u8; 64],
}

impl Digest {
    /// A digest from a hash of exactly [`Algorithm::len`] bytes.
    ///
    /// # Errors
    /// [`DigestError::Malformed`] if the length is another.
    pub fn new(algorithm: Algorithm, hash: &[u8]) -> Result<Self, DigestError> {
        if hash.len() != algorithm.len() {
            return Err(DigestError::Malformed);
        }
        let mut padded = [0; 64];
        padded[..hash.len()].copy_from_slice(hash);
        Ok(Self {
            algorithm,
            hash: padded,
        })
    }

    /// The SHA-256 digest of `bytes`.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, bytes)
    }

    /// The digest of `bytes` under `algorithm`.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// A SHA-256 digest from its 32 bytes.
    #[must_use]
    pub const fn from_sha256(hash: [u8; 32]) -> Self {
        let mut padded = [0; 64];
        let mut i = 0;
        while i < 32 {
            padded[i] = hash[i];
            i += 1;
        }
        Self {
            algorithm: Algorithm::Sha256,
            hash: padded,
        }
    }

    /// The hash function.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash, [`Algorithm::len`] bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.hash[..self.algorithm.len()]
    }

    /// The 32 bytes of a SHA-256 digest; `None` for another algorithm.
    #[must_use]
    pub fn as_sha256(&self) -> Option<[u8; 32]> {
        (self.algorithm == Algorithm::Sha256).then(|| {
            let mut hash = [0; 32];
            hash.copy_from_slice(&self.hash[..32]);
            hash
        })
    }

    /// The part behind the colon, lowercase.
    #[must_use]
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = String::with_capacity(self.algorithm.len() * 2);
        for byte in self.as_bytes() {
            hex.push(char::from(DIGITS[usize::from(byte >> 4)]));
            hex.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        hex
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, hex) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm: Algorithm = algorithm.parse()?;
        if hex.len() != algorithm.len() * 2 {
            return Err(DigestError::Malformed);
        }
        let mut hash = [0; 64];
        for (byte, pair) in hash.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self { algorithm, hash })
    }
}

/// Uppercase is refused: `sha256:` is followed by `[a-f0-9]{64}` (image-spec, descriptor.md).
fn nibble(digit: u8) -> Result<u8, DigestError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(DigestError::Malformed),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// Computes one [`Digest`] over bytes that arrive in pieces.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Blake3(Box<blake3::Hasher>),
}

impl Hasher {
    /// An empty hasher.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Blake3 => State::Blake3(Box::default()),
        })
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
            State::Blake3(state) => {
                state.update(bytes);
            }
        }
    }

    /// The digest of everything added.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut hash = [0; 64];
        let algorithm = match self.0 {
            State::Sha256(state) => {
                hash[..32].copy_from_slice(&state.finalize());
                Algorithm::Sha256
            }
            State::Sha512(state) => {
                hash.copy_from_slice(&state.finalize());
                Algorithm::Sha512
            }
            State::Blake3(state) => {
                hash[..32].copy_from_slice(state.finalize().as_bytes());
                Algorithm::Blake3
            }
        };
        Digest { algorithm, hash }
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Sha256(_) => "Hasher(sha256)",
            State::Sha512(_) => "Hasher(sha512)",
            State::Blake3(_) => "Hasher(blake3)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_it_prints() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
            let digest = Digest::of(algorithm, b"whale");
            assert_eq!(digest.to_string().parse(), Ok(digest));
        }
    }

    #[test]
    fn known_answer_of_the_empty_blob() {
        assert_eq!(
            Digest::sha256(b"").to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn refuses_every_other_spelling() {
        let good = Digest::sha256(b"").to_string();
        for bad in [
            good.to_uppercase(),
            good.replace(':', ""),
            format!("{good}0"),
            good[..good.len() - 1].to_owned(),
            good.replace("e3b0", "e3g0"),
            "sha256:".to_owned(),
            ":".to_owned(),
            String::new(),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad:?}");
        }
        assert_eq!(
            "md4:00".parse::<Digest>(),
            Err(DigestError::UnknownAlgorithm)
        );
    }
}
