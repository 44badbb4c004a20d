//! Certificates and keys as PEM: whether they can be read, not whether they belong together.

use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::Value;

use super::{problem::Problem, schema::is_secret_reference};

/// Judges a certificate chain: at least one certificate, and each of them readable.
pub(super) fn certificates(pem: &str) -> Result<(), String> {
    let mut count = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| format!("failed to parse cert: {error}"))?;
        x509_parser::parse_x509_certificate(&certificate)
            .map_err(|error| format!("failed to parse cert: {error}"))?;
        count = count.saturating_add(1);
    }
    if count == 0 {
        return Err("failed to parse cert: no CERTIFICATE section found".to_owned());
    }
    Ok(())
}

/// Judges a private key: PKCS#8, PKCS#1 or SEC 1, not encrypted.
pub(super) fn private_key(pem: &str) -> Result<(), String> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map(|_| ())
        .map_err(|error| format!("failed to parse key: {error}"))
}

/// Applies one of the judgements to a text in a document. References to secrets cannot be judged
/// before they are resolved; what is no text is the schema's concern.
pub(super) fn rule(
    value: Option<&Value>,
    at: &str,
    judge: fn(&str) -> Result<(), String>,
    prefix: &str,
    problems: &mut Vec<Problem>,
) {
    if let Some(text) = value
        .and_then(Value::as_str)
        .filter(|text| !is_secret_reference(text))
        && let Err(error) = judge(text)
    {
        problems.push(Problem::verbatim(at, format!("{prefix}{error}")));
    }
}
