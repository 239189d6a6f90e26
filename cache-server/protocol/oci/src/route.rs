//! From method and URL to an [`Endpoint`]: the only place that looks at a path.
//!
//! Each segment is percent-decoded exactly once, after the path was split at its
//! slashes. So `%2F` and `%2E%2E` reach the grammar of names as a slash and dots
//! inside of one segment, which it refuses, and `%252F` as a percent sign, which
//! it refuses too.

use std::borrow::Cow;

use cache_core::{Action, Algorithm, Digest};
use cache_http::Package;
use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use uuid::Uuid;

use crate::{
    error::OciError,
    name::{Reference, RegistryName, Repository, Tag},
    page::Page,
};

/// More tags than this in one push are refused; the spec asks for ten.
const MOST_TAGS: usize = 100;

/// What is asked for, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) of: Of,
    pub(crate) endpoint: Endpoint,
}

/// Whose repositories are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Those that are pushed here.
    Own,
    /// Another registry's, said by `?ns=` (containerd, and BuildKit after it).
    Namespace(RegistryName),
    /// Another registry's, said in the path, below `/v2/proxy/<registry>/`.
    Path(RegistryName),
}

/// Begins the path of what another registry has. No repository here is called so.
pub(crate) const PROXY: &str = "proxy";

/// What is asked for. The numbers are those of the spec's table of endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// end-1
    Ping,
    /// Docker's `_catalog`, which the spec reserves.
    Catalog(Page),
    /// end-2
    ReadBlob(Repository, Digest),
    /// end-10
    DeleteBlob(Repository, Digest),
    /// end-3
    ReadManifest(Repository, Reference),
    /// end-7a, end-7b
    PutManifest(Repository, Reference, Vec<Tag>),
    /// end-9
    DeleteManifest(Repository, Reference),
    /// end-4a, end-4b, end-4c, end-11
    StartUpload(Repository, Start),
    /// end-13
    UploadStatus(Repository, Uuid),
    /// end-5
    AppendUpload(Repository, Uuid),
    /// end-6
    CommitUpload(Repository, Uuid, Digest),
    /// end-14
    CancelUpload(Repository, Uuid),
    /// end-8a, end-8b
    Tags(Repository, Page),
    /// end-12a, end-12b
    Referrers(Repository, Digest, Referrers),
}

/// How an upload begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// end-4a, and end-4c if an algorithm is named.
    Session(Option<Algorithm>),
    /// end-4b: the body is the blob.
    Whole(Digest),
    /// end-11: take it from `from`, or from wherever it is.
    Mount(Digest, Option<Repository>),
}

/// Which referrers are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Referrers {
    /// Only those of this type.
    pub(crate) artifact_type: Option<String>,
    /// Only those behind this one.
    pub(crate) last: Option<String>,
}

impl Route {
    pub(crate) fn parse(method: &Method, uri: &Uri) -> Result<Self, OciError> {
        let path = uri.path().strip_prefix("/v2").unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        let query = Query::parse(uri.query().unwrap_or_default());
        let segments: Vec<_> = path.split('/').map(decode).collect::<Result<_, _>>()?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let (of, segments) = Of::parse(method, &segments, &query)?;
        let endpoint = Endpoint::parse(method, segments, &query)?;
        Ok(Self { of, endpoint })
    }
}

impl Of {
    /// Whose they are, and what is left of the path. Nobody can push below `proxy/`,
    /// whatever follows.
    fn parse<'a, 'b>(
        method: &Method,
        segments: &'a [&'b str],
        query: &Query<'_>,
    ) -> Result<(Self, &'a [&'b str]), OciError> {
        match segments {
            [PROXY, "blobs" | "manifests" | "tags" | "referrers", ..] | [PROXY] => {}
            [PROXY, registry, rest @ ..] => {
                let rest = if rest.is_empty() { &[""] } else { rest };
                reading(method, ())?;
                return Ok((Self::Path(registry.parse()?), rest));
            }
            _ => {}
        }
        let namespace = query.first("ns")?.filter(|name| !name.is_empty());
        Ok(match namespace {
            Some(name) => (Self::Namespace(name.parse()?), segments),
            None => (Self::Own, segments),
        })
    }
}

impl Endpoint {
    fn parse(method: &Method, segments: &[&str], query: &Query<'_>) -> Result<Self, OciError> {
        match segments {
            [""] => reading(method, Self::Ping),
            ["_catalog"] => reading(method, Self::Catalog(Page::parse(query)?)),
            [name @ .., "tags", "list"] => {
                let endpoint = Self::Tags(repository(name)?, Page::parse(query)?);
                reading(method, endpoint)
            }
            [name @ .., "blobs", "uploads"] | [name @ .., "blobs", "uploads", ""] => {
                if method != Method::POST {
                    return Err(OciError::Unsupported("POST"));
                }
                Ok(Self::StartUpload(repository(name)?, Start::parse(query)?))
            }
            [name @ .., "blobs", "uploads", session] => Self::upload(method, name, session, query),
            [name @ .., "blobs", digest] => Self::blob(method, name, digest),
            [name @ .., "manifests", reference] => Self::manifest(method, name, reference, query),
            [name @ .., "referrers", subject] => {
                let asked = Referrers {
                    artifact_type: query.first("artifactType")?,
                    last: query.first("last")?,
                };
                let endpoint = Self::Referrers(repository(name)?, subject.parse()?, asked);
                reading(method, endpoint)
            }
            _ => Err(OciError::NoSuchEndpoint),
        }
    }

