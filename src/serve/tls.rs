//! The certificates of served regions: an authority of their own for each start, servers on loopback, one administrator.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::ServeError;

/// A certificate authority, and what it has signed.
pub struct Authority {
    /// As PEM, for kubeconfigs.
    pub certificate: String,
    der: CertificateDer<'static>,
    server: Signed,
    admin: Signed,
}

struct Signed {
    pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

fn wrong(error: impl ToString) -> ServeError {
    ServeError::Certificates(error.to_string())
}

impl Authority {
    /// A fresh one; its keys stay in this process, but for the administrator's.
    ///
    /// # Errors
    /// Where the machine has no random numbers.
    pub fn new() -> Result<Authority, ServeError> {
        let key = KeyPair::generate().map_err(wrong)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "drillmaster sandbox");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let own = params.self_signed(&key).map_err(wrong)?;
        let issuer = Issuer::new(params, key);
        let loopback = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = signed(&issuer, loopback, "kubernetes", None, ExtendedKeyUsagePurpose::ServerAuth)?;
        let admin = signed(
            &issuer,
            Vec::new(),
            "sandbox-admin",
            Some("system:masters"),
            ExtendedKeyUsagePurpose::ClientAuth,
        )?;
        Ok(Authority { certificate: own.pem(), der: own.der().clone(), server, admin })
    }

    /// The administrator's certificate and key, as PEM.
    pub fn admin(&self) -> (String, String) {
        (self.admin.pem.clone(), self.admin.key.serialize_pem())
    }

    /// The server's side of a connection: it lets in nobody without a certificate of this authority.
    ///
    /// # Errors
    /// None that is known.
    pub fn acceptor(&self) -> Result<TlsAcceptor, ServeError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).map_err(wrong)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
        let key = PrivateKeyDer::try_from(self.server.key.serialize_der()).map_err(wrong)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(wrong)?
            .with_client_cert_verifier(clients.build().map_err(wrong)?)
            .with_single_cert(vec![self.server.der.clone()], key)
            .map_err(wrong)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn signed(
    issuer: &Issuer<'_, KeyPair>,
    hosts: Vec<String>,
    name: &str,
    organisation: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<Signed, ServeError> {
    let key = KeyPair::generate().map_err(wrong)?;
    let mut params = CertificateParams::new(hosts).map_err(wrong)?;
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(organisation) = organisation {
        params.distinguished_name.push(DnType::OrganizationName, organisation);
    }
    params.extended_key_usages = vec![usage];
    let certificate = params.signed_by(&key, issuer).map_err(wrong)?;
    Ok(Signed { pem: certificate.pem(), der: certificate.der().clone(), key })
}
