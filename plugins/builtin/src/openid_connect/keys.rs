//! Keys that tokens are verified with. A key serves algorithms of its own kind only, so a public key is never the secret of an
//! HMAC, whatever a token says of itself.

use crossway_sdk::build::BuildError;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::rust_crypto::DEFAULT_PROVIDER,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// Bits of the shortest RSA key that may be used (RFC 7518 §3.3).
const SHORTEST_RSA: usize = 2048;
/// Keys of a set that are looked at.
const MOST_KEYS: usize = 64;

/// The algorithms, by their names in RFC 7518 and RFC 8037. `none` is not among them.
pub(super) fn algorithm(name: &str) -> Option<Algorithm> {
    Some(match name {
        "HS256" => Algorithm::HS256,
        "HS384" => Algorithm::HS384,
        "HS512" => Algorithm::HS512,
        "RS256" => Algorithm::RS256,
        "RS384" => Algorithm::RS384,
        "RS512" => Algorithm::RS512,
        "PS256" => Algorithm::PS256,
        "PS384" => Algorithm::PS384,
        "PS512" => Algorithm::PS512,
        "ES256" => Algorithm::ES256,
        "ES384" => Algorithm::ES384,
        "EdDSA" => Algorithm::EdDSA,
        _ => return None,
    })
}

/// One key.
pub(super) struct Key {
    pub(super) kid: Option<String>,
    only: Option<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// Reads a public key in PEM.
    pub(super) fn pem(text: &str) -> Result<Self, BuildError> {
        let refuse = |message: &str| BuildError::new("/public_key", message);
        let pem = text.trim();
        if !pem.starts_with("-----BEGIN PUBLIC KEY")
            && !pem.starts_with("-----BEGIN RSA PUBLIC KEY")
        {
            let message = "expected a public key in PEM, beginning with -----BEGIN PUBLIC KEY-----";
            return Err(refuse(message));
        }
        let pem = pem.as_bytes();
        let candidates = [
            (DecodingKey::from_rsa_pem(pem), Algorithm::RS256),
            (DecodingKey::from_ec_pem(pem), Algorithm::ES256),
            (DecodingKey::from_ec_pem(pem), Algorithm::ES384),
            (DecodingKey::from_ed_pem(pem), Algorithm::EdDSA),
        ];
        for (key, algorithm) in candidates {
            let Ok(key) = key else { continue };
            if (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &key).is_err() {
                continue;
            }
            if !is_long_enough(&key) {
                return Err(refuse("expected an RSA key of at least 2048 bits"));
            }
            return Ok(Self {
                kid: None,
                only: None,
                key,
            });
        }
        Err(refuse(
            "expected a key of RSA, of the curves P-256 or P-384, or of Ed25519",
        ))
    }

    /// The client's secret, for ID tokens that the provider signs with it.
    pub(super) fn secret(text: &str, algorithm: Algorithm) -> Self {
        Self {
            kid: None,
            only: Some(algorithm),
            key: DecodingKey::from_secret(text.as_bytes()),
        }
    }

    /// A key of the provider; `None` when it does not serve here. Secrets among them never do.
    fn of(value: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        if !matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        ) {
            return None;
        }
        match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => {}
            AlgorithmParameters::EllipticCurve(ec)
                if matches!(ec.curve, EllipticCurve::P256 | EllipticCurve::P384) => {}
            AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {}
            _ => return None,
        }
        let only = match value.get("alg").and_then(Value::as_str) {
            Some(name) => Some(algorithm(name)?),
            None => None,
        };
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        // The implementation takes the first 32 bytes without looking how many there are.
        let whole = key.family() != AlgorithmFamily::Ed
            || key.try_get_as_bytes().is_ok_and(|bytes| bytes.len() == 32);
        (whole && is_long_enough(&key)).then_some(Self {
            kid: jwk.common.key_id,
            only,
            key,
        })
    }

    /// Whether this key signed the message with this algorithm.
    pub(super) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> bool {
        self.key.family() == algorithm.family()
            && self.only.is_none_or(|only| only == algorithm)
            && (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.key)
                .is_ok_and(|verifier| verifier.verify(message, signature).is_ok())
    }
}

fn is_long_enough(key: &DecodingKey) -> bool {
    if key.family() != AlgorithmFamily::Rsa {
        return true;
    }
    let bits = |modulus: &[u8]| {
        let skipped = modulus.iter().take_while(|b| **b == 0).count();
        let first = modulus
            .get(skipped)
            .map_or(0, |b| b.leading_zeros() as usize);
        (modulus.len() - skipped) * 8 - first
    };
    let found = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => bits(n),
        DecodingKeyKind::SecretOrDer(der) => (DEFAULT_PROVIDER
            .key_utils
            .rsa_pub_components_from_public_key)(der)
        .map_or(0, |(n, _)| bits(&n)),
    };
    found >= SHORTEST_RSA
}

/// The keys of a provider (RFC 7517 §5).
#[derive(Deserialize)]
#[serde(from = "Written")]
pub(super) struct KeySet(pub(super) Vec<Key>);

#[derive(Deserialize)]
struct Written {
    keys: Vec<Value>,
}

impl From<Written> for KeySet {
    fn from(written: Written) -> Self {
        Self(
            written
                .keys
                .iter()
                .take(MOST_KEYS)
                .filter_map(Key::of)
                .collect(),
        )
    }
}
