//! One request to a mirror: what the client may be shown, and what the origin says.

use axum::response::Response;
use bytes::Bytes;
use cache_core::{Binding, Change, Digest, Durability, Outcome, Principal};
use cache_upstream::{Demand, Fetcher, Forward, Forwarded, Found, Refused, Resource, Source};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};

use crate::{
    answer::{Answer, DOCKER_CONTENT_DIGEST, plain},
    error::OciError,
    name::{Reference, Repository},
    oci::Oci,
    route::{Endpoint, Of, PROXY},
};

use super::{Mirror, PROTOCOL, lists::List};

/// What may be asked of a mirror.
pub(super) enum Read {
    Ping,
    Blob(Repository, Digest),
    Manifest(Repository, Reference),
    List(Repository, List),
}

impl Read {
    pub(super) fn of(endpoint: Endpoint) -> Result<Self, OciError> {
        Ok(match endpoint {
            Endpoint::Ping => Self::Ping,
            Endpoint::ReadBlob(repository, digest) => Self::Blob(repository, digest),
            Endpoint::ReadManifest(repository, reference) => Self::Manifest(repository, reference),
            Endpoint::Tags(repository, _) => Self::List(repository, List::Tags),
            Endpoint::Referrers(repository, subject, _) => {
                Self::List(repository, List::Referrers(subject))
            }
            Endpoint::Catalog(_) => return Err(OciError::NoSuchEndpoint),
            Endpoint::DeleteBlob(_, _)
            | Endpoint::PutManifest(_, _, _)
            | Endpoint::DeleteManifest(_, _)
            | Endpoint::StartUpload(_, _)
            | Endpoint::UploadStatus(_, _)
            | Endpoint::AppendUpload(_, _)
            | Endpoint::CommitUpload(_, _, _)
            | Endpoint::CancelUpload(_, _) => return Err(OciError::Unsupported("GET, HEAD")),
        })
    }
}

/// One request to a mirror.
pub(super) struct Reader<'a> {
    pub(super) oci: &'a Oci,
    pub(super) fetcher: &'a Fetcher,
    pub(super) mirror: &'a Mirror,
    pub(super) who: &'a Principal,
    pub(super) of: &'a Of,
    pub(super) parts: &'a Parts,
}

impl Reader<'_> {
    pub(super) async fn answer(&self, read: Read) -> Result<Answer, OciError> {
        let full = |repository| self.mirror.full(repository, self.of);
        match read {
            Read::Ping => Ok(Answer::json("{}".to_owned())),
            Read::Blob(repository, digest) => self.blob(&full(repository)?, &digest).await,
            Read::Manifest(repository, reference) => {
                self.manifest(&full(repository)?, &reference).await
            }
            Read::List(repository, list) => {
                self.list(&repository, &full(repository.clone())?, &list)
                    .await
            }
        }
    }

    pub(super) async fn fetch(
        &self,
        resource: &Resource,
    ) -> Result<cache_upstream::Answer, OciError> {
        let demand = Demand::of(&self.parts.headers);
        Ok(self.fetcher.fetch(resource, demand).await?)
    }

    /// What a response came to that has what was found.
    pub(super) fn read(&self, response: Response, found: &Found) -> Answer {
        let mut answer = Answer::read(response, &self.parts.method, found.tier);
        if answer.outcome == Outcome::Hit {
            answer.outcome = found.outcome;
        }
        answer
    }

    /// The answer when the origin says no; `unknown` if there is no such thing.
    pub(super) fn refused(&self, refused: &Refused, unknown: OciError) -> Answer {
        let error = if refused.is_absent() {
            unknown
        } else {
            OciError::Withheld(refused.status)
        };
        tracing::debug!(%error, registry = %self.mirror.name, "an origin says no");
        let outcome = match self.parts.method {
            Method::HEAD => Outcome::ProbeAbsent,
            _ => refused.outcome,
        };
        Answer::new(error.response(), outcome)
    }

    /// Sees to it that something with this digest may be shown for this mirror: it came
    /// from there, or they may read it anyway, or it is not here yet. What is here for
    /// another reason is shown once the origin says that it has it too.
    ///
    /// # Errors
    /// `unknown` if it does not.
    pub(super) async fn vouch(
        &self,
        resource: &Resource,
        digest: &Digest,
        unknown: OciError,
    ) -> Result<(), OciError> {
        let (refs, blobs) = (self.oci.refs(), self.oci.blobs());
        if self.who.reads_all() || refs.resolve(&resource.key).await?.is_some() {
            return Ok(());
        }
        if self.oci.held(self.who, digest).await?.is_some() {
            return Ok(());
        }
        let Some(blob) = blobs.open(digest).await? else {
            return Ok(());
        };
        self.at_origin(resource).await?.ok_or(unknown)?;
        self.link(resource, *blob.digest()).await
    }

    /// Remembers that a digest may be shown for this mirror. The store knows where the
    /// bytes are, so what is kept beside it says nothing.
    pub(super) async fn link(&self, resource: &Resource, target: Digest) -> Result<(), OciError> {
        let to = self.oci.written(PROTOCOL, target, Vec::new(), Bytes::new());
        let change = Change {
            bindings: vec![Binding::set(resource.key.clone(), to)],
            durability: Durability::Grouped,
        };
        if let Err(error) = self.oci.cache().bind(change).await {
            // It is served all the same, and asked for again next time.
            tracing::debug!(%error, key = %resource.key, "a link could not be kept");
        }
        Ok(())
    }

    /// What the origins say of something without sending it; `None` if none has it.
    pub(super) async fn at_origin(
        &self,
        resource: &Resource,
    ) -> Result<Option<Forwarded>, OciError> {
        let mut failed = None;
        for source in &resource.sources {
            let accept = resource.accept.iter().cloned();
            let head = Forward {
                method: Method::HEAD,
                headers: accept.map(|it| (header::ACCEPT, it)).collect(),
                body: Bytes::new(),
            };
            match self.fetcher.forward(PROTOCOL, source, head).await {
                Ok(said) if said.status == StatusCode::OK => return Ok(Some(said)),
                Ok(said) if is_no(said.status) => {}
                Ok(said) => failed = Some(ill(source, said.status)),
                Err(error) => failed = Some(error.into()),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Where a client asks for something of a repository that it calls so: the path, and
    /// the parameter behind it.
    pub(super) fn place(&self, repository: &Repository) -> (String, Option<String>) {
        match self.of {
            Of::Path(name) => (format!("/v2/{PROXY}/{name}/{repository}"), None),
            Of::Namespace(name) => (format!("/v2/{repository}"), Some(format!("ns={name}"))),
            Of::Own => (format!("/v2/{repository}"), None),
        }
    }
}

/// Whether a status says that there is no such thing, or not for us; others are about
/// the moment.
fn is_no(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429)
}

fn ill(source: &Source, status: StatusCode) -> OciError {
    let host = source.url().host_str().unwrap_or_default();
    OciError::Upstream(cache_upstream::Error::Unavailable {
        reason: format!("{host} answered {status}").into(),
        status: StatusCode::BAD_GATEWAY,
        retry_after: None,
    })
}

/// The headers that describe something with this name.
pub(super) fn headers(content_type: HeaderValue, digest: &Digest) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::ETAG, plain(format!("\"{digest}\"")));
    headers.insert(DOCKER_CONTENT_DIGEST, plain(digest.to_string()));
    headers
}
