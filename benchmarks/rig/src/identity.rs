//! The certificate that all peers serve over TLS, and a client that trusts it alone.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::failure::{During, Failure};

/// The name in the certificate.
pub(crate) const NAME: &str = "bench.test";

/// A self-signed certificate with a key on the curve P-256, as texts and as files.
pub(crate) struct Identity {
    /// PEM.
    pub(crate) certificate: String,
    /// PEM, PKCS#8.
    pub(crate) key: String,
    pub(crate) certificate_file: PathBuf,
    pub(crate) key_file: PathBuf,
    client: Arc<ClientConfig>,
}

impl Identity {
    /// Makes one and writes its files to `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Self, Failure> {
        let made = rcgen::generate_simple_self_signed(vec![NAME.to_owned()])
            .map_err(|error| Failure::said(format!("make a certificate: {error}")))?;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).map_err(untrusted)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(untrusted)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let identity = Self {
            certificate: made.cert.pem(),
            key: made.signing_key.serialize_pem(),
            certificate_file: folder.join("certificate.pem"),
            key_file: folder.join("key.pem"),
            client: Arc::new(client),
        };
        std::fs::write(&identity.certificate_file, &identity.certificate)
            .during("write the certificate")?;
        std::fs::write(&identity.key_file, &identity.key).during("write the key")?;
        Ok(identity)
    }

    /// The client's end of a TLS session that accepts this certificate only.
    pub(crate) fn session(&self) -> Result<ClientConnection, rustls::Error> {
        let name = ServerName::try_from(NAME)
            .map_err(|_| rustls::Error::General(format!("{NAME} is not a server name")))?;
        ClientConnection::new(Arc::clone(&self.client), name)
    }

    /// The `ssls` document, on one line.
    pub(crate) fn document(&self) -> String {
        let text = |pem: &str| pem.replace('\r', "").replace('\n', "\\n");
        let (certificate, key) = (text(&self.certificate), text(&self.key));
        format!(
            "{{\"id\": \"1\", \"sni\": \"{NAME}\", \"cert\": \"{certificate}\", \"key\": \"{key}\"}}"
        )
    }
}

fn untrusted(error: rustls::Error) -> Failure {
    Failure::said(format!("make a client for the certificate: {error}"))
}
