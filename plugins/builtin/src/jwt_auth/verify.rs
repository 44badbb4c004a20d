//! Verifies signatures. A verifier is made for one algorithm and one key of its kind, so a public key can never serve
//! as the secret of an HMAC, whatever a token says of itself.

use super::config::Credential;
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use crossway_sdk::build::BuildError;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, crypto::rust_crypto::DEFAULT_PROVIDER, errors::Error,
};
use ring::{
    hmac,
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};

/// Bits of the shortest RSA key that may be used (RFC 7518 §3.3).
const SHORTEST_RSA: usize = 2048;

/// A credential's algorithm and key, made ready when the credential was read.
pub(super) struct Verifier {
    name: &'static str,
    key: Key,
}

enum Key {
    Secret(hmac::Key),
    Public(UnparsedPublicKey<Box<[u8]>>),
}

impl Verifier {
    /// Reads the key of a credential.
    ///
    /// # Errors
    /// The key is missing, unreadable, or not one for the algorithm. No message contains any of it.
    pub(super) fn new(credential: &Credential) -> Result<Self, BuildError> {
        let (name, algorithm) = credential.algorithm.implementation();
        let algorithm = algorithm.ok_or_else(|| {
            let message = format!("{name} is not supported; use ES256, ES384 or another algorithm");
            BuildError::new("/algorithm", message)
        })?;
        let key = match algorithm.family() {
            AlgorithmFamily::Hmac => secret(credential)?,
            family => public_key(credential, name, family)?,
        };
        let unfit =
            |error: Error| BuildError::new("/public_key", format!("not a key for {name}: {error}"));
        (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).map_err(unfit)?;
        if algorithm.family() == AlgorithmFamily::Rsa {
            let der = key.try_get_as_bytes().map_err(unfit)?;
            let components = DEFAULT_PROVIDER
                .key_utils
                .rsa_pub_components_from_public_key;
            let (modulus, _) = components(der).map_err(unfit)?;
            let unused = modulus
                .first()
                .map_or(0, |byte| byte.leading_zeros() as usize);
            let bits = modulus.len() * 8 - unused;
            if bits < SHORTEST_RSA {
                let message =
                    format!("expected an RSA key of at least {SHORTEST_RSA} bits, got {bits}");
                return Err(BuildError::new("/public_key", message));
            }
        }
        let bytes = key.try_get_as_bytes().map_err(unfit)?;
        // The first byte of an uncompressed point (SEC 1 §2.3.3).
        if algorithm.family() == AlgorithmFamily::Ec && bytes.first() != Some(&4) {
            let message = "expected a public key whose point is not compressed";
            return Err(BuildError::new("/public_key", message));
        }
        let key = ready(algorithm, bytes).ok_or_else(|| {
            let message = format!("{name} is not supported; use another algorithm");
            BuildError::new("/algorithm", message)
        })?;
        Ok(Self { name, key })
    }

    /// Whether a token that names `alg` carries this key's signature over `message`.
    pub(super) fn verifies(&self, alg: &str, message: &[u8], signature: &[u8]) -> bool {
        alg == self.name
            && match &self.key {
                Key::Secret(key) => hmac::verify(key, message, signature).is_ok(),
                Key::Public(key) => key.verify(message, signature).is_ok(),
            }
    }
}

/// The key for the algorithm; `None` where there is no implementation.
fn ready(algorithm: Algorithm, key: &[u8]) -> Option<Key> {
    let secret = |hash| Some(Key::Secret(hmac::Key::new(hash, key)));
    let public: &'static dyn VerificationAlgorithm = match algorithm {
        Algorithm::HS256 => return secret(hmac::HMAC_SHA256),
        Algorithm::HS384 => return secret(hmac::HMAC_SHA384),
        Algorithm::HS512 => return secret(hmac::HMAC_SHA512),
        Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &signature::RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDSA => &signature::ED25519,
        _ => return None,
    };
    Some(Key::Public(UnparsedPublicKey::new(public, key.into())))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn secret(credential: &Credential) -> Result<DecodingKey, BuildError> {
    let refuse = |message: &str| BuildError::new("/secret", message);
    let secret = credential.secret.as_deref().ok_or_else(|| {
        refuse(r#"property "secret" is required when "algorithm" is "HS256", "HS384" or "HS512""#)
    })?;
    if secret.trim_start().starts_with("-----BEGIN PUBLIC KEY")
        || secret.trim_start().starts_with("-----BEGIN RSA PUBLIC KEY")
    {
        return Err(refuse(
            "a public key is no secret: everybody could sign with it; set algorithm and public_key",
        ));
    }
    if !credential.base64_secret {
        return Ok(DecodingKey::from_secret(secret.as_bytes()));
    }
    match BASE64.decode(secret) {
        Ok(secret) if !secret.is_empty() => Ok(DecodingKey::from_secret(&secret)),
        _ => Err(refuse(
            "base64_secret required but the secret is not in base64 format",
        )),
    }
}

fn public_key(
    credential: &Credential,
    name: &str,
    family: AlgorithmFamily,
) -> Result<DecodingKey, BuildError> {
    let refuse = |message: String| BuildError::new("/public_key", message);
    let pem = credential.public_key.as_deref().ok_or_else(|| {
        refuse(format!(
            r#"property "public_key" is required when "algorithm" is "{name}""#
        ))
    })?;
    let pem = pem.trim();
    if !pem.starts_with("-----BEGIN PUBLIC KEY") && !pem.starts_with("-----BEGIN RSA PUBLIC KEY") {
        return Err(refuse(
            "expected a public key in PEM, beginning with -----BEGIN PUBLIC KEY-----".to_owned(),
        ));
    }
    let read = match family {
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
        AlgorithmFamily::Rsa | AlgorithmFamily::Hmac => DecodingKey::from_rsa_pem(pem.as_bytes()),
    };
    read.map_err(|error| refuse(format!("not a key for {name}: {error}")))
}
