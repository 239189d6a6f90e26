//! Manifests of another registry: by digest for ever, by tag as long as its origin
//! stands by them. They are judged as a whole before anyone sees them.

use cache_core::{Blob, Digest};
use cache_http::Reply;
use cache_upstream::{Answer as Asked, Class, Found, Resource};
use http::{HeaderMap, HeaderValue, header};
use serde::Deserialize;

use crate::{
    answer::{Answer, DOCKER_CONTENT_DIGEST, plain},
    document::Document,
    error::OciError,
    name::{Reference, Repository, Tag},
};

use super::{
    forms::Forms,
    reader::{Reader, headers},
};

/// What servers say of any document that they do not know.
const VAGUE: [&str; 4] = [
    "application/json",
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain",
];

impl Reader<'_> {
    pub(super) async fn manifest(
        &self,
        repository: &Repository,
        reference: &Reference,
    ) -> Result<Answer, OciError> {
        let unknown = || OciError::ManifestUnknown(reference.clone());
        let resource = match reference {
            Reference::Tag(tag) => self.tagged(repository, tag),
            Reference::Digest(digest) => {
                let resource = self.fixed(repository, digest);
                self.vouch(&resource, digest, unknown()).await?;
                resource
            }
        };
        let found = match self.fetch(&resource).await? {
            Asked::Found(found) => found,
            Asked::Refused(refused) => return Ok(self.refused(&refused, unknown())),
        };
        let blob = found.blob().await?;
        let digest = match reference {
            Reference::Digest(digest) => *digest,
            Reference::Tag(_) => said_digest(&found.headers).unwrap_or(*blob.digest()),
        };
        if matches!(reference, Reference::Tag(_)) && found.digest.is_some() {
            self.remember(repository, &digest, &blob).await?;
        }
        let content_type = self.content_type(&found, &blob).await;
        let reply = Reply {
            content: blob.content(),
            size: Some(blob.size()),
            headers: headers(content_type.ok_or_else(unknown)?, &digest),
        };
        let response = reply.respond(&self.parts.method, &self.parts.headers);
        Ok(self.read(response, &found))
    }

    fn tagged(&self, repository: &Repository, tag: &Tag) -> Resource {
        let forms = Forms::of(&self.parts.headers);
        let name = format!("tag/{repository}:{tag}{}", forms.suffix());
        let path = format!("manifests/{tag}");
        let class = Class::Index(self.mirror.freshness);
        let mut resource = self.mirror.resource(&name, (repository, &path), class);
        resource.accept = Some(forms.accept());
        resource.named_by = Some(DOCKER_CONTENT_DIGEST);
        self.judged(resource)
    }

    fn fixed(&self, repository: &Repository, digest: &Digest) -> Resource {
        let name = format!("manifest/{repository}@{digest}");
        let path = format!("manifests/{digest}");
        let place = (repository, &*path);
        let mut resource = self.mirror.resource(&name, place, Class::Immutable);
        resource.accept = Some(Forms::ALL.accept());
        resource.digest = Some(*digest);
        self.judged(resource)
    }

    fn judged(&self, mut resource: Resource) -> Resource {
        resource.limit = Some(self.oci.config().manifest_bytes);
        resource.checked(judge)
    }

    /// What a tag leads to is asked for by its digest next, also when no origin can say
    /// any more that it is this repository's.
    async fn remember(
        &self,
        repository: &Repository,
        digest: &Digest,
        blob: &Blob,
    ) -> Result<(), OciError> {
        let resource = self.fixed(repository, digest);
        match self.oci.refs().resolve(&resource.key).await? {
            Some(_) => Ok(()),
            None => self.link(&resource, *blob.digest()).await,
        }
    }

    /// What the origin said of it; else what the manifest says itself. `None` if neither
    /// does: then it is no manifest.
    async fn content_type(&self, found: &Found, blob: &Blob) -> Option<HeaderValue> {
        if let Some(said) = said_type(&found.headers) {
            return Some(said.clone());
        }
        let bytes = blob.read(self.oci.config().manifest_bytes).await.ok()?;
        let document = Document::parse(&bytes, None).ok()?;
        Some(plain(document.media_type))
    }
}

/// The media type that an origin gave, if it means something.
fn said_type(headers: &HeaderMap) -> Option<&HeaderValue> {
    let said = headers.get(header::CONTENT_TYPE)?;
    let text = said.to_str().ok()?.split(';').next()?.trim();
    (!VAGUE.iter().any(|vague| text.eq_ignore_ascii_case(vague))).then_some(said)
}

fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    let said = headers.get(DOCKER_CONTENT_DIGEST)?;
    said.to_str().ok()?.parse().ok()
}

/// Whether a document is a manifest that clients can read in one way only, and the one
/// that its origin says it is. A page that asks to log in is neither.
fn judge(headers: &HeaderMap, bytes: &[u8]) -> Result<(), String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        schema_version: u64,
    }
    let said = said_type(headers).and_then(|it| it.to_str().ok());
    Document::parse(bytes, said).map_err(|error| error.to_string())?;
    let versioned: Result<Versioned, _> = serde_json::from_slice(bytes);
    if versioned.map(|it| it.schema_version).ok() != Some(2) {
        return Err("no manifest of schema version 2".to_owned());
    }
    match said_digest(headers) {
        Some(digest) if Digest::of(digest.algorithm(), bytes) != digest => {
            Err(format!("it does not hash to {digest}"))
        }
        _ => Ok(()),
    }
}
