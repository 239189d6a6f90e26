//! What a bucket can do, found out before anything depends on it.

use std::error::Error as _;

use bytes::Bytes;
use cache_core::{Error, Result};
use uuid::Uuid;

use super::{
    State,
    objects::{Got, When, whole},
};

/// What a bucket can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    /// Writes an object only if there is none (`If-None-Match: *`).
    pub(super) creates: bool,
    /// Writes an object only if it is still the one that is known (`If-Match`).
    pub(super) replaces: bool,
}

impl Abilities {
    /// Whether refs can be changed by several servers without one losing what another
    /// wrote at the same moment.
    pub(super) const fn conditional(self) -> bool {
        self.creates && self.replaces
    }
}

/// What services say, and what it means to an operator.
const MEANINGS: [(&str, &str); 10] = [
    ("NoSuchBucket", "there is no such bucket"),
    ("InvalidAccessKeyId", "the access key is not known there"),
    (
        "SignatureDoesNotMatch",
        "the secret access key is not that of the access key",
    ),
    ("ExpiredToken", "the session token has expired"),
    ("InvalidToken", "the session token is not valid"),
    (
        "AccessDenied",
        "these credentials may not do this in this bucket",
    ),
    ("PermanentRedirect", "the bucket is in another region"),
    (
        "AuthorizationHeaderMalformed",
        "the bucket is in another region",
    ),
    (
        "RequestTimeTooSkewed",
        "this machine's clock differs from the service's",
    ),
    ("InvalidBucketName", "no bucket can have this name"),
];

impl State {
    /// Tries everything that will be asked of the bucket on an object that is gone
    /// afterwards.
    ///
    /// # Errors
    /// What does not work, with what that means.
    pub(super) async fn probe(&self) -> Result<Abilities> {
        let key = self.keys.probe(Uuid::new_v4())?;
        let bytes = |text: &'static [u8]| Bytes::from_static(text);
        let objects = &self.objects;

        let first = objects.put(&key, bytes(b"1"), When::Always).await;
        let first = first.map_err(explained)?.flatten();
        let Got::Found(found) = objects.get(&key, None).await.map_err(explained)? else {
            return Err(wrong("what was written cannot be read"));
        };
        if whole(found, 1).await.map_err(explained)? != b"1"[..] {
            return Err(wrong("what was written is read as something else"));
        }
        let listed = objects.page(key.as_ref(), None, false, 1).await;
        if listed.map_err(explained)?.objects.is_empty() {
            return Err(wrong("what was written is not in the list"));
        }
        // A service that knows no conditions does what it was told not to do.
        let again = objects.put(&key, bytes(b"2"), When::Absent).await;
        let creates = matches!(again, Ok(None));
        let replaces = match &first {
            Some(tag) => {
                let known = objects.head(&key).await.map_err(explained)?;
                let known = known.and_then(|meta| meta.e_tag).unwrap_or_default();
                let right = objects.put(&key, bytes(b"3"), When::Is(&known)).await;
                let stale = objects.put(&key, bytes(b"4"), When::Is(tag)).await;
                matches!((right, stale), (Ok(Some(Some(_))), Ok(None)))
            }
            None => false,
        };
        objects.delete(&key).await.map_err(explained)?;
        if objects.head(&key).await.map_err(explained)?.is_some() {
            return Err(wrong("what was deleted is still there"));
        }
        Ok(Abilities { creates, replaces })
    }
}

fn wrong(what: &'static str) -> Error {
    Error::backend("trying the bucket")(what.into())
}

/// An error with what it means, if a service has a word for it.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn explained(error: Error) -> Error {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        said = format!("{said}: {source}");
        cause = source.source();
    }
    let meaning = MEANINGS.iter().find(|(code, _)| said.contains(code));
    let said = match meaning {
        Some((_, meaning)) => format!("{meaning} ({said})"),
        None => said,
    };
    Error::backend("trying the bucket")(said.into())
}
