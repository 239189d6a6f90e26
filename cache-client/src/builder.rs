//! How a client is to connect, typed and checked before anything is sent.

use std::{env, fmt, fs, path::PathBuf, time::Duration};

use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use url::Url;

use crate::{
    Client, Error, Result, Retry,
    connection::{Connection, Limits},
    credentials::{Authorization, Credentials},
};

/// How a [`Client`] is to connect.
#[derive(Clone, Debug)]
pub struct Builder {
    server: String,
    credentials: Credentials,
    authority: Option<Vec<u8>>,
    identity: Option<Pair>,
    connect_timeout: Duration,
    connections: usize,
    window: u32,
    limits: Limits,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(...)")
    }
}

impl Builder {
    pub(crate) fn new(server: impl Into<String>) -> Self {
        Self {
            server: server.into(),
            credentials: Credentials::None,
            authority: None,
            identity: None,
            connect_timeout: Duration::from_secs(10),
            connections: 4,
            window: 8 << 20,
            limits: Limits::default(),
        }
    }

    /// What the environment says:
    ///
    /// | variable | |
    /// |---|---|
    /// | `CACHALOT_URL` | the server; `http://127.0.0.1:3142` without it |
    /// | `CACHALOT_TOKEN_FILE`, `CACHALOT_TOKEN` | a file with a bearer token, which wins, or the token |
    /// | `CACHALOT_USER`, `CACHALOT_PASSWORD` | of someone who has no token |
    /// | `CACHALOT_CA` | a file with certificate authorities, in PEM |
    /// | `CACHALOT_CERTIFICATE`, `CACHALOT_KEY` | files with the client's own, in PEM |
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let server = variable("CACHALOT_URL");
        let mut builder = Self::new(server.unwrap_or_else(|| "http://127.0.0.1:3142".to_owned()));
        let file = |name| variable(name).map(read).transpose();
        if let Some(token) = file("CACHALOT_TOKEN_FILE")? {
            builder = builder.token(String::from_utf8_lossy(&token).trim());
        } else if let Some(token) = variable("CACHALOT_TOKEN") {
            builder = builder.token(token);
        } else if let Some(user) = variable("CACHALOT_USER") {
            builder = builder.basic(user, variable("CACHALOT_PASSWORD").unwrap_or_default());
        }
        if let Some(pem) = file("CACHALOT_CA")? {
            builder = builder.authority(pem);
        }
        match (file("CACHALOT_CERTIFICATE")?, file("CACHALOT_KEY")?) {
            (Some(certificate), Some(key)) => Ok(builder.identity(certificate, key)),
            (None, None) => Ok(builder),
            _ => {
                let half = "CACHALOT_CERTIFICATE and CACHALOT_KEY belong together";
                Err(Error::configuration("identity", &half))
            }
        }
    }

    /// Says who asks, by a bearer token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Says who asks, by a name and a password. `http://name:password@host` is the same.
    #[must_use]
    pub fn basic(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.credentials = Credentials::Basic {
            user: user.into(),
            password: password.into(),
        };
        self
    }

    /// Trusts certificate authorities, in PEM, besides those of the system.
    #[must_use]
    pub fn authority(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(pem.into());
        self
    }

    /// Says who asks, by a certificate and its key, in PEM.
    #[must_use]
    pub fn identity(mut self, certificate: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some(Pair {
            certificate: certificate.into(),
            key: key.into(),
        });
        self
    }

    /// How long connecting may take; 10 s.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long one attempt of a call may take that is answered at once; 60 s.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = deadline;
        self
    }

    /// How long a transfer may stand still; 30 s. It is taken for broken then, and
    /// resumed.
    #[must_use]
    pub fn silence(mut self, silence: Duration) -> Self {
        self.limits.silence = silence;
        self
    }

    /// When a failed attempt is made again.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.limits.retry = retry;
        self
    }

    /// Over how many connections large blobs are spread, from 1; 4. They are made when
    /// they are first needed.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections.max(1);
        self
    }

    /// How many bytes of a transfer may be under way, on each of those connections;
    /// 8 MiB, which is 0.6 Gbit/s over 100 ms.
    #[must_use]
    pub fn window(mut self, bytes: u32) -> Self {
        self.window = bytes.clamp(64 << 10, 1 << 30);
        self
    }

    /// The longest answer to take, but for transfers, which are streams; 16 MiB.
    #[must_use]
    pub fn message_limit(mut self, bytes: usize) -> Self {
        self.limits.message = bytes;
        self
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the setting, [`Error::Unreachable`].
    pub async fn connect(self) -> Result<Client> {
        let (client, endpoint) = self.prepare()?;
        // The first call would say it as well; this says it sooner.
        match endpoint.connect().await {
            Ok(_) => Ok(client),
            Err(error) => Err(Error::Unreachable(innermost(&error))),
        }
    }

    /// A client that connects at its first call.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the setting.
    pub fn connect_lazy(self) -> Result<Client> {
        self.prepare().map(|(client, _)| client)
    }

    fn prepare(self) -> Result<(Client, Endpoint)> {
        let (url, credentials) = self.address()?;
        let authorization = Authorization::of(&credentials)?;
        let endpoint = self.endpoint(&url)?;
        let local = url.host().is_some_and(|host| is_loopback(&host));
        let connections = self.connections;
        let connection =
            Connection::new(&endpoint, &authorization, connections, self.limits, local);
        Ok((Client::new(connection), endpoint))
    }

    /// The server's URL without what it says of the user. Bazel's names of the schemes
    /// are known too.
    fn address(&self) -> Result<(Url, Credentials)> {
        let bad = |reason: &dyn ToString| Error::configuration("server", reason);
        let address = match self.server.split_once("://") {
            Some(("grpc", rest)) => format!("http://{rest}"),
            Some(("grpcs", rest)) => format!("https://{rest}"),
            _ => self.server.clone(),
        };
        let mut url = Url::parse(&address).map_err(|error| bad(&error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad(&"expected http, https, grpc or grpcs"));
        }
        if url.path() != "/" || url.query().is_some() {
            return Err(bad(&"gRPC has no path: expected scheme://host:port"));
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => self.credentials.clone(),
            (user, password) => Credentials::Basic {
                user: user.to_owned(),
                password: password.unwrap_or_default().to_owned(),
            },
        };
        // Both fail for URLs without a host only.
        let _ = (url.set_username(""), url.set_password(None));
        Ok((url, credentials))
    }

    fn endpoint(&self, url: &Url) -> Result<Endpoint> {
        let bad = |error: tonic::transport::Error| Error::configuration("server", &error);
        let endpoint = Endpoint::from_shared(url.to_string()).map_err(bad)?;
        let endpoint = endpoint
            .user_agent(concat!("cachalot/", env!("CARGO_PKG_VERSION")))
            .map_err(bad)?
            .connect_timeout(self.connect_timeout)
            .tcp_nodelay(true)
            .tcp_keepalive(Some(Duration::from_secs(60)))
            .initial_stream_window_size(self.window)
            .initial_connection_window_size(self.window)
            // Fewer frames for large pieces; 16 KiB is the least (RFC 9113 6.5.2).
            .max_frame_size((256 << 10).min(self.window))
            // A peer that vanished without a word is noticed while a call waits.
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        match url.scheme() {
            "https" => self.secured(&endpoint),
            _ if self.identity.is_some() => {
                Err(Error::configuration("identity", &"needs an https server"))
            }
            _ => Ok(endpoint),
        }
    }

    fn secured(&self, endpoint: &Endpoint) -> Result<Endpoint> {
        let bad = |error: tonic::transport::Error| Error::configuration("tls", &innermost(&error));
        let mut tls = ClientTlsConfig::new();
        if let Some(pem) = &self.authority {
            tls = tls.ca_certificate(Certificate::from_pem(pem));
        }
        if let Some(Pair { certificate, key }) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let with_system = endpoint.clone().tls_config(tls.clone().with_native_roots());
        match with_system {
            // A container often has no authorities; then the given one is enough.
            Err(_) if self.authority.is_some() => endpoint.clone().tls_config(tls).map_err(bad),
            endpoint => endpoint.map_err(bad),
        }
    }
}

