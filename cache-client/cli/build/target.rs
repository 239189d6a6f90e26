//! What is added to a target of a build: only what the user has not said.

use std::{collections::BTreeSet, net::IpAddr};

use super::scope::Scope;

/// What the cache is called in builds, whatever its address: a name in an index URL is a
/// part of the cache key of the steps after it, the address that it has is not.
pub(crate) const NAME: &str = "cachalot";

/// One image that is built, as far as the user has described it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    /// Empty if the build has only one.
    pub(crate) name: String,
    pub(crate) has_cache_from: bool,
    pub(crate) has_cache_to: bool,
    /// Build arguments that are given a value.
    pub(crate) arguments: BTreeSet<String>,
    /// Names that are given an address.
    pub(crate) hosts: BTreeSet<String>,
    /// Arguments that the Dockerfile declares.
    pub(crate) declared: BTreeSet<String>,
    pub(crate) on_host_network: bool,
    /// Whether an image is made, and not only files or nothing.
    pub(crate) makes_image: bool,
}

/// What the cache and the builder can do for a build.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) scope: Scope,
    /// The registry, as `cache.example:3142`.
    pub(crate) registry: String,
    /// Whether it speaks plain HTTP where Docker would expect TLS.
    pub(crate) is_insecure: bool,
    pub(crate) imports: bool,
    pub(crate) exports: bool,
    pub(crate) packages: Option<Packages>,
}

/// The cache as a source of packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packages {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// What is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) cache_from: Vec<String>,
    pub(crate) cache_to: Option<String>,
    pub(crate) arguments: Vec<(String, String)>,
    pub(crate) host: Option<IpAddr>,
}

impl Means {
    /// What a target is to have besides its own.
    pub(crate) fn added(&self, target: &Target) -> Added {
        let mut added = Added::default();
        let scope = &self.scope;
        if self.imports && !target.has_cache_from {
            let branches = scope.branch.iter().chain(&scope.fallbacks);
            added.cache_from = branches.map(|it| self.reference(it, target)).collect();
        }
        if let Some(branch) = scope.branch.as_ref().filter(|_| self.exports)
            && !target.has_cache_to
        {
            added.cache_to = Some(self.export(branch, target));
        }
        if let Some(packages) = self.packages.filter(|it| it.reach(target)) {
            added.arguments = packages.arguments(target);
            let named = !added.arguments.is_empty() && !target.hosts.contains(NAME);
            added.host = named.then_some(packages.address);
        }
        added
    }

    fn reference(&self, branch: &str, target: &Target) -> String {
        let reference = self.scope.reference(&self.registry, branch, &target.name);
        let insecure = if self.is_insecure {
            ",registry.insecure=true"
        } else {
            ""
        };
        format!("type=registry,ref={reference}{insecure}")
    }

    /// `image-manifest` for BuildKit before 0.21, whose indexes other registries refuse.
    ///
    /// Layers are compressed as those of the image are, or the next build that is wholly
    /// cached would have to load and compress them anew to push it; where there is no
    /// image, zstd takes a fraction of gzip's time.
    fn export(&self, branch: &str, target: &Target) -> String {
        let reference = self.reference(branch, target);
        let compression = if target.makes_image {
            ""
        } else {
            ",compression=zstd"
        };
        format!("{reference},mode=max,image-manifest=true,ignore-error=true{compression}")
    }
}

impl Packages {
    /// The address of this machine leads to us only where the network is the machine's.
    fn reach(self, target: &Target) -> bool {
        !self.address.is_loopback() || target.on_host_network
    }

