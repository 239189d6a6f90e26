//! The places that are asked.

use std::{fmt, sync::Arc};

use http::HeaderValue;
use reqwest::RequestBuilder;
use url::Url;

use crate::{OriginConfig, bearer::Passes, breaker::Breaker};

/// A configured place: its address, who we are there, and how it has been of late.
#[derive(Debug)]
pub struct Origin {
    base: Url,
    login: Option<Login>,
    private: bool,
    /// Lowercase, as they stand in a URL.
    token_hosts: Vec<String>,
    pub(crate) breaker: Breaker,
    pub(crate) passes: Passes,
}

#[derive(Debug)]
enum Login {
    Basic(String, Option<cache_core::Secret<String>>),
    Bearer(cache_core::Secret<String>),
}

/// Why an origin cannot be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OriginError {
    /// Its URL cannot be one.
    #[error("{0}: expected http://host/path or https://host/path, without user and query")]
    Url(Url),
    /// A user and a token at once.
    #[error("{0}: either username and password, or token")]
    Login(Url),
}

impl Origin {
    /// An origin as configured.
    ///
    /// # Errors
    /// [`OriginError`] says what is wrong with the URL or the login.
    pub fn new(config: OriginConfig) -> Result<Self, OriginError> {
        let OriginConfig {
            mut url,
            username,
            password,
            token,
            token_hosts,
            private,
        } = config;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            return Err(OriginError::Url(url));
        }
        let login = match (username, password, token) {
            (Some(user), password, None) => Some(Login::Basic(user, password)),
            (None, None, Some(token)) => Some(Login::Bearer(token)),
            (None, None, None) => None,
            _ => return Err(OriginError::Login(url)),
        };
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            base: url,
            login,
            private,
            token_hosts: token_hosts
                .iter()
                .map(|it| it.to_ascii_lowercase())
                .collect(),
            breaker: Breaker::default(),
            passes: Passes::default(),
        })
    }

    /// Its base URL, which ends with a slash.
    #[must_use]
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Whether a URL's host may have a private address: the origin's own, and those that
    /// the operator trusts with its login.
    pub(crate) fn may_be_private(&self, url: &Url) -> bool {
        self.private && (url.host() == self.base.host() || self.gives_tokens(url))
    }

    /// Whether the operator says that tokens for this origin are given there.
    fn gives_tokens(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        self.token_hosts.contains(&authority)
    }

    /// What lies at a path below the origin: `None` if the path leaves it or has
    /// segments that a server could read in two ways.
    ///
    /// The path is as it stands in a URL, percent-encoded, with its query if it has one.
    #[must_use]
    pub fn at(self: &Arc<Self>, path: &str) -> Option<Source> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        if !is_plain(path) {
            return None;
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(query);
        Some(Source {
            origin: Arc::clone(self),
            url,
            scope: None,
        })
    }

    /// The same for a whole URL, if it lies below the origin.
    #[must_use]
    pub fn source(self: &Arc<Self>, url: &Url) -> Option<Source> {
        let path = url.path().strip_prefix(self.base.path())?;
        if url.origin() != self.base.origin() || !is_plain(path) {
            return None;
        }
        let mut url = url.clone();
        url.set_fragment(None);
        // Credentials come from the configuration only.
        (url.username().is_empty() && url.password().is_none()).then(|| Source {
            origin: Arc::clone(self),
            url,
            scope: None,
        })
    }

    /// Whether we are someone there: then nobody else is.
    pub(crate) const fn logs_in(&self) -> bool {
        self.login.is_some()
    }

    /// Adds who we are, if `url` is at this origin.
    pub(crate) fn log_in(&self, url: &Url, request: RequestBuilder) -> RequestBuilder {
        if url.origin() != self.base.origin() {
            return request;
        }
        self.introduce(request)
    }

    /// Adds who we are to a request for a token, if we are someone there.
    pub(crate) fn ask_for_token(&self, url: &Url, request: RequestBuilder) -> RequestBuilder {
        if url.origin() == self.base.origin() || self.gives_tokens(url) {
            return self.introduce(request);
        }
        if self.login.is_some() {
            let host = url.host_str().unwrap_or_default();
            tracing::warn!(origin = %self.base, host, "tokens are asked for without login: the host is not in token_hosts");
        }
        request
    }

    /// Whether our token is all that we have to say.
    pub(crate) const fn has_token(&self) -> bool {
        matches!(self.login, Some(Login::Bearer(_)))
    }

    fn introduce(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.login {
            None => request,
            Some(Login::Basic(user, password)) => {
                request.basic_auth(user, password.as_ref().map(cache_core::Secret::expose))
            }
            Some(Login::Bearer(token)) => request.bearer_auth(token.expose()),
        }
    }
}

