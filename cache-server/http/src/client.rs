//! Which program asks, as its `User-Agent` says (RFC 9110, 10.1.5), or the protocol.

use http::{HeaderMap, header};

/// A kind of client: a metric label, so one of few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// apt and apt-get.
    Apt,
    /// pip.
    Pip,
    /// uv.
    Uv,
    /// Poetry.
    Poetry,
    /// npm, which pnpm and yarn name as well.
    Npm,
    /// pnpm.
    Pnpm,
    /// Yarn, classic or not.
    Yarn,
    /// Bun.
    Bun,
    /// cargo.
    Cargo,
    /// Docker's daemon and command line.
    Docker,
    /// `BuildKit`.
    Buildkit,
    /// containerd.
    Containerd,
    /// Podman, Buildah, Skopeo and what else uses their library.
    Containers,
    /// Bazel.
    Bazel,
    /// Buck2.
    Buck2,
    /// recc.
    Recc,
    /// Our own command line, and what else embeds its library.
    Cachalot,
    /// Any other, or none that says so.
    Other,
}

impl Client {
    /// How many kinds there are.
    pub(crate) const COUNT: usize = Self::Other as usize + 1;

    /// What a request's headers say.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let agent = headers.get(header::USER_AGENT);
        let agent = agent.and_then(|agent| agent.to_str().ok());
        agent.map_or(Self::Other, Self::named)
    }

    /// By the first product; whoever is built upon another names it after itself.
    ///
    /// A handler whose protocol has another place for it puts what this says on its
    /// response, as an extension.
    #[must_use]
    pub fn named(agent: &str) -> Self {
        let first = agent.split(['/', ' ']).next().unwrap_or_default();
        let is = |name: &str| first.eq_ignore_ascii_case(name);
        match first {
            _ if is("pip") => Self::Pip,
            _ if is("uv") => Self::Uv,
            _ if is("poetry") => Self::Poetry,
            _ if is("npm") => Self::Npm,
            _ if is("pnpm") => Self::Pnpm,
            _ if is("yarn") => Self::Yarn,
            _ if is("bun") => Self::Bun,
            _ if is("cargo") => Self::Cargo,
            _ if is("docker") || is("docker-client") => Self::Docker,
            _ if is("buildkit") => Self::Buildkit,
            _ if is("containerd") => Self::Containerd,
            _ if ["containers", "podman", "buildah", "skopeo", "cri-o"]
                .into_iter()
                .any(is) =>
            {
                Self::Containers
            }
            _ if is("bazel") => Self::Bazel,
            _ if is("buck2") => Self::Buck2,
            _ if is("recc") => Self::Recc,
            _ if is("cachalot") => Self::Cachalot,
            // `Debian APT-HTTP/1.3 (2.6.1)`.
            _ if agent.contains("APT-HTTP/") => Self::Apt,
            _ => Self::Other,
        }
    }

    /// The metric label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Pip => "pip",
            Self::Uv => "uv",
            Self::Poetry => "poetry",
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
            Self::Cargo => "cargo",
            Self::Docker => "docker",
            Self::Buildkit => "buildkit",
            Self::Containerd => "containerd",
            Self::Containers => "containers",
            Self::Bazel => "bazel",
            Self::Buck2 => "buck2",
            Self::Recc => "recc",
            Self::Cachalot => "cachalot",
            Self::Other => "other",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_client_is_known_by_what_it_says_first() {
        for (agent, label) in [
            ("Debian APT-HTTP/1.3 (2.6.1)", "apt"),
            ("Ubuntu APT-HTTP/1.3 (2.7.14)", "apt"),
            (
                "pip/26.0 {\"ci\":null,\"installer\":{\"name\":\"pip\"}}",
                "pip",
            ),
            ("uv/0.9.5 {\"installer\":{\"name\":\"uv\"}}", "uv"),
            ("npm/10.8.2 node/v20.18.0 linux x64 workspaces/false", "npm"),
            ("pnpm/10.2.0 npm/? node/v20.18.0 linux x64", "pnpm"),
            ("yarn/1.22.22 npm/? node/v20.18.0 linux x64", "yarn"),
            ("cargo/1.94.0 (abcdef 2026-02-01)", "cargo"),
            (
                "docker/26.1.5 go/go1.24 kernel/6.1 UpstreamClient()",
                "docker",
            ),
            ("buildkit/v0.13", "buildkit"),
            ("containerd/1.7.24+unknown", "containerd"),
            ("Buildah/1.39.3", "containers"),
            ("skopeo/1.18.0", "containers"),
            ("bazel/7.7.1", "bazel"),
            ("buck2", "buck2"),
            ("recc", "recc"),
            ("cachalot/0.1.0 tonic/0.14.9", "cachalot"),
            ("curl/8.14.1", "other"),
            ("", "other"),
        ] {
            let agent_header = HeaderValue::from_static(agent);
            let headers = HeaderMap::from_iter([(header::USER_AGENT, agent_header)]);
            assert_eq!(Client::of(&headers).label(), label, "{agent}");
        }
        assert_eq!(Client::of(&HeaderMap::new()), Client::Other);
    }
}
