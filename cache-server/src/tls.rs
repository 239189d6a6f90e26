//! Encryption with certificates from files, taken again when the files change.

use std::{fs, io, path::Path, sync::Arc, time::SystemTime};

use parking_lot::{Mutex, RwLock};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

use crate::config::TlsConfig;

/// Files that cannot be used. Every message names the field.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or holds something else.
    #[error("{field}: {path}: {cause}")]
    File {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: pem::Error,
    },
    /// A file without any certificate.
    #[error("tls.cert: {path}: there is no certificate in it")]
    NoCertificate {
        /// The file.
        path: String,
    },
    /// A certificate and a key that do not belong together, or are of a kind that
    /// is not known.
    #[error("tls.cert, tls.key: {0}")]
    Unusable(rustls::Error),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Unusable(error)
    }
}

/// The certificate in force.
#[derive(Debug)]
pub(crate) struct Certificate {
    config: TlsConfig,
    current: RwLock<Arc<CertifiedKey>>,
    stamp: Mutex<Stamp>,
}

/// What the files looked like: when this differs, they are read again.
type Stamp = [Option<SystemTime>; 2];

impl Certificate {
    /// Reads the files.
    pub(crate) fn load(config: TlsConfig) -> Result<Self, TlsError> {
        let stamp = stamp(&config);
        let current = RwLock::new(Arc::new(read(&config)?));
        Ok(Self {
            config,
            current,
            stamp: Mutex::new(stamp),
        })
    }

    /// Reads the files again if they changed, and says whether it did. The old ones
    /// stay in force if the new ones cannot be used. Blocks on the disk.
    pub(crate) fn refresh(&self) -> Result<bool, TlsError> {
        let now = stamp(&self.config);
        if *self.stamp.lock() == now {
            return Ok(false);
        }
        let fresh = read(&self.config)?;
        *self.current.write() = Arc::new(fresh);
        // Only now: a pair that is half written is looked at again.
        *self.stamp.lock() = now;
        Ok(true)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

/// Accepts TLS 1.2 and 1.3, offering HTTP/2 and HTTP/1.1.
pub(crate) fn acceptor(certificate: Arc<Certificate>) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read(config: &TlsConfig) -> Result<CertifiedKey, TlsError> {
    let failed = |field, path: &Path| {
        let path = path.display().to_string();
        move |cause| TlsError::File { field, path, cause }
    };
    let chain = CertificateDer::pem_file_iter(&config.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(failed("tls.cert", &config.cert))?;
    if chain.is_empty() {
        let path = config.cert.display().to_string();
        return Err(TlsError::NoCertificate { path });
    }
    let key = PrivateKeyDer::from_pem_file(&config.key).map_err(failed("tls.key", &config.key))?;
    Ok(CertifiedKey::from_der(
        chain,
        key,
        &ring::default_provider(),
    )?)
}

fn stamp(config: &TlsConfig) -> Stamp {
    let modified = |path| -> io::Result<_> { fs::metadata(path)?.modified() };
    [&config.cert, &config.key].map(|path| modified(path).ok())
}
