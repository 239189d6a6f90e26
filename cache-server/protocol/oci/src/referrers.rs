//! What refers to a manifest: signatures, SBOMs, attestations (end-12).

use bytes::Bytes;
use cache_core::Digest;
use http::{HeaderName, HeaderValue, header};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    answer::Answer,
    document::{Document, OCI_INDEX},
    error::OciError,
    keys::referrers,
    meta::encode,
    name::Repository,
    oci::Oci,
    page,
    route::Referrers,
};

const OCI_FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Annotations above this many bytes are left out of the list, so that an entry
/// stays below the limit of a ref's meta data.
const MOST_ANNOTATIONS: usize = 512 << 10;

/// A page ends before this many bytes: clients refuse larger indexes.
const LONGEST_PAGE: usize = 4 << 20;

/// What the list says of one referrer; kept as the meta data of its ref.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    media_type: String,
    digest: Digest,
    size: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    annotations: Map<String, Value>,
}

impl Referrer {
    pub(crate) fn new(document: &Document, digest: Digest, size: usize) -> Self {
        Self {
            media_type: document.media_type.clone(),
            digest,
            size,
            artifact_type: document.artifact_type.clone(),
            annotations: document.annotations.clone(),
        }
    }

    /// The meta data of a ref.
    pub(crate) fn encode(mut self) -> Result<Bytes, OciError> {
        let meta = encode(&self)?;
        if meta.len() <= MOST_ANNOTATIONS {
            return Ok(meta);
        }
        self.annotations.clear();
        Ok(encode(&self)?)
    }
}

impl Oci {
    /// Always 200: a client takes 404 for a registry without this endpoint.
    pub(crate) async fn list_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        asked: &Referrers,
    ) -> Result<Answer, OciError> {
        let found = self.present_referrers(repository, subject, asked.last.as_deref());
        let (found, more) = found.await?;
        let wanted = asked.artifact_type.as_ref();
        let last = found.last().map(|referrer| referrer.digest.to_string());
        let listed: Vec<_> = found
            .into_iter()
            .filter(|it| wanted.is_none_or(|wanted| it.artifact_type.as_ref() == Some(wanted)))
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed });
        let mut answer = Answer::json(index.to_string());
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(OCI_INDEX));
        if wanted.is_some() {
            let applied = HeaderValue::from_static("artifactType");
            headers.insert(OCI_FILTERS_APPLIED, applied);
        }
        if let (true, Some(last)) = (more, last) {
            let path = format!("/v2/{repository}/referrers/{subject}");
            let filter = wanted.map(|wanted| ("artifactType", wanted.as_str()));
            let link = page::next(&path, &last, filter.as_slice());
            headers.insert(header::LINK, link);
        }
        Ok(answer)
    }

    /// One page of the referrers whose manifests are here, and whether there may
    /// be more behind them.
    async fn present_referrers(
        &self,
        repository: &Repository,
        subject: &Digest,
        last: Option<&str>,
    ) -> Result<(Vec<Referrer>, bool), OciError> {
        let prefix = referrers(subject);
        let mut after = last.map(|last| format!("{prefix}{last}"));
        loop {
            let namespace = repository.namespace();
            let refs = self.refs();
            let step = refs.list(&namespace, &prefix, after.as_deref(), page::LONGEST);
            let step = step.await?;
            let targets: Vec<_> = step.iter().map(|(_, to)| to.target).collect();
            let sizes = self.blobs().lease(&targets).await?;
            let (mut bytes, mut found) = (0, Vec::new());
            for ((name, to), _) in step.iter().zip(sizes).filter(|(_, size)| size.is_some()) {
                bytes += to.meta.len();
                if bytes > LONGEST_PAGE {
                    return Ok((found, true));
                }
                found.extend(serde_json::from_slice::<Referrer>(&to.meta).inspect_err(
                    |error| tracing::warn!(%error, name, "skipped an unreadable referrer"),
                ));
            }
            if step.len() < page::LONGEST {
                return Ok((found, false));
            }
            if !found.is_empty() {
                return Ok((found, true));
            }
            after = step.into_iter().next_back().map(|(name, _)| name);
        }
    }
}
