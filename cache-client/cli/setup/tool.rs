//! The tools that can be told of a cache.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A tool that downloads.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Tool {
    Apt,
    Pip,
    Uv,
    Npm,
    Pnpm,
    Yarn,
    Cargo,
    Docker,
    Buildkit,
}

/// Whose settings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scope {
    User,
    System,
}

impl Tool {
    pub(crate) const ALL: [Self; 9] = [
        Self::Apt,
        Self::Pip,
        Self::Uv,
        Self::Npm,
        Self::Pnpm,
        Self::Yarn,
        Self::Cargo,
        Self::Docker,
        Self::Buildkit,
    ];

    /// As it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Pip => "pip",
            Self::Uv => "uv",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Cargo => "cargo",
            Self::Docker => "docker",
            Self::Buildkit => "buildkit",
        }
    }

    /// Programs that show that it is on this machine.
    pub(crate) const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["apt-get"],
            Self::Pip => &["pip", "pip3"],
            Self::Uv => &["uv"],
            Self::Npm => &["npm"],
            Self::Pnpm => &["pnpm"],
            Self::Yarn => &["yarn", "yarnpkg"],
            Self::Cargo => &["cargo"],
            Self::Docker => &["dockerd", "docker"],
            Self::Buildkit => &["docker", "buildctl", "buildkitd"],
        }
    }

    /// The scope that is meant if none is asked for: apt and Docker's daemon have files for
    /// the whole machine only.
    pub(crate) const fn usual_scope(self) -> Scope {
        match self {
            Self::Apt | Self::Docker => Scope::System,
            _ => Scope::User,
        }
    }

    /// The server's names for the protocol and the kinds of client by which it counts the
    /// tool's requests (labels of `cachalot_requests_total`).
    pub(crate) const fn counted_as(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Apt => ("apt", &["apt"]),
            Self::Pip => ("pypi", &["pip"]),
            Self::Uv => ("pypi", &["uv"]),
            Self::Npm => ("npm", &["npm"]),
            Self::Pnpm => ("npm", &["pnpm"]),
            // Yarn 4 says that it is `got`, which the server knows for nobody.
            Self::Yarn => ("npm", &["yarn", "other"]),
            Self::Cargo => ("cargo", &["cargo"]),
            Self::Docker => ("oci-mirror", &["docker", "containerd", "buildkit"]),
            Self::Buildkit => ("oci-mirror", &["buildkit", "containerd"]),
        }
    }

    /// Whether it goes on by itself when the cache is away.
    pub(crate) const fn falls_back(self) -> bool {
        matches!(self, Self::Apt | Self::Docker | Self::Buildkit)
    }

    /// Variables that name whom it trusts, for one shell. Not node's own, which a `cafile` in
    /// any of npm's files would win over.
    pub(crate) const fn trusts_by(self) -> &'static [&'static str] {
        match self {
            Self::Pip => &["PIP_CERT"],
            Self::Uv => &["SSL_CERT_FILE"],
            Self::Npm | Self::Pnpm => &["npm_config_cafile"],
            Self::Yarn => &["npm_config_cafile", "YARN_HTTPS_CA_FILE_PATH"],
            Self::Apt | Self::Cargo | Self::Docker | Self::Buildkit => &[],
        }
    }

    /// The variable that wins over the file of authorities that its settings name.
    pub(crate) const fn mistrusts_by(self) -> Option<&'static str> {
        match self {
            Self::Pip => Some("PIP_CERT"),
            Self::Cargo => Some("CARGO_HTTP_CAINFO"),
            _ => None,
        }
    }

    /// Variables that win over what is in its files.
    pub(crate) const fn overrides(self) -> &'static [&'static str] {
        match self {
            Self::Apt => &["APT_CONFIG"],
            Self::Pip => &["PIP_INDEX_URL", "PIP_NO_INDEX"],
            Self::Uv => &["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_NO_CONFIG"],
            Self::Npm | Self::Pnpm => &["npm_config_registry", "NPM_CONFIG_REGISTRY"],
            Self::Yarn => &[
                "npm_config_registry",
                "YARN_REGISTRY",
                "YARN_NPM_REGISTRY_SERVER",
            ],
            Self::Cargo | Self::Docker | Self::Buildkit => &[],
        }
    }
}