    fn blob(method: &Method, name: &[&str], digest: &str) -> Result<Self, OciError> {
        let (repository, digest) = (repository(name)?, digest.parse()?);
        match *method {
            Method::GET | Method::HEAD => Ok(Self::ReadBlob(repository, digest)),
            Method::DELETE => Ok(Self::DeleteBlob(repository, digest)),
            _ => Err(OciError::Unsupported("GET, HEAD, DELETE")),
        }
    }

    fn manifest(
        method: &Method,
        name: &[&str],
        reference: &str,
        query: &Query<'_>,
    ) -> Result<Self, OciError> {
        let (repository, reference) = (repository(name)?, reference.parse()?);
        match *method {
            Method::GET | Method::HEAD => Ok(Self::ReadManifest(repository, reference)),
            Method::PUT => {
                let tags = query.all("tag")?;
                if tags.len() > MOST_TAGS {
                    return Err(OciError::TooManyTags(MOST_TAGS));
                }
                let tags = tags.iter().map(|tag| tag.parse()).collect::<Result<_, _>>();
                Ok(Self::PutManifest(repository, reference, tags?))
            }
            Method::DELETE => Ok(Self::DeleteManifest(repository, reference)),
            _ => Err(OciError::Unsupported("GET, HEAD, PUT, DELETE")),
        }
    }

    /// The status ignores its query: clients ask it at the URL of whatever failed.
    fn upload(
        method: &Method,
        name: &[&str],
        session: &str,
        query: &Query<'_>,
    ) -> Result<Self, OciError> {
        let repository = repository(name)?;
        let session = session.parse().map_err(|_| OciError::UploadUnknown)?;
        match *method {
            Method::GET | Method::HEAD => Ok(Self::UploadStatus(repository, session)),
            Method::PATCH => Ok(Self::AppendUpload(repository, session)),
            Method::PUT => {
                let digest = query.first("digest")?.ok_or(OciError::DigestMissing)?;
                Ok(Self::CommitUpload(repository, session, digest.parse()?))
            }
            Method::DELETE => Ok(Self::CancelUpload(repository, session)),
            _ => Err(OciError::Unsupported("GET, HEAD, PATCH, PUT, DELETE")),
        }
    }

    /// What it is about, for the access log. Blobs are too many, and of no version.
    pub(crate) fn package(&self) -> Option<Package> {
        match self {
            Self::ReadManifest(repository, reference)
            | Self::PutManifest(repository, reference, _)
            | Self::DeleteManifest(repository, reference) => {
                Some(Package::at(repository.as_str(), &reference.to_string()))
            }
            _ => None,
        }
    }

    /// The repository and the right that it takes; `None` if none in particular.
    pub(crate) fn needs(&self) -> Option<(Action, &Repository)> {
        match self {
            Self::Ping | Self::Catalog(_) => None,
            Self::ReadBlob(repository, _)
            | Self::ReadManifest(repository, _)
            | Self::Tags(repository, _)
            | Self::Referrers(repository, _, _) => Some((Action::Read, repository)),
            Self::DeleteBlob(repository, _)
            | Self::PutManifest(repository, _, _)
            | Self::DeleteManifest(repository, _)
            | Self::StartUpload(repository, _)
            | Self::UploadStatus(repository, _)
            | Self::AppendUpload(repository, _)
            | Self::CommitUpload(repository, _, _)
            | Self::CancelUpload(repository, _) => Some((Action::Write, repository)),
        }
    }
}

impl Start {
    fn parse(query: &Query<'_>) -> Result<Self, OciError> {
        if let Some(digest) = query.first("mount")? {
            let digest = digest.parse()?;
            return Ok(match query.first("from")? {
                None => Self::Mount(digest, None),
                // BuildKit derives `from` from annotations, so it may be a name that
                // only another registry knows: then there is nothing to mount.
                Some(from) => from
                    .parse()
                    .map_or(Self::Session(None), |from| Self::Mount(digest, Some(from))),
            });
        }
        if let Some(digest) = query.first("digest")? {
            return Ok(Self::Whole(digest.parse()?));
        }
        let algorithm = query.first("digest-algorithm")?;
        Ok(Self::Session(
            algorithm.map(|name| name.parse()).transpose()?,
        ))
    }
}

fn reading<T>(method: &Method, endpoint: T) -> Result<T, OciError> {
    match *method {
        Method::GET | Method::HEAD => Ok(endpoint),
        _ => Err(OciError::Unsupported("GET, HEAD")),
    }
}

fn repository(segments: &[&str]) -> Result<Repository, OciError> {
    // Joining could make two segments of one that held a slash.
    if segments.iter().any(|segment| segment.contains('/')) {
        return Err(OciError::NameInvalid("an escaped slash"));
    }
    segments.join("/").parse()
}

fn decode(text: &str) -> Result<Cow<'_, str>, OciError> {
    percent_decode_str(text)
        .decode_utf8()
        .map_err(|_| OciError::NameInvalid("not UTF-8"))
}

/// The parameters behind the `?`, decoded when they are asked for.
pub(crate) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .collect(),
        )
    }

    /// The first value of a parameter. A plus sign is a plus sign: no value has
    /// spaces, and media types have pluses that sloppy clients do not escape.
    pub(crate) fn first(&self, name: &str) -> Result<Option<String>, OciError> {
        self.values(name).next().transpose()
    }

    fn all(&self, name: &str) -> Result<Vec<String>, OciError> {
        self.values(name).collect()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = Result<String, OciError>> {
        let values = self.0.iter().filter(move |(key, _)| *key == name);
        values.map(
            |(key, value)| match percent_decode_str(value).decode_utf8() {
                Ok(value) => Ok(value.into_owned()),
                Err(_) => Err(OciError::QueryInvalid(format!("{key} is not UTF-8"))),
            },
        )
    }
}
