//! Blobs: GET, HEAD and DELETE (end-2, end-10).

use cache_core::{Digest, Outcome, Principal};
use cache_http::BlobReply;
use http::{HeaderValue, StatusCode, request::Parts};

use crate::{
    answer::{Answer, DOCKER_CONTENT_DIGEST, plain},
    error::OciError,
    name::Repository,
    oci::Oci,
};

impl Oci {
    /// A HEAD leases the blob: a client that is told of it will not upload it.
    pub(crate) async fn read_blob(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
        parts: &Parts,
    ) -> Result<Answer, OciError> {
        let unknown = || OciError::BlobUnknown(*digest);
        let target = self.linked(who, repository, digest).await?;
        let blob = self.blobs().open(&target.ok_or_else(unknown)?).await?;
        let blob = blob.ok_or_else(unknown)?;
        let reply = BlobReply {
            blob: &blob,
            content_type: HeaderValue::from_static("application/octet-stream"),
            etag: plain(format!("\"{digest}\"")),
        };
        let mut response = reply.respond(&parts.method, &parts.headers);
        let headers = response.headers_mut();
        headers.insert(DOCKER_CONTENT_DIGEST, plain(digest.to_string()));
        Ok(Answer::read(response, &parts.method, blob.tier()))
    }

    pub(crate) async fn delete_blob(
        &self,
        who: &Principal,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<Answer, OciError> {
        self.check_delete()?;
        if self.unlink(who, repository, digest).await? {
            Ok(Answer::empty(StatusCode::ACCEPTED, Outcome::Bypass))
        } else {
            Err(OciError::BlobUnknown(*digest))
        }
    }

    /// # Errors
    /// 405 if deletion is switched off (spec, "Content Management").
    pub(crate) fn check_delete(&self) -> Result<(), OciError> {
        if self.config().delete {
            Ok(())
        } else {
            Err(OciError::Unsupported("GET, HEAD, PUT"))
        }
    }
}
