//! Blobs of another registry: by their digest, whoever brought them.

use axum::{body::Body, response::Response};
use cache_core::{Digest, Outcome};
use cache_http::{Reply, ends_early};
use cache_upstream::{Answer as Asked, Class, Found};
use http::{HeaderValue, Method, header};

use crate::{answer::Answer, error::OciError, name::Repository};

use super::reader::{Reader, headers};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Reader<'_> {
    /// A HEAD of what is not here is passed on: it is no reason to fetch it.
    pub(super) async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer, OciError> {
        let unknown = || OciError::BlobUnknown(*digest);
        let path = format!("blobs/{digest}");
        // Kept by registry: repositories of one share their layers.
        let name = format!("blob/{digest}");
        let place = (repository, &*path);
        let mut resource = self.mirror.resource(&name, place, Class::Immutable);
        resource.digest = Some(*digest);
        self.vouch(&resource, digest, unknown()).await?;
        if self.parts.method == Method::HEAD {
            return match self.fetcher.kept(&resource).await? {
                Some(found) => Ok(self.reply(&found, digest)),
                None => {
                    let said = self.at_origin(&resource).await?;
                    Ok(announced(digest, said.ok_or_else(unknown)?.size))
                }
            };
        }
        match self.fetch(&resource).await? {
            Asked::Found(found) => {
                if ends_early(&self.parts.headers) {
                    found.blob().await?;
                }
                Ok(self.reply(&found, digest))
            }
            Asked::Refused(refused) => Ok(self.refused(&refused, unknown())),
        }
    }

    fn reply(&self, found: &Found, digest: &Digest) -> Answer {
        let reply = Reply {
            content: found.content(),
            size: found.size,
            headers: headers(OCTETS, digest),
        };
        let response = reply.respond(&self.parts.method, &self.parts.headers);
        self.read(response, found)
    }
}

/// A HEAD's answer for what only the origin has.
fn announced(digest: &Digest, size: Option<u64>) -> Answer {
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = headers(OCTETS, digest);
    if let Some(size) = size {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, size.into());
    }
    Answer::new(response, Outcome::ProbePresent)
}
