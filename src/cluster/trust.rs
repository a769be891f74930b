//! TLS towards what probes ask: whose certificates are accepted.
//!
//! Those that this machine trusts, and the environment's own authorities; a certificate is always verified (I15).

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::connect::ClusterError;
use super::validity;
use crate::world::{Secured, Speaks, Stream};

/// Whose certificates are accepted.
#[derive(Clone)]
pub struct Trust(TlsConnector);

impl Trust {
    /// This machine's authorities, and those of PEM files by their paths from a folder.
    ///
    /// # Errors
    /// Where a file cannot be read, or holds no certificate.
    pub fn of(files: &[String], folder: &Path) -> Result<Trust, ClusterError> {
        let mut roots = RootCertStore::empty();
        // One that cannot be used says nothing of the others.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for file in files {
            let wrong = |why: String| ClusterError::Authority { file: file.clone(), why };
            let certificates = CertificateDer::pem_file_iter(folder.join(file)).and_then(Iterator::collect);
            let certificates: Vec<_> = certificates.map_err(|error| wrong(error.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("it holds no certificate".to_owned()));
            }
            for certificate in certificates {
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions();
        let config = config.map_err(|error: rustls::Error| ClusterError::Tls(error.to_string()))?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        Ok(Trust(TlsConnector::from(Arc::new(config))))
    }

    /// A stream that is secured for a host, to speak this over it.
    ///
    /// # Errors
    /// `InvalidData` where the certificate is not accepted, or does not say when it ends; what broke the connection else.
    pub async fn secured(&self, stream: Stream, host: &str, speaks: Speaks) -> io::Result<Secured> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let offered: &[&[u8]] = match speaks {
            Speaks::Http1 => &[b"http/1.1"],
            Speaks::Http2 => &[b"h2"],
            Speaks::Anything => &[],
        };
        let offered = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = self.0.with_alpn(offered).connect(name, stream).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let ends = certificate.and_then(|certificate| validity::end(certificate));
        let ends = ends.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "the certificate does not say when it ends")
        })?;
        Ok(Secured { stream: Box::new(stream), ends })
    }
}
