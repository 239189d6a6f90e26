//! Encryption, and certificates that change.

use std::{fs, path::Path, sync::Arc};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::config::TlsConfig;

/// Writes a new certificate and its key.
pub(super) fn renew(files: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["cache".to_owned()]).unwrap();
    fs::write(files.join("key.pem"), signing_key.serialize_pem()).unwrap();
    fs::write(files.join("cert.pem"), cert.pem()).unwrap();
    cert.der().clone()
}

pub(super) fn config(files: &Path) -> TlsConfig {
    TlsConfig {
        cert: files.join("cert.pem"),
        key: files.join("key.pem"),
    }
}

pub(super) async fn connect(
    server: &Harness,
    trusted: &CertificateDer<'static>,
    protocol: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let name = ServerName::try_from("cache").unwrap();
    let stream = server.connect().await;
    TlsConnector::from(Arc::new(client))
        .connect(name, stream)
        .await
}

#[tokio::test]
async fn both_versions_are_spoken_under_tls() {
    let files = tempfile::tempdir().unwrap();
    let trusted = renew(files.path());
    let server = Harness::with(|c| c.tls = Some(config(files.path()))).await;

    let stream = connect(&server, &trusted, "http/1.1").await.unwrap();
    assert_eq!(exchange(stream, "GET /v2/", "").await.status, 200);
    let stream = connect(&server, &trusted, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_cut() {
    let files = tempfile::tempdir().unwrap();
    renew(files.path());
    let server = Harness::with(|c| {
        c.tls = Some(config(files.path()));
        c.limits.handshake = milliseconds(100);
    })
    .await;
    assert!(is_cut(&mut server.connect().await).await);
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let files = tempfile::tempdir().unwrap();
    let old = renew(files.path());
    let server = Harness::with(|c| c.tls = Some(config(files.path()))).await;
    connect(&server, &old, "h2").await.unwrap();

    fs::write(files.path().join("cert.pem"), "not a certificate").unwrap();
    time::sleep(Duration::from_millis(1500)).await;
    connect(&server, &old, "h2").await.unwrap();

    let new = renew(files.path());
    let begun = Instant::now();
    while connect(&server, &new, "h2").await.is_err() {
        assert!(begun.elapsed() < SOON, "the old one is still served");
        time::sleep(Duration::from_millis(50)).await;
    }
    connect(&server, &old, "h2").await.unwrap_err();
}

#[tokio::test]
async fn bad_files_are_told_by_their_field() {
    let files = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let refused = async || {
        let tls = Some(config(files.path()));
        start(&folder, |c| c.tls = tls)
            .await
            .unwrap_err()
            .to_string()
    };
    let told = refused().await;
    assert!(
        told.starts_with("tls.cert: ") && told.contains("cert.pem"),
        "{told}"
    );
    renew(files.path());
    fs::write(files.path().join("key.pem"), "not a key").unwrap();
    let told = refused().await;
    assert!(
        told.starts_with("tls.key: ") && told.contains("key.pem"),
        "{told}"
    );

    let other = rcgen::KeyPair::generate().unwrap();
    fs::write(files.path().join("key.pem"), other.serialize_pem()).unwrap();
    let told = refused().await;
    assert!(told.starts_with("tls.cert, tls.key: "), "{told}");
    fs::write(files.path().join("cert.pem"), "").unwrap();
    let told = refused().await;
    assert!(
        told.starts_with("tls.cert: ") && told.contains("no certificate"),
        "{told}"
    );
}
