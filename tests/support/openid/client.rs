//! How a provider makes sure of its client.

use std::collections::{HashMap, HashSet};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{
    hmac, rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512,
        UnparsedPublicKey,
    },
};
use serde_json::Value;

use super::{fields, now};
use crate::support::Received;

const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How the client has to show itself; in no other way, and in no two ways.
#[derive(Clone)]
pub enum Proof {
    /// Not at all.
    Nothing,
    Basic,
    Post,
    /// By an assertion under its secret, with this algorithm.
    Secret(&'static str),
    /// By an assertion under its RSA key, with this algorithm.
    Rsa(&'static str, rsa::PublicKeyComponents<Vec<u8>>),
    /// By an assertion under its key of P-256.
    P256(Vec<u8>),
}

/// A client that registered.
pub struct Client {
    pub proof: Proof,
    /// Audience of assertions in place of the endpoint's address.
    pub audience: Option<String>,
    /// Assertions that were seen: each is good once.
    seen: HashSet<String>,
}

impl Client {
    pub fn new(proof: Proof) -> Self {
        Self {
            proof,
            audience: None,
            seen: HashSet::new(),
        }
    }

    /// What is wrong with how a request to this endpoint shows its client.
    pub fn judge(&mut self, asked: &Received, endpoint: &str) -> Result<(), String> {
        let form = fields(&String::from_utf8_lossy(&asked.body));
        let header = asked.header("authorization");
        let has = |name: &str| form.contains_key(name);
        let basic = matches!(self.proof, Proof::Basic);
        if header.is_some() != basic {
            return Err(format!("Authorization: {header:?}"));
        }
        if has("client_secret") != matches!(self.proof, Proof::Post) {
            return Err("client_secret".to_owned());
        }
        let asserts = has("client_assertion") || has("client_assertion_type");
        let by_assertion = !matches!(self.proof, Proof::Nothing | Proof::Basic | Proof::Post);
        if asserts != by_assertion {
            return Err("client_assertion".to_owned());
        }
        if !basic && form.get("client_id").is_none_or(|id| id != "gateway") {
            return Err("client_id".to_owned());
        }
        match &self.proof {
            Proof::Nothing => Ok(()),
            Proof::Basic => {
                let expected = format!("Basic {}", STANDARD.encode("gateway:hush"));
                require(header == Some(&*expected), "Authorization")
            }
            Proof::Post => require(form["client_secret"] == "hush", "client_secret"),
            _ => self.assertion(&form, endpoint),
        }
    }

    fn assertion(&mut self, form: &HashMap<String, String>, endpoint: &str) -> Result<(), String> {
        require(form["client_assertion_type"] == ASSERTION, "type")?;
        let token = &form["client_assertion"];
        let (message, signature) = token.rsplit_once('.').ok_or("parts")?;
        let (header, claims) = message.split_once('.').ok_or("parts")?;
        let json = |text: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        let (header, claims) = (json(header), json(claims));
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let (algorithm, signed) = self.signed(message.as_bytes(), &signature);
        require(header["alg"] == algorithm, "alg")?;
        require(signed, "signature")?;
        require(
            claims["iss"] == "gateway" && claims["sub"] == "gateway",
            "iss, sub",
        )?;
        let audience = self.audience.as_deref().unwrap_or(endpoint);
        require(claims["aud"] == audience, "aud")?;
        let expires = claims["exp"].as_u64().ok_or("exp")?;
        require((now()..=now() + 120).contains(&expires), "exp")?;
        let id = claims["jti"].as_str().ok_or("jti")?;
        require(self.seen.insert(id.to_owned()), "jti")
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> (&'static str, bool) {
        match &self.proof {
            Proof::Secret(name) => {
                let algorithm = match *name {
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                let key = hmac::Key::new(algorithm, b"hush");
                (name, hmac::verify(&key, message, signature).is_ok())
            }
            Proof::Rsa(name, key) => {
                let algorithm = match *name {
                    "RS512" => &RSA_PKCS1_2048_8192_SHA512,
                    _ => &RSA_PKCS1_2048_8192_SHA256,
                };
                let key = ring::signature::RsaPublicKeyComponents {
                    n: &key.n,
                    e: &key.e,
                };
                (name, key.verify(algorithm, message, signature).is_ok())
            }
            Proof::P256(key) => {
                let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
                ("ES256", key.verify(message, signature).is_ok())
            }
            _ => ("none", false),
        }
    }
}

fn require(holds: bool, what: &str) -> Result<(), String> {
    match holds {
        true => Ok(()),
        false => Err(what.to_owned()),
    }
}
