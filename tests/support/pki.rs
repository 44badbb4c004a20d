//! Authorities and the certificates that they issue, made when they are needed.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use super::tls::provider;

/// An RSA key for tests alone: `ring` makes none.
const RSA_KEY: &str = include_str!("../../src/tls/testdata/test-only-rsa.key");

/// Whoever issues certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate that an authority issued, with its key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate, and what stands between it and the authority.
    pub certificate_pem: String,
    pub key_pem: String,
    pub chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

impl Authority {
    /// An authority that nobody else vouches for.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("make a key");
        Self(CertifiedIssuer::self_signed(params(name), key).expect("make an authority"))
    }

    /// An authority that this one vouches for.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("make a key");
        Self(CertifiedIssuer::signed_by(params(name), key, &self.0).expect("make an authority"))
    }

    /// Its own certificate in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for these names or addresses, with an ECDSA key.
    pub fn issue(&self, names: &[&str]) -> Leaf {
        self.sign(names, KeyPair::generate().expect("make a key"))
    }

    /// The same with an RSA key.
    pub fn issue_rsa(&self, names: &[&str]) -> Leaf {
        let key = KeyPair::from_pem_and_sign_algo(RSA_KEY, &rcgen::PKCS_RSA_SHA256);
        self.sign(names, key.expect("read the key"))
    }

    fn sign(&self, names: &[&str], key: KeyPair) -> Leaf {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Tests, Inc.");
        params.distinguished_name.push(DnType::CommonName, common);
        let made = params.signed_by(&key, &self.0).expect("issue");
        Leaf {
            certificate_pem: made.pem(),
            key_pem: key.serialize_pem(),
            chain: vec![made.der().clone()],
            key: key.serialize_der(),
        }
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        roots
    }

    /// A client that trusts this authority, without a certificate of its own, offering no ALPN.
    pub fn client(&self) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// A client that trusts this authority and shows a certificate.
    pub fn client_with(&self, own: &Leaf) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(self.roots())
            .with_client_auth_cert(own.chain.clone(), own.key())
            .expect("a certificate with its key")
    }
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Leaf {
    /// Sends this authority's certificate along.
    pub fn through(mut self, between: &Authority) -> Self {
        self.certificate_pem.push_str(&between.pem());
        self.chain.push(between.0.der().clone());
        self
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// A server that presents this certificate and speaks HTTP/1.1. With an authority, clients must show one of its
    /// certificates.
    pub fn server(&self, clients: Option<&Authority>) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(
                    Arc::new(authority.roots()),
                    provider(),
                )
                .build()
                .expect("a verifier"),
            ),
        };
        let mut config = builder
            .with_single_cert(self.chain.clone(), self.key())
            .expect("a certificate with its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

/// A client that takes any certificate, for tests that look at what they were shown. It offers these protocols (ALPN).
pub fn trusting(protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Arc::new(config)
}

#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
