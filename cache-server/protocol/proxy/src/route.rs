//! From a request's target to an [`Endpoint`]: the only place that looks at it.

use http::{Method, Version, request::Parts, uri::Authority};

/// Where a request is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// To this server itself.
    Here,
    /// To another host, by its whole URL (RFC 9112, 3.2.2).
    Elsewhere,
    /// Through a tunnel to this host and port (RFC 9110, 9.3.6); `None` if it names none.
    Tunnel(Option<Authority>),
}

impl Endpoint {
    /// `own` are the names of this server: a client may use it as its proxy and as its
    /// index.
    pub(crate) fn of(request: &Parts, own: &[String]) -> Self {
        let authority = request.uri.authority();
        if request.method == Method::CONNECT {
            return Self::Tunnel(authority.cloned());
        }
        let is_own = |to: &Authority| own.iter().any(|own| own.eq_ignore_ascii_case(to.as_str()));
        match authority {
            // Over HTTP/2 every request names an authority, and it is ours.
            Some(to) if request.version < Version::HTTP_2 && !is_own(to) => Self::Elsewhere,
            Some(_) | None => Self::Here,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn of(method: &str, uri: &str, version: Version) -> Endpoint {
        let request = Request::builder().method(method).uri(uri).version(version);
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Endpoint::of(&parts, &["localhost:3142".to_owned()])
    }

    #[test]
    fn another_hosts_url_goes_elsewhere_and_our_own_stays_here() {
        for (uri, version, endpoint) in [
            ("/v2/", Version::HTTP_11, Endpoint::Here),
            (
                "http://Localhost:3142/v2/",
                Version::HTTP_11,
                Endpoint::Here,
            ),
            (
                "http://packages.example/a",
                Version::HTTP_11,
                Endpoint::Elsewhere,
            ),
            (
                "http://localhost:80/a",
                Version::HTTP_11,
                Endpoint::Elsewhere,
            ),
            (
                "http://packages.example/a",
                Version::HTTP_10,
                Endpoint::Elsewhere,
            ),
            (
                "http://packages.example/v2/",
                Version::HTTP_2,
                Endpoint::Here,
            ),
        ] {
            assert_eq!(of("GET", uri, version), endpoint, "{uri}");
        }
    }

    #[test]
    fn connect_is_a_tunnel_even_to_ourselves() {
        for to in ["packages.example:443", "localhost:3142"] {
            let expected = Endpoint::Tunnel(Some(Authority::from_static(to)));
            assert_eq!(of("CONNECT", to, Version::HTTP_11), expected);
        }
        let without = of("CONNECT", "/", Version::HTTP_11);
        assert_eq!(without, Endpoint::Tunnel(None));
    }
}
