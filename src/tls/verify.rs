//! Client certificates: who may have issued them, over how many steps, and which paths need none.

use super::site::ClientSpec;
use crossway_sdk::expr::Pattern;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use std::{fmt, sync::Arc};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How the certificates of clients are verified for a name.
pub struct ClientVerification {
    inner: Arc<dyn ClientCertVerifier>,
    depth: usize,
    /// Paths that need no certificate. With any, the handshake lets every client pass, and requests are judged one by one.
    skip: Box<[Pattern]>,
}

/// Why authorities or patterns cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The authorities.
    #[error("failed to validate client_cert: {0}")]
    Authorities(String),
    /// The pattern at this place.
    #[error("{1}")]
    Pattern(usize, String),
}

#[derive(Debug, thiserror::Error)]
#[error("more than {0} intermediate certificates lead to the authority")]
struct TooDeep(usize);

impl ClientVerification {
    pub(super) fn new(spec: &ClientSpec, provider: &Arc<CryptoProvider>) -> Result<Self, Unfit> {
        let unfit = |error: &dyn fmt::Display| Unfit::Authorities(error.to_string());
        let mut roots = RootCertStore::empty();
        for certificate in super::pair::certificates(&spec.ca).map_err(|e| unfit(&e))? {
            roots.add(certificate).map_err(|e| unfit(&e))?;
        }
        let inner =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let patterns = spec.skip.iter().enumerate();
        let patterns = patterns.map(|(at, pattern)| {
            Pattern::new(pattern, false).map_err(|e| Unfit::Pattern(at, e.to_string()))
        });
        Ok(Self {
            inner: inner.map_err(|e| unfit(&e))?,
            depth: usize::try_from(spec.depth).unwrap_or(usize::MAX),
            skip: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// Whether a request of this (normalised) path needs no certificate.
    pub fn skips(&self, path: &str) -> bool {
        self.skip
            .iter()
            .any(|pattern| pattern.search(path.as_bytes()) == Some(true))
    }

    /// Judges a client's certificate and what it sent along.
    ///
    /// # Errors
    /// Why it is not good.
    pub fn judge(&self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let Some((own, rest)) = chain.split_first() else {
            return Err("no certificate".to_owned());
        };
        self.verify(own, rest, UnixTime::now())
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn verify(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let path = self.path(own, rest)?;
        self.inner.verify_client_cert(own, &path, now)
    }

    /// The certificates between the client's and an authority, by their names. Whether each signed the next is the inner
    /// verifier's to say; it gets no others.
    fn path<'a>(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'a>],
    ) -> Result<Vec<CertificateDer<'a>>, Error> {
        let mut path = Vec::new();
        let mut issuer = parsed(own, |c| c.issuer().as_raw().to_vec())?;
        while !self.is_authority(&issuer) {
            let next = rest.iter().find(|candidate| {
                let subject = parsed(candidate, |c| c.subject().as_raw() == issuer);
                subject.unwrap_or(false) && !path.contains(*candidate)
            });
            let next = next.ok_or(CertificateError::UnknownIssuer)?;
            issuer = parsed(next, |c| c.issuer().as_raw().to_vec())?;
            path.push(next.clone());
            if path.len() > self.depth {
                let why = OtherError(Arc::new(TooDeep(self.depth)));
                return Err(CertificateError::Other(why).into());
            }
        }
        Ok(path)
    }

    fn is_authority(&self, name: &[u8]) -> bool {
        let known = self.inner.root_hint_subjects();
        known.iter().any(|authority| authority.as_ref() == name)
    }
}

fn parsed<T>(
    certificate: &CertificateDer<'_>,
    read: impl FnOnce(&X509Certificate<'_>) -> T,
) -> Result<T, Error> {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => Ok(read(&certificate)),
        Err(_) => Err(CertificateError::BadEncoding.into()),
    }
}

impl fmt::Debug for ClientVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerification")
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl ClientCertVerifier for ClientVerification {
    fn client_auth_mandatory(&self) -> bool {
        self.skip.is_empty()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.client_auth_mandatory() {
            return self.verify(own, rest, now);
        }
        // That the client has the key is still proven; whether that counts is asked for each request.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