/// No segment that climbs, no control character, no backslash: whatever some server
/// on the way would make of it.
fn is_plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let climbs = |segment: &str| matches!(segment, "." | ".." | "%2e" | ".%2e" | "%2e." | "%2e%2e");
    let hidden = ["%2f..", "..%2f", "%5c", "%00", "%0a", "%0d"];
    !lower.split('/').any(climbs)
        && !hidden.iter().any(|bad| lower.contains(bad))
        && HeaderValue::from_str(path).is_ok()
        && !path.contains(['\\', ' ', '#'])
}

/// One thing at one origin.
#[derive(Clone, Debug)]
pub struct Source {
    pub(crate) origin: Arc<Origin>,
    pub(crate) url: Url,
    /// What a token is to allow, if the origin asks for one.
    pub(crate) scope: Option<Arc<str>>,
}

impl Source {
    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The same at an origin that may want a token, as registries do: one that allows
    /// `scope`, as `repository:app/web:pull`. The login is shown only when it is asked
    /// for, and a token is shared by all that has the same scope.
    #[must_use]
    pub fn scoped(mut self, scope: impl Into<Arc<str>>) -> Self {
        self.scope = Some(scope.into());
        self
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Result<Arc<Origin>, OriginError> {
        Origin::new(OriginConfig::from(Url::parse(url).unwrap())).map(Arc::new)
    }

    #[test]
    fn what_is_asked_lies_below_the_origin() {
        let origin = origin("http://packages.example/debian").unwrap();
        let at = |path: &str| origin.at(path).map(|source| source.url.to_string());
        let base = "http://packages.example/debian/";
        for (path, expected) in [
            ("pool/a_1.deb", "pool/a_1.deb"),
            ("/pool/a_1%2b2.deb", "pool/a_1%2b2.deb"),
            ("x?y=../z", "x?y=../z"),
            ("@scope%2fname", "@scope%2fname"),
            ("..a/b..", "..a/b.."),
            ("", ""),
        ] {
            assert_eq!(at(path), Some(format!("{base}{expected}")), "{path}");
        }
        for path in [
            "../secret",
            "a/../../secret",
            "a/%2e%2e/secret",
            "a/%2E./secret",
            "./a",
            "a\\..\\b",
            "a/..%2fb",
            "a%2f..%2fb",
            "a%5c..%5cb",
            "a b",
            "a\nb",
            "a%0d%0ab",
            "a%00",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
    }

    #[test]
    fn a_url_elsewhere_is_not_the_origins() {
        let origin = origin("https://packages.example/simple/").unwrap();
        let at = |url: &str| origin.source(&Url::parse(url).unwrap()).is_some();
        assert!(at("https://packages.example/simple/six/#six"));
        for elsewhere in [
            "http://packages.example/simple/six/",
            "https://packages.example:8443/simple/six/",
            "https://packages.example/other/six/",
            "https://packages.example.evil.example/simple/six/",
            "https://user:pw@packages.example/simple/six/",
        ] {
            assert!(!at(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn a_url_that_is_no_place_is_refused() {
        for bad in [
            "ftp://packages.example/",
            "file:///etc/",
            "https://user@packages.example/",
            "https://packages.example/?a",
            "data:x",
        ] {
            assert!(matches!(origin(bad), Err(OriginError::Url(_))), "{bad}");
        }
    }
}
