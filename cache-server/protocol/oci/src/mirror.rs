//! Other registries behind this one: what is pulled through us is kept, and pulled from
//! here from then on.
//!
//! Blobs and manifests are asked for by their digest where they have one, and are right
//! or do not arrive; tags and lists are indexes, confirmed at their origin. What a
//! mirrored manifest names may be absent: it is fetched when it is asked for. So these
//! refs have no closure, and nothing of a mirror holds a blob that the store wants to
//! evict.

mod blobs;
mod forms;
mod lists;
mod manifests;
mod reader;

use std::{collections::HashMap, sync::Arc};

use cache_core::{Action, Namespace};
use cache_upstream::{Fetcher, Freshness, Origin, OriginError, Resource, Source, key};
use http::{HeaderName, Method, request::Parts};

use crate::{
    answer::{Answer, plain},
    config::{MirrorConfig, OciConfig},
    error::OciError,
    name::{RegistryName, Repository},
    oci::Oci,
    route::{Endpoint, Of, Route},
    serve::authorize,
};

use self::reader::{Read, Reader};

/// The name of mirrors in metrics, rights and keys.
pub(crate) const PROTOCOL: &str = "oci-mirror";

/// Whose thing it is (spec, "Registry Proxying").
const OCI_NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// The registries that are mirrored.
#[derive(Debug)]
pub(crate) struct Mirrors {
    fetcher: Fetcher,
    mirrors: HashMap<RegistryName, Mirror>,
    default: Option<RegistryName>,
    own: Vec<RegistryName>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Mirror {
    name: RegistryName,
    namespace: Namespace,
    origins: Vec<Arc<Origin>>,
    freshness: Freshness,
    library: Option<Repository>,
}

/// Why a registry cannot be mirrored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// Its name is none.
    #[error("mirrors.{0:?}: expected a host, with or without a port")]
    Name(String),
    /// An origin cannot be asked.
    #[error("mirrors.{0:?}: {1}")]
    Origin(String, OriginError),
    /// An origin's URL goes too far.
    #[error("mirrors.{0:?}: the URL of an origin ends before /v2/")]
    Version(String),
    /// The default is none of those that are mirrored.
    #[error("default_mirror: {0:?} is not mirrored")]
    Default(String),
    /// What its repositories are below is no name.
    #[error("mirrors.{0:?}.library: expected lowercase path components")]
    Library(String),
}

impl Mirrors {
    pub(crate) fn new(
        fetcher: Fetcher,
        config: &OciConfig,
        own: &[String],
    ) -> Result<Self, MirrorError> {
        let configured = config
            .mirrors
            .iter()
            .filter(|(_, it)| !it.origins.is_empty());
        let mirrors = configured.map(|(name, config)| {
            let mirror = Mirror::new(name, config)?;
            Ok((mirror.name.clone(), mirror))
        });
        let mirrors: HashMap<_, _> = mirrors.collect::<Result<_, _>>()?;
        let own = own.iter().filter_map(|name| name.parse().ok());
        let default = config.default_mirror.as_ref().map(|name| {
            let parsed = name.parse().ok();
            let parsed = parsed.filter(|name| mirrors.contains_key(name));
            parsed.ok_or_else(|| MirrorError::Default(name.clone()))
        });
        Ok(Self {
            fetcher,
            default: default.transpose()?,
            mirrors,
            own: own.collect(),
        })
    }

    fn find(&self, of: &Of) -> Option<&Mirror> {
        match of {
            Of::Namespace(name) | Of::Path(name) => self.mirrors.get(name),
            Of::Own => self.mirrors.get(self.default.as_ref()?),
        }
    }

    /// Whether clients call this server by that name.
    pub(crate) fn are_here(&self, name: &RegistryName) -> bool {
        self.own.contains(name) && !self.mirrors.contains_key(name)
    }
}

