//! What is printed at the start: the lines to paste into a build.

use std::{fmt, net::SocketAddr};

use rustix::system::uname;

use crate::config::Config;

/// The lines for one server.
#[derive(Clone, Debug)]
pub struct Greeting {
    /// What clients write: a host and a port.
    authority: String,
    local: bool,
    encrypted: bool,
    authenticated: bool,
    admin: SocketAddr,
}

impl Greeting {
    /// The lines for a server with these addresses.
    #[must_use]
    pub fn new(config: &Config, data: SocketAddr, admin: SocketAddr) -> Self {
        Self {
            authority: authority(data),
            local: data.ip().is_loopback(),
            encrypted: config.tls.is_some(),
            authenticated: !config.auth.is_empty(),
            admin,
        }
    }
}

/// The address, or this machine's name if it is every address.
pub(crate) fn authority(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.to_string();
    }
    let system = uname();
    let host = system.nodename().to_str().unwrap_or("localhost");
    format!("{host}:{}", address.port())
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { authority, .. } = self;
        let scheme = if self.encrypted { "https" } else { "http" };
        writeln!(f, "Cachalot serves {scheme}://{authority}")?;
        writeln!(f, "Metrics and health: http://{}", self.admin)?;
        writeln!(f)?;
        writeln!(f, "Paste into a build:")?;
        writeln!(
            f,
            "  --cache-from type=registry,ref={authority}/myproject/cache:main"
        )?;
        writeln!(
            f,
            "  --cache-to type=registry,ref={authority}/myproject/cache:main,mode=max,\
             image-manifest=true,oci-mediatypes=true,ignore-error=true"
        )?;
        if self.authenticated {
            writeln!(f)?;
            writeln!(f, "Once, on the machine that builds:")?;
            writeln!(f, "  docker login {authority}")?;
        }
        // BuildKit speaks plain HTTP to its own machine unasked.
        if !self.encrypted && !self.local {
            writeln!(f)?;
            writeln!(f, "In the builder's buildkitd.toml:")?;
            writeln!(f, "  [registry.\"{authority}\"]")?;
            writeln!(f, "    http = true")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(local: bool, encrypted: bool, authenticated: bool) -> String {
        Greeting {
            authority: "cache:3142".to_owned(),
            local,
            encrypted,
            authenticated,
            admin: ([127, 0, 0, 1], 3143).into(),
        }
        .to_string()
    }

    #[test]
    fn the_lines_are_those_that_buildkit_takes() {
        let text = greeting(true, false, false);
        for line in [
            "  --cache-from type=registry,ref=cache:3142/myproject/cache:main",
            "  --cache-to type=registry,ref=cache:3142/myproject/cache:main,mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true",
        ] {
            assert!(text.lines().any(|l| l == line), "{text}");
        }
        assert!(
            !text.contains("docker login") && !text.contains("buildkitd"),
            "{text}"
        );
    }

    #[test]
    fn plain_http_and_logins_are_explained_where_needed() {
        let text = greeting(false, false, true);
        assert!(
            text.contains("  [registry.\"cache:3142\"]\n    http = true\n"),
            "{text}"
        );
        assert!(text.contains("  docker login cache:3142\n"), "{text}");
        assert!(!greeting(false, true, false).contains("http = true"));
    }

    #[test]
    fn every_address_is_called_by_the_machines_name() {
        assert_eq!(authority(([10, 0, 0, 1], 80).into()), "10.0.0.1:80");
        let named = authority(([0, 0, 0, 0], 80).into());
        assert!(
            named.ends_with(":80") && !named.starts_with("0."),
            "{named}"
        );
    }
}
