//! TLS: who the server is, and who the client is.

use cache_client::{Client, Error, Retry};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use tonic::transport::{Certificate as Pem, Identity, ServerTlsConfig};

use crate::server::{Abilities, Server};

/// An authority, which signs the server's certificate and the clients'.
struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    /// A certificate and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A server that only takes clients which this authority knows.
    fn server(&self) -> Server {
        let (certificate, key) = self.issue("127.0.0.1");
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(certificate, key))
            .client_ca_root(Pem::from_pem(self.certificate.pem()));
        Server::start(Abilities {
            tls: Some(tls),
            ..Abilities::default()
        })
    }
}

async fn put(builder: cache_client::Builder) -> Result<(), Error> {
    let client: Client = builder.retry(Retry::NEVER).connect_lazy()?;
    client.blobs("").put("whale").await.map(drop)
}

#[tokio::test]
async fn both_sides_are_known_or_nothing_is_said() {
    let authority = Authority::new();
    let server = authority.server();
    let (certificate, key) = authority.issue("client");
    let trusting = || server.builder().authority(authority.certificate.pem());
    put(trusting().identity(certificate.clone(), key.clone()))
        .await
        .unwrap();
    // Nobody vouches for the server.
    let stranger = Authority::new();
    let mistrusting = server.builder().authority(stranger.certificate.pem());
    let refused = put(mistrusting.identity(certificate, key)).await;
    assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
    // Nobody vouches for the client.
    let (certificate, key) = stranger.issue("client");
    for unknown in [trusting(), trusting().identity(certificate, key)] {
        let refused = put(unknown).await;
        assert!(matches!(refused, Err(Error::Unreachable(_))), "{refused:?}");
    }
    assert_eq!(server.calls("GetCapabilities"), 1);
}
