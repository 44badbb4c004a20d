//! TLS of connections that plugins open themselves: always rustls with ring, whatever else the process has linked.

use crate::build::BuildError;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use std::sync::{Arc, OnceLock};

/// How the other side is verified, and what is shown to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsOptions {
    /// Whether the certificate of the other side must be valid for its name and come from a known authority.
    pub verify: bool,
    /// Authorities in PEM that are known beside those of the system.
    pub ca: Option<Arc<str>>,
    /// What proves to the other side who we are.
    pub identity: Option<TlsIdentity>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self {
            verify: true,
            ca: None,
            identity: None,
        }
    }
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsIdentity {
    /// The chain, the own certificate first.
    pub cert: Arc<str>,
    /// The private key.
    pub key: Arc<str>,
}

impl std::fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsIdentity")
    }
}

/// What is wrong with the certificates or the key of [`TlsOptions`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// `ca` holds none, or something else.
    #[error("expected certificates of authorities in PEM: {0}")]
    Authorities(String),
    /// `identity` is not a chain and its key.
    #[error("expected a certificate and its private key in PEM: {0}")]
    Identity(String),
}

impl TlsOptions {
    /// Judges the texts; reads no file.
    ///
    /// # Errors
    /// What is wrong, at `path`.
    pub fn check(&self, path: &str) -> Result<(), BuildError> {
        let refuse = |e: TlsError| BuildError::new(path, e.to_string());
        self.authorities().map_err(refuse)?;
        self.with(RootCertStore::empty()).map_err(refuse)?;
        Ok(())
    }

    /// The client side of a connection. Authorities of the system are read from the disk when they are first needed, so
    /// this is not for `build` nor for a thread that serves requests.
    ///
    /// # Errors
    /// What is wrong with the texts.
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let mut roots = match self.verify {
            true => system_roots().clone(),
            false => RootCertStore::empty(),
        };
        for authority in self.authorities()? {
            roots
                .add(authority)
                .map_err(|e| TlsError::Authorities(e.to_string()))?;
        }
        self.with(roots)
    }

    fn authorities(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let Some(pem) = &self.ca else {
            return Ok(Vec::new());
        };
        let found = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TlsError::Authorities(e.to_string()))?;
        match found.is_empty() {
            true => Err(TlsError::Authorities("it holds no certificate".to_owned())),
            false => Ok(found),
        }
    }

    fn with(&self, roots: RootCertStore) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|e| TlsError::Identity(e.to_string()))?;
        let config = match self.verify {
            true => config.with_root_certificates(roots),
            false => config
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider))),
        };
        let Some(identity) = &self.identity else {
            return Ok(config.with_no_client_auth());
        };
        let chain = CertificateDer::pem_slice_iter(identity.cert.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|e| TlsError::Identity(e.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|e| TlsError::Identity(e.to_string()))?;
        config
            .with_client_auth_cert(chain, key)
            .map_err(|e| TlsError::Identity(e.to_string()))
    }
}

/// The authorities that the system knows (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), read once.
pub fn system_roots() -> &'static RootCertStore {
    static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "an authority of the system cannot be read");
        }
        let mut roots = RootCertStore::empty();
        let (known, _) = roots.add_parsable_certificates(found.certs);
        if known == 0 {
            tracing::warn!(
                "the system knows no authorities: no certificate will be taken for valid"
            );
        }
        roots
    })
}

/// For `verify: false`: whoever answers is the right one. Its signatures must still be its own: that it has the key it shows.
#[derive(Debug)]
pub struct AnyCertificate(Arc<CryptoProvider>);

impl AnyCertificate {
    /// Judges signatures by the algorithms of `provider`.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        Self(provider)
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
