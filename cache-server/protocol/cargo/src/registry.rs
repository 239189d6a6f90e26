//! One registry: its places, and what is kept of it under which name.

use std::sync::Arc;

use cache_core::{Digest, Namespace, RefKey, policy::Policy};
use cache_upstream::{Class, Freshness, Origin, OriginConfig, OriginError, Resource, Source, key};
use http::HeaderValue;

use crate::{
    cargo::SetupError,
    config::RegistryConfig,
    description::Description,
    document::{Document, Release},
    error::CargoError,
    name::{CrateName, is_registry_name},
    policy::canonical,
    template::{Template, Values},
};

/// The protocol's name in metrics, rights and keys.
pub(crate) const PROTOCOL: &str = "cargo";

/// A registry that is asked.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    /// Where clients find its crates: here.
    pub(crate) ours: String,
    /// How long clients may keep a document.
    pub(crate) freshness: Freshness,
    namespace: Namespace,
    index: Arc<Origin>,
    /// Where crates may be, the longest base first.
    origins: Vec<Arc<Origin>>,
    /// In place of its own `dl`.
    template: Option<Template>,
}

impl Registry {
    pub(crate) fn new(
        config: RegistryConfig,
        freshness: Freshness,
        ours: String,
    ) -> Result<Self, SetupError> {
        let name = config.name;
        if !is_registry_name(&name) {
            return Err(SetupError::Name(name));
        }
        let origin = |config: OriginConfig| {
            let origin = Origin::new(config).map(Arc::new);
            origin.map_err(|reason: OriginError| SetupError::Origin {
                registry: name.clone(),
                reason,
            })
        };
        let index = origin(config.index)?;
        let downloads = config.downloads.into_iter().map(origin);
        let mut origins: Vec<_> = downloads.collect::<Result<_, _>>()?;
        origins.push(Arc::clone(&index));
        origins.sort_by_key(|origin| std::cmp::Reverse(origin.base().as_str().len()));
        let elsewhere = |dl: &String| SetupError::Elsewhere {
            registry: name.clone(),
            dl: dl.clone(),
        };
        let template = config.dl.map(|dl| {
            let template = Template::below(&dl, &origins);
            template.ok_or_else(|| elsewhere(&dl))
        });
        Ok(Self {
            template: template.transpose()?,
            policy: Policy::new(config.policy, canonical),
            namespace: format!("{PROTOCOL}/{name}")
                .parse()
                .expect("a registry's name is short and plain"),
            name,
            ours,
            freshness,
            index,
            origins,
        })
    }

    /// Its `config.json`.
    pub(crate) fn description(&self) -> Resource {
        self.document("config.json", "config.json")
            .checked(|_, bytes| {
                let bytes = bytes::Bytes::copy_from_slice(bytes);
                Description::parse(bytes).map(|_| ())
            })
    }

    /// The document of a crate.
    pub(crate) fn index_of(&self, name: &CrateName) -> Resource {
        let lower = name.lower();
        let mut resource = self.document(&format!("index/{lower}"), &name.index_path());
        // As cargo asks.
        resource.accept = Some(HeaderValue::from_static("text/plain"));
        resource.checked(move |_, bytes| Document::check(bytes, &lower))
    }

    /// A crate itself, which is there if it has the checksum. A version that was
    /// published again with another one is another thing.
    pub(crate) fn release(&self, release: &Release, checksum: Digest) -> Resource {
        let (name, version) = (release.name.to_ascii_lowercase(), &release.version);
        let key = self.key(&format!("crate/{name}/{version}"));
        let mut resource = Resource::new(PROTOCOL, key, Vec::new(), Class::Immutable);
        resource.digest = Some(checksum);
        resource
    }

    /// How it names the places of crates.
    ///
    /// # Errors
    /// [`CargoError::Elsewhere`] if that is nowhere where we may go.
    pub(crate) fn template(&self, description: &Description) -> Result<Template, CargoError> {
        match &self.template {
            Some(template) => Ok(template.clone()),
            None => Template::below(&description.dl, &self.origins)
                .ok_or_else(|| CargoError::Elsewhere(description.dl.clone())),
        }
    }

    /// Where a crate is to be had.
    pub(crate) fn source(
        &self,
        template: &Template,
        release: &Release,
        checksum: &Digest,
    ) -> Option<Source> {
        let values = Values {
            name: &release.name,
            version: &release.version,
            checksum: &checksum.hex(),
        };
        template.source(values, &self.origins)
    }

    fn document(&self, name: &str, path: &str) -> Resource {
        let source = self.index.at(path);
        let source = source.expect("the paths of an index are plain");
        let class = Class::Index(self.freshness);
        Resource::new(PROTOCOL, self.key(name), vec![source], class)
    }

    fn key(&self, name: &str) -> RefKey {
        key(&self.namespace, name).expect("names are without control characters")
    }
}
