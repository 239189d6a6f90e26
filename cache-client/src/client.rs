//! The connection, and what every call of it has in common.

use std::time::Duration;

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

use crate::{Error, Refs, Result};

/// A channel that says who asks.
pub(crate) type Authorized = InterceptedService<Channel, Authorization>;

/// A connection to a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Authorized,
}

/// How a [`Client`] is to connect.
#[derive(Clone, Debug)]
pub struct Builder {
    server: String,
    token: Option<String>,
    authority: Option<Vec<u8>>,
    timeout: Duration,
}

impl Client {
    /// Connects to `server`, as `http://127.0.0.1:3142`, with the defaults of
    /// [`Client::builder`].
    ///
    /// # Errors
    /// [`Error::Configuration`] for a bad address, [`Error::Unreachable`].
    pub async fn connect(server: impl Into<String>) -> Result<Self> {
        Self::builder(server).connect().await
    }

    /// A client of `server` that is yet to be set up.
    pub fn builder(server: impl Into<String>) -> Builder {
        Builder {
            server: server.into(),
            token: None,
            authority: None,
            timeout: Duration::from_secs(10),
        }
    }

    /// The refs of `namespace`.
    pub fn refs(&self, namespace: impl Into<String>) -> Refs {
        Refs::new(self.channel.clone(), namespace.into())
    }
}

impl Builder {
    /// Says who asks, by a bearer token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self
        }
    }

    /// Trusts a certificate authority, in PEM, besides those of the system.
    #[must_use]
    pub fn authority(self, pem: impl Into<Vec<u8>>) -> Self {
        Self {
            authority: Some(pem.into()),
            ..self
        }
    }

    /// How long connecting may take.
    #[must_use]
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Connects.
    ///
    /// # Errors
    /// [`Error::Configuration`] names the setting, [`Error::Unreachable`].
    pub async fn connect(self) -> Result<Client> {
        let authorization = Authorization::of(self.token.as_deref())?;
        let unreachable = |error: tonic::transport::Error| {
            let reason =
                std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string);
            Error::Unreachable(Status::unavailable(reason))
        };
        let channel = self.endpoint()?.connect().await.map_err(unreachable)?;
        Ok(Client {
            channel: InterceptedService::new(channel, authorization),
        })
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let bad = |error: tonic::transport::Error| Error::configuration("server", &error);
        let endpoint = Endpoint::from_shared(self.server.clone()).map_err(bad)?;
        let endpoint = endpoint
            .user_agent(concat!("cachalot/", env!("CARGO_PKG_VERSION")))
            .map_err(bad)?
            .connect_timeout(self.timeout)
            .tcp_nodelay(true);
        if endpoint.uri().scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let tls = ClientTlsConfig::new().with_native_roots();
        let tls = match &self.authority {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls,
        };
        endpoint.tls_config(tls).map_err(bad)
    }
}

/// Puts the credentials on each request.
#[derive(Clone, Debug)]
pub(crate) struct Authorization(Option<MetadataValue<Ascii>>);

impl Authorization {
    fn of(token: Option<&str>) -> Result<Self> {
        let value = token.map(|token| {
            let value = format!("Bearer {token}").parse::<MetadataValue<Ascii>>();
            let mut value = value.map_err(|error| Error::configuration("token", &error))?;
            value.set_sensitive(true);
            Ok(value)
        });
        value.transpose().map(Self)
    }
}

impl Interceptor for Authorization {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}