    /// Proxies are arguments that every Dockerfile has, and never part of a cache key.
    /// Of the others those that the Dockerfile declares: buildx warns of the rest.
    fn arguments(self, target: &Target) -> Vec<(String, String)> {
        let url = format!("http://{NAME}:{}", self.port);
        let index = format!("{url}/pypi/simple/");
        let all = [
            ("http_proxy", url.clone()),
            ("no_proxy", NAME.to_owned()),
            ("PIP_INDEX_URL", index.clone()),
            ("PIP_TRUSTED_HOST", NAME.to_owned()),
            ("UV_DEFAULT_INDEX", index),
            ("NPM_CONFIG_REGISTRY", format!("{url}/npm/")),
        ];
        let given = |name: &str| {
            let is = |given: &String| given.eq_ignore_ascii_case(name);
            target.arguments.iter().any(is)
        };
        // Index and trusted host are one setting, and so are the proxies.
        let settings: [&[&str]; 4] = [
            &["http_proxy", "no_proxy"],
            &["PIP_INDEX_URL", "PIP_TRUSTED_HOST"],
            &["UV_DEFAULT_INDEX"],
            &["NPM_CONFIG_REGISTRY"],
        ];
        let users = |name: &str| {
            let setting = settings.iter().find(|setting| setting.contains(&name));
            setting.is_some_and(|setting| given(setting[0]))
        };
        let wanted = |name: &str| name.ends_with("_proxy") || target.declared.contains(name);
        let kept = all.into_iter();
        let kept = kept.filter(|(name, _)| wanted(name) && !users(name) && !given(name));
        kept.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn means() -> Means {
        Means {
            scope: Scope {
                project: "team/app".to_owned(),
                branch: Some("feature".to_owned()),
                fallbacks: vec!["main".to_owned()],
            },
            registry: "192.0.2.7:3142".to_owned(),
            is_insecure: true,
            imports: true,
            exports: true,
            packages: Some(Packages {
                address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
                port: 3142,
            }),
        }
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn names(added: &Added) -> Vec<&str> {
        added
            .arguments
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    #[test]
    fn the_branch_is_read_before_its_fallback_and_only_it_is_written() {
        let added = means().added(&Target::default());
        let at = "type=registry,ref=192.0.2.7:3142/cache/team/app:";
        let insecure = "registry.insecure=true";
        let from = [
            format!("{at}feature,{insecure}"),
            format!("{at}main,{insecure}"),
        ];
        assert_eq!(added.cache_from, from);
        let to = format!(
            "{at}feature,{insecure},mode=max,image-manifest=true,ignore-error=true,compression=zstd"
        );
        assert_eq!(added.cache_to, Some(to));
    }

    #[test]
    fn nothing_is_written_without_a_branch() {
        let mut means = means();
        means.scope.branch = None;
        let added = means.added(&Target::default());
        assert_eq!((added.cache_from.len(), added.cache_to), (1, None));
    }

    #[test]
    fn what_the_user_says_is_left_alone() {
        let target = Target {
            has_cache_from: true,
            has_cache_to: true,
            arguments: set(&["HTTP_PROXY", "PIP_INDEX_URL"]),
            declared: set(&["PIP_INDEX_URL", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX"]),
            hosts: set(&[NAME]),
            ..Target::default()
        };
        let added = means().added(&target);
        assert_eq!((added.cache_from.len(), added.cache_to.clone()), (0, None));
        assert_eq!(names(&added), ["UV_DEFAULT_INDEX"]);
        assert_eq!(added.host, None);
    }

    #[test]
    fn only_declared_arguments_are_given_besides_the_proxies() {
        let target = Target {
            declared: set(&["NPM_CONFIG_REGISTRY", "OTHER"]),
            ..Target::default()
        };
        let added = means().added(&target);
        assert_eq!(
            names(&added),
            ["http_proxy", "no_proxy", "NPM_CONFIG_REGISTRY"]
        );
        assert!(added.host.is_some());
    }

    #[test]
    fn the_address_of_this_machine_is_for_its_own_network() {
        let mut means = means();
        if let Some(packages) = &mut means.packages {
            packages.address = IpAddr::V4(Ipv4Addr::LOCALHOST);
        }
        assert!(means.added(&Target::default()).arguments.is_empty());
        let target = Target {
            on_host_network: true,
            ..Target::default()
        };
        assert!(!means.added(&target).arguments.is_empty());
    }

    #[test]
    fn an_image_and_its_cache_are_compressed_alike() {
        let target = Target {
            makes_image: true,
            ..Target::default()
        };
        let to = means().added(&target).cache_to;
        assert!(to.is_some_and(|to| !to.contains("compression")));
    }
}