fn read(path: String) -> Result<Vec<u8>> {
    let path = PathBuf::from(path);
    fs::read(&path).map_err(Error::file(&path))
}

fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => *name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    }
}

/// The cause that names what happened; the outer ones only say "transport error".
fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(server: &str) -> String {
        let refused = Builder::new(server).connect_lazy();
        refused.expect_err(server).to_string()
    }

    #[test]
    fn an_address_that_is_none_is_refused_before_anything_is_sent() {
        assert!(refused("cache.example:3142").starts_with("server: "));
        assert!(refused("ftp://cache.example").contains("expected http"));
        assert!(refused("http://cache.example/instance").contains("no path"));
        assert!(refused("").starts_with("server: "));
    }

    #[tokio::test]
    async fn an_identity_needs_tls() {
        let builder = Builder::new("http://cache.example").identity("cert", "key");
        let error = builder.connect_lazy().unwrap_err();
        assert!(error.to_string().starts_with("identity: "), "{error}");
        let builder = Builder::new("https://cache.example").identity("cert", "key");
        let error = builder.connect_lazy().unwrap_err();
        assert!(error.to_string().starts_with("tls: "), "{error}");
    }

    #[tokio::test]
    async fn the_user_of_an_address_is_who_asks() {
        let builder = Builder::new("grpc://whale:krill@cache.example:1");
        let (url, credentials) = builder.address().unwrap();
        assert_eq!(url.as_str(), "http://cache.example:1/");
        assert!(matches!(credentials, Credentials::Basic { .. }));
    }

    #[test]
    fn the_environment_says_everything() {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        fs::write(&token, "secret\n").unwrap();
        let builder = Builder::from_variables(|name| match name {
            "CACHALOT_URL" => Some("https://cache.example".to_owned()),
            "CACHALOT_TOKEN_FILE" => Some(token.display().to_string()),
            "CACHALOT_TOKEN" => Some("not this one".to_owned()),
            _ => None,
        });
        let builder = builder.unwrap();
        assert_eq!(builder.server, "https://cache.example");
        assert!(matches!(builder.credentials, Credentials::Token(token) if token == "secret"));
        let half = Builder::from_variables(|name| {
            (name == "CACHALOT_KEY").then(|| token.display().to_string())
        });
        assert!(matches!(half, Err(Error::Configuration { .. })));
        let absent = Builder::from_variables(|name| {
            (name == "CACHALOT_CA").then(|| "/nonexistent/ca.pem".to_owned())
        });
        assert!(matches!(absent, Err(Error::File { .. })));
    }
}