impl Mirror {
    fn new(name: &str, config: &MirrorConfig) -> Result<Self, MirrorError> {
        let wrong = || MirrorError::Name(name.to_owned());
        let parsed: RegistryName = name.parse().map_err(|_| wrong())?;
        let origins = config.origins.iter().cloned();
        let origins = origins.map(|origin| Origin::new(origin).map(Arc::new));
        let origins: Result<Vec<_>, _> = origins.collect();
        let origins = origins.map_err(|error| MirrorError::Origin(name.to_owned(), error))?;
        if origins.iter().any(|it| it.base().path().ends_with("/v2/")) {
            return Err(MirrorError::Version(name.to_owned()));
        }
        let library = config.library.as_deref().map(str::parse).transpose();
        Ok(Self {
            namespace: right(&parsed).parse().map_err(|_| wrong())?,
            name: parsed,
            origins,
            freshness: config.freshness(),
            library: library.map_err(|_| MirrorError::Library(name.to_owned()))?,
        })
    }

    /// Where something of a repository is, with the token that reading it may take.
    fn sources(&self, repository: &Repository, path: &str) -> Vec<Source> {
        let scope: Arc<str> = format!("repository:{repository}:pull").into();
        let at = |origin: &Arc<Origin>| origin.at(&format!("v2/{repository}/{path}"));
        let sources = self.origins.iter().filter_map(at);
        sources.map(|it| it.scoped(Arc::clone(&scope))).collect()
    }

    /// A resource of a repository, kept under `name`.
    fn resource(
        &self,
        name: &str,
        (repository, path): (&Repository, &str),
        class: cache_upstream::Class,
    ) -> Resource {
        let key = key(&self.namespace, name).expect("names, digests and a query are printable");
        Resource::new(PROTOCOL, key, self.sources(repository, path), class)
    }

    /// The registry's own name of a repository. Clients that ask by path leave out what
    /// they would put before it themselves.
    fn full(&self, repository: Repository, of: &Of) -> Result<Repository, OciError> {
        match (&self.library, of) {
            (Some(library), Of::Path(_)) if !repository.as_str().contains('/') => {
                format!("{library}/{repository}").parse()
            }
            _ => Ok(repository),
        }
    }
}

/// The right that reading a registry takes, and the namespace of what is kept of it.
fn right(registry: &RegistryName) -> String {
    format!("{PROTOCOL}/{registry}")
}

impl Oci {
    /// Answers for another registry. One that is not mirrored is unknown to everyone, so
    /// that clients turn to the next at once.
    pub(crate) async fn mirrored(&self, route: Route, parts: &Parts) -> Result<Answer, OciError> {
        let Route { of, endpoint } = route;
        let mirrors = self.mirrors().ok_or(OciError::NoSuchRegistry)?;
        let mirror = mirrors.find(&of).ok_or(OciError::NoSuchRegistry)?;
        let read = Read::of(endpoint)?;
        let who = &*self.principal(&parts.extensions)?;
        authorize(who, who.may(Action::Read, &right(&mirror.name)))?;
        let reader = Reader {
            oci: self,
            fetcher: &mirrors.fetcher,
            mirror,
            who,
            of: &of,
            parts,
        };
        let mut answer = reader.answer(read).await?;
        let name = plain(mirror.name.as_str());
        answer.headers_mut().insert(OCI_NAMESPACE, name);
        Ok(answer)
    }
}

impl Oci {
    /// The same of the default registry, if there is one and it could be asked for it.
    ///
    /// Who asks whether a blob is there is about to push: clients that pull ask for its
    /// bytes. That another registry has it would make them leave it out.
    pub(crate) fn at_default(&self, endpoint: &Endpoint, method: &Method) -> Option<Route> {
        self.mirrors()?.default.as_ref()?;
        let reads = matches!(endpoint.needs(), Some((Action::Read, _)));
        let probes = matches!(endpoint, Endpoint::ReadBlob(..)) && method == Method::HEAD;
        (reads && !probes).then(|| Route {
            of: Of::Own,
            endpoint: endpoint.clone(),
        })
    }

    /// Whether anything was pushed to the repository that is asked for.
    pub(crate) async fn is_pushed(&self, endpoint: &Endpoint) -> Result<bool, OciError> {
        let Some((_, repository)) = endpoint.needs() else {
            return Ok(true);
        };
        let namespace = repository.namespace();
        Ok(!self.refs().list(&namespace, "", None, 1).await?.is_empty())
    }
}
