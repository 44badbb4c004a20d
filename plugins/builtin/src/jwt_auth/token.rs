//! Takes a token apart (RFC 7515 §3.1). Nothing in it is trusted before its signature was verified.

use super::config::Claim;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

/// A token in its parts.
pub(super) struct Token<'t> {
    /// The algorithm that its header names.
    pub(super) alg: String,
    /// What is signed.
    pub(super) message: &'t [u8],
    /// The signature.
    pub(super) signature: Vec<u8>,
    /// The claims.
    pub(super) claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Extensions that a recipient must understand; we understand none (RFC 7515 §4.1.11).
    crit: Option<Value>,
}

impl<'t> Token<'t> {
    /// Reads a token in compact form; `None` when it is not one.
    pub(super) fn read(text: &'t str) -> Option<Self> {
        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        if claims.contains('.') {
            return None;
        }
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self {
            alg: header.alg,
            message: message.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
            claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?,
        })
    }

    /// Whether a claim about time holds. A claim that is absent holds; one that is no number does not.
    pub(super) fn holds(&self, claim: Claim, now: f64, grace: f64) -> bool {
        let name = match claim {
            Claim::Exp => "exp",
            Claim::Nbf => "nbf",
        };
        let Some(value) = self.claims.get(name) else {
            return true;
        };
        value.as_f64().is_some_and(|time| match claim {
            // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted".
            Claim::Exp => now - grace < time,
            // RFC 7519 §4.1.5: "before which the JWT MUST NOT be accepted".
            Claim::Nbf => now + grace >= time,
        })
    }
}
