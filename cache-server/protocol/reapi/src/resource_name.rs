//! Resource names of the byte stream: how a blob is asked for and sent in a stream.
//!
//! | to do what | name |
//! |---|---|
//! | read | `{instance/}blobs/{function/}{hash}/{size}` |
//! | | `{instance/}compressed-blobs/zstd/{function/}{hash}/{size}` |
//! | write | `{instance/}uploads/{uuid}/` and one of these, then anything behind a `/` |
//!
//! The function is written for BLAKE3 alone (remote_execution.proto,
//! "ContentAddressableStorage").

use std::{fmt, str::Split};

use cache_core::Algorithm;
use uuid::Uuid;

use crate::{
    digest::{Named, of_hex},
    error::{ReapiError, Result},
    instance::Instance,
};

/// Longer names are refused before anything is looked at.
const LONGEST: usize = 4096;

/// A blob in an instance, and the form in which it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ResourceName {
    pub(crate) instance: Instance,
    pub(crate) form: Form,
    pub(crate) blob: Named,
}

/// How the bytes of a blob are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// As they are.
    Identity,
    /// As a zstd stream (RFC 8878).
    Zstd,
}

/// The name of an upload: no two have the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UploadName {
    pub(crate) id: Uuid,
    pub(crate) resource: ResourceName,
}

impl ResourceName {
    /// Reads the name of something to be read.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let (instance, word, rest) = split(name)?;
        let mut rest = rest.split('/');
        let this = Self::of(instance, word, &mut rest)?;
        match rest.next() {
            None => Ok(this),
            Some(_) => Err(ReapiError::ResourceName("something behind the size")),
        }
    }

    fn of(instance: Instance, word: &str, rest: &mut Split<'_, char>) -> Result<Self> {
        let form = match word {
            "blobs" => Form::Identity,
            "compressed-blobs" => match rest.next() {
                Some("zstd") => Form::Zstd,
                _ => return Err(ReapiError::Compressor),
            },
            _ => return Err(ReapiError::ResourceName("no blobs/ where it belongs")),
        };
        let blob = blob(rest)?;
        Ok(Self {
            instance,
            form,
            blob,
        })
    }
}

impl UploadName {
    /// Reads the name of something to be written. What is behind the size is the client's
    /// own, and dropped.
    pub(crate) fn parse(name: &str) -> Result<Self> {
        let (instance, word, rest) = split(name)?;
        let mut rest = rest.split('/');
        if word != "uploads" {
            return Err(ReapiError::ResourceName("no uploads/ in it"));
        }
        let id = uuid(rest.next().unwrap_or_default())?;
        let word = rest.next().unwrap_or_default();
        let resource = ResourceName::of(instance, word, &mut rest)?;
        Ok(Self { id, resource })
    }
}

/// The instance, the first word behind it, and the rest.
fn split(name: &str) -> Result<(Instance, &str, &str)> {
    if name.len() > LONGEST {
        return Err(ReapiError::ResourceName("longer than 4096 bytes"));
    }
    let mut start = 0;
    for segment in name.split('/') {
        if matches!(segment, "blobs" | "compressed-blobs" | "uploads") {
            let instance = match start {
                0 => "",
                _ => &name[..start - 1],
            };
            // Without its slash an empty name in front of one would look like none.
            if start == 1 {
                return Err(ReapiError::ResourceName("a slash in front"));
            }
            let rest = name[start + segment.len()..].strip_prefix('/');
            let rest = rest.ok_or(ReapiError::ResourceName("nothing behind its first word"))?;
            return Ok((Instance::parse(instance)?, segment, rest));
        }
        start += segment.len() + 1;
    }
    Err(ReapiError::ResourceName(
        "neither blobs/ nor uploads/ in it",
    ))
}

fn blob(rest: &mut Split<'_, char>) -> Result<Named> {
    const MISSING: ReapiError = ReapiError::ResourceName("hash or size are missing");
    let (function, hash) = match rest.next().ok_or(MISSING)? {
        "blake3" => (Some(Algorithm::Blake3), rest.next().ok_or(MISSING)?),
        hash => (None, hash),
    };
    let digest = of_hex(hash, function)?;
    let size = size(rest.next().ok_or(MISSING)?)?;
    Ok(Named { digest, size })
}

/// Plain decimal digits, as they are printed; an int64, as in messages.
fn size(text: &str) -> Result<u64> {
    const WRONG: ReapiError = ReapiError::ResourceName("the size is not a decimal int64");
    let is_plain = text.bytes().all(|it| it.is_ascii_digit());
    if !is_plain || text.len() > 1 && text.starts_with('0') {
        return Err(WRONG);
    }
    let size: i64 = text.parse().map_err(|_| WRONG)?;
    u64::try_from(size).map_err(|_| WRONG)
}

/// With its hyphens (RFC 9562, 4), of any version: whose it is does not matter.
fn uuid(text: &str) -> Result<Uuid> {
    const WRONG: ReapiError = ReapiError::ResourceName("the upload is not named by a UUID");
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return Err(WRONG);
    }
    Uuid::try_parse(text).map_err(|_| WRONG)
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        prefix(&self.instance, f)?;
        self.tail(f)
    }
}

impl ResourceName {
    fn tail(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.form {
            Form::Identity => "blobs",
            Form::Zstd => "compressed-blobs/zstd",
        };
        write!(f, "{word}/{}", self.blob)
    }
}

impl fmt::Display for UploadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        prefix(&self.resource.instance, f)?;
        write!(f, "uploads/{}/", self.id)?;
        self.resource.tail(f)
    }
}

fn prefix(instance: &Instance, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match instance.as_str() {
        "" => Ok(()),
        name => write!(f, "{name}/"),
    }
}
