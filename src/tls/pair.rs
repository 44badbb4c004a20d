//! A certificate chain and its private key: read from PEM, and known to belong together.

use rustls::{
    InconsistentKeys, crypto::ring::sign::any_supported_type, sign::CertifiedKey, sign::SigningKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use std::sync::Arc;

/// A certificate chain with its private key.
#[derive(Clone, Debug)]
pub struct Pair(pub(super) Arc<CertifiedKey>);

/// Why a chain and a key are no pair.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// The chain cannot be read.
    #[error("failed to parse cert: {0}")]
    Certificate(String),
    /// The key cannot be read, or is of a kind that TLS has no use for.
    #[error("failed to parse key: {0}")]
    Key(String),
    /// Both are good, but not for each other.
    #[error("the private key does not fit the certificate")]
    Mismatch,
}

impl Pair {
    /// Reads a chain, the certificate itself first, and its key: RSA, ECDSA on P-256 or P-384, or Ed25519.
    ///
    /// # Errors
    /// See [`PairError`]. Whether the certificate is valid today is not judged: what has run out must still be
    /// served, or else a start would fail years after the certificate was taken.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, PairError> {
        let chain = certificates(chain).map_err(PairError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| PairError::Key(error.to_string()))?;
        let key: Arc<dyn SigningKey> =
            any_supported_type(&key).map_err(|error| PairError::Key(error.to_string()))?;
        let pair = CertifiedKey::new(chain, key);
        match pair.keys_match() {
            Ok(()) => Ok(Self(Arc::new(pair))),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self(Arc::new(pair)))
            }
            Err(rustls::Error::InconsistentKeys(_)) => Err(PairError::Mismatch),
            Err(error) => Err(PairError::Certificate(error.to_string())),
        }
    }

    /// Whether the certificate is no longer valid at this time, in seconds since 1970.
    pub fn has_run_out(&self, now: i64) -> bool {
        self.validity().is_some_and(|(_, end)| end < now)
    }

    /// From when to when the certificate is valid, in seconds since 1970; `None` when that cannot be read.
    pub fn validity(&self) -> Option<(i64, i64)> {
        let own = self.0.cert.first();
        let (_, own) = own.and_then(|der| x509_parser::parse_x509_certificate(der).ok())?;
        let validity = own.validity();
        Some((
            validity.not_before.timestamp(),
            validity.not_after.timestamp(),
        ))
    }

    /// The certificates, in DER, the pair's own first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.0.cert
    }
}

/// All certificates of a PEM text; at least one.
pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no CERTIFICATE section found".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}
