//! What is signed, and the judgement of a signature. Comparisons take the same time whatever differs.

use super::config::Algorithm;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// Whether `signature` is that of `message` under `secret`.
pub(super) fn verifies(
    algorithm: Algorithm,
    secret: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    match algorithm {
        Algorithm::Sha1 => verify(Hmac::<Sha1>::new_from_slice(secret), message, signature),
        Algorithm::Sha256 => verify(Hmac::<Sha256>::new_from_slice(secret), message, signature),
        Algorithm::Sha512 => verify(Hmac::<Sha512>::new_from_slice(secret), message, signature),
    }
}

fn verify<M: Mac, E>(mac: Result<M, E>, message: &[u8], signature: &[u8]) -> bool {
    // A key of any length is taken, so there is no second case.
    mac.is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
}

/// Whether a `Digest` header is that of the body.
pub(super) fn is_digest_of(header: &[u8], body: &[u8]) -> bool {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let expected = format!("SHA-256={}", STANDARD.encode(Sha256::digest(body)));
    expected.as_bytes().ct_eq(header).into()
}
