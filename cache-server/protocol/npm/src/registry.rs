//! One registry that is asked, and which of several is asked for a package.

use std::{collections::HashSet, sync::Arc};

use cache_core::{Namespace, policy::Policy};
use cache_upstream::{Class, Origin, Resource, Source};
use http::HeaderValue;
use url::Url;

use crate::{
    asked::Client,
    config::{ConfigError, NpmConfig, RegistryConfig},
    error::NpmError,
    name::{PackageName, is_scope},
    rewrite::Rewrite,
    serve::PROTOCOL,
};

/// A registry.
#[derive(Debug)]
pub(crate) struct Registry {
    /// `npm/<name>`: whose rights are asked for, and under which its documents are kept.
    pub(crate) namespace: Namespace,
    pub(crate) origin: Arc<Origin>,
    /// How its tarball URLs become ours; `None` if nobody knows how clients reach us.
    rewrite: Option<Arc<Rewrite>>,
    /// How they lose their host, for a client that knows where we are.
    relative: Arc<Rewrite>,
    rewrite_for_npm: bool,
    pub(crate) policy: Policy,
    scopes: Vec<String>,
}

impl Registry {
    fn new(config: RegistryConfig, public: Option<&Url>) -> Result<Self, ConfigError> {
        let name = config.name;
        if !is_name(&name) {
            return Err(ConfigError::Name(name));
        }
        if let Some(bad) = config.scopes.iter().find(|scope| !is_scope(scope)) {
            return Err(ConfigError::Scope(bad.clone()));
        }
        let namespace = format!("{PROTOCOL}/{name}").parse()?;
        let origin = Origin::new(config.origin);
        let origin = origin.map_err(|error| ConfigError::Origin { name, error })?;
        Ok(Self {
            namespace,
            rewrite: public.map(|public| Arc::new(Rewrite::to(origin.base(), public))),
            relative: Arc::new(Rewrite::relative(origin.base())),
            origin: Arc::new(origin),
            rewrite_for_npm: config.rewrite_for_npm,
            // Names of packages are told apart to the letter.
            policy: Policy::new(config.policy, str::to_owned),
            scopes: config.scopes,
        })
    }

    /// Its name in the configuration.
    pub(crate) fn name(&self) -> &str {
        let whole = self.namespace.as_str();
        whole.rsplit('/').next().unwrap_or(whole)
    }

    /// How URLs are rewritten for a client, if they are.
    pub(crate) fn rewrite_for(&self, client: Client) -> Option<Arc<Rewrite>> {
        match client {
            Client::OfTheOrigin => None,
            Client::Npm if !self.rewrite_for_npm => None,
            Client::Npm | Client::Other => self.rewrite.clone(),
            Client::Yarn1 => Some(Arc::clone(&self.relative)),
        }
    }

    /// What lies at a path of this registry, kept as `name`.
    pub(crate) fn resource(
        &self,
        name: &str,
        path: &str,
        accept: HeaderValue,
        class: Class,
    ) -> Result<Resource, NpmError> {
        let mut resource = self.kept_as(name, self.at(path)?, class)?;
        resource.accept = Some(accept);
        Ok(resource)
    }

    /// What a source of this registry has, kept as `name`.
    pub(crate) fn kept_as(
        &self,
        name: &str,
        source: Source,
        class: Class,
    ) -> Result<Resource, NpmError> {
        let key = cache_upstream::key(&self.namespace, name).map_err(|_| NpmError::NameInvalid)?;
        Ok(Resource::new(PROTOCOL, key, vec![source], class))
    }

    pub(crate) fn at(&self, path: &str) -> Result<Source, NpmError> {
        self.origin.at(path).ok_or(NpmError::NameInvalid)
    }
}

/// Every registry.
#[derive(Debug)]
pub(crate) struct Registries(Vec<Registry>);

impl Registries {
    /// # Errors
    /// [`ConfigError`].
    pub(crate) fn new(config: &NpmConfig) -> Result<Self, ConfigError> {
        let public = config.public_url.as_ref();
        if let Some(bad) = public.filter(|url| !is_base(url)) {
            return Err(ConfigError::PublicUrl(bad.clone()));
        }
        if config.registries.is_empty() {
            return Err(ConfigError::Empty);
        }
        check_unique(&config.registries)?;
        let registries = config.registries.iter().cloned();
        let registries = registries.map(|registry| Registry::new(registry, public));
        Ok(Self(registries.collect::<Result<_, _>>()?))
    }

    /// The one that is asked for a package. A scope that a registry lists is asked of
    /// nobody else, so that no other one can put its own package in the place.
    pub(crate) fn of(&self, name: &PackageName) -> Result<&Registry, NpmError> {
        let lists = |registry: &&Registry| {
            let mut scopes = registry.scopes.iter();
            scopes.any(|scope| Some(scope.as_str()) == name.scope())
        };
        let found = self.0.iter().find(lists).or_else(|| self.default_one());
        found.ok_or_else(|| NpmError::NoRegistry(name.to_string()))
    }

    /// The one for what is no package's.
    pub(crate) fn default(&self) -> Result<&Registry, NpmError> {
        let found = self.default_one();
        found.ok_or_else(|| NpmError::NoRegistry("requests without a scope".to_owned()))
    }

    fn default_one(&self) -> Option<&Registry> {
        self.0.iter().find(|registry| registry.scopes.is_empty())
    }
}

fn check_unique(registries: &[RegistryConfig]) -> Result<(), ConfigError> {
    let (mut names, mut scopes) = (HashSet::new(), HashSet::new());
    for registry in registries {
        if !names.insert(&registry.name) {
            return Err(ConfigError::SameName(registry.name.clone()));
        }
        if let Some(same) = registry.scopes.iter().find(|scope| !scopes.insert(*scope)) {
            return Err(ConfigError::SameScope(same.clone()));
        }
    }
    let mut defaults = registries.iter().filter(|it| it.scopes.is_empty());
    match (defaults.next(), defaults.next()) {
        (Some(one), Some(other)) => Err(ConfigError::TwoDefaults(
            one.name.clone(),
            other.name.clone(),
        )),
        _ => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !name.is_empty() && name.bytes().all(plain)
}

fn is_base(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}
