//! Takes signed tokens apart (RFC 7515 §3.1) and verifies them. Nothing in one is trusted before its signature was verified.

use super::{
    keys::{Key, algorithm},
    provider::Provider,
    single_flight::Failed,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The longest token that is looked at, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// Claims of a token.
pub(super) type Claims = Map<String, Value>;

/// What tokens of a place of use are verified with.
pub(super) struct Verifier {
    /// The configured key; without it, those of the provider.
    pub(super) own: Option<Key>,
    /// The only algorithm, if one was configured.
    pub(super) expected: Option<Algorithm>,
    /// Seconds by which clocks may differ.
    pub(super) slack: f64,
}

struct Parts<'t> {
    header: Header,
    message: &'t [u8],
    signature: Vec<u8>,
    claims: Claims,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    /// Extensions that a recipient must understand; we understand none (RFC 7515 §4.1.11).
    crit: Option<Value>,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    if text.len() > LONGEST {
        return None;
    }
    let (message, signature) = text.rsplit_once('.')?;
    let (header, claims) = message.split_once('.')?;
    let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    if claims.contains('.') || header.crit.is_some() {
        return None;
    }
    Some(Parts {
        header,
        message: message.as_bytes(),
        signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?,
    })
}

/// Claims of a token that was verified before it was sealed, or that came from the provider itself.
pub(super) fn verified_before(text: &str) -> Option<Claims> {
    parts(text).map(|parts| parts.claims)
}

impl Verifier {
    /// The claims of a token whose signature and times hold.
    ///
    /// # Errors
    /// What does not hold, in words that a client may see, or that the keys cannot be had.
    pub(super) async fn verify(
        &self,
        token: &str,
        provider: &Provider,
        now: f64,
    ) -> Result<Claims, Failed> {
        let parts = parts(token).ok_or_else(|| Failed::token("invalid jwt"))?;
        let algorithm = self.algorithm(&parts.header.alg);
        let algorithm = algorithm.ok_or_else(|| Failed::token("signing algorithm not accepted"))?;
        let signed = match &self.own {
            Some(key) => key.verifies(algorithm, parts.message, &parts.signature),
            None => self.signed_by_provider(&parts, algorithm, provider).await?,
        };
        if !signed {
            return Err(Failed::token("jwt signature verification failed"));
        }
        self.check_times(&parts.claims, now)?;
        Ok(parts.claims)
    }

    fn algorithm(&self, name: &str) -> Option<Algorithm> {
        let named = algorithm(name)?;
        match self.expected {
            Some(expected) => (named == expected).then_some(named),
            None => (named.family() != AlgorithmFamily::Hmac).then_some(named),
        }
    }

    async fn signed_by_provider(
        &self,
        parts: &Parts<'_>,
        algorithm: Algorithm,
        provider: &Provider,
    ) -> Result<bool, Failed> {
        for anew in [false, true] {
            let keys = provider.keys(anew).await?;
            let kid = parts.header.kid.as_deref();
            let mut fitting = keys
                .0
                .iter()
                .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
                .peekable();
            if fitting.peek().is_some() {
                let verifies = |key: &Key| key.verifies(algorithm, parts.message, &parts.signature);
                return Ok(fitting.any(verifies));
            }
        }
        Ok(false)
    }

    fn check_times(&self, claims: &Claims, now: f64) -> Result<(), Failed> {
        let time = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_f64()
                .map(Some)
                .ok_or_else(|| Failed::token("a claim about time is not a number")),
        };
        // RFC 7519 §4.1.4: "on or after which the JWT MUST NOT be accepted".
        if time("exp")?.is_some_and(|exp| now >= exp) {
            return Err(Failed::token("token expired"));
        }
        if time("nbf")?.is_some_and(|nbf| now + self.slack < nbf) {
            return Err(Failed::token("token not valid yet"));
        }
        if time("iat")?.is_some_and(|iat| now + self.slack < iat) {
            return Err(Failed::token("token issued in the future"));
        }
        Ok(())
    }
}

/// What an ID token must be besides (OpenID Connect Core §3.1.3.7).
///
/// # Errors
/// What it is not.
pub(super) fn check_id_token(
    claims: &Claims,
    issuer: &str,
    client_id: &str,
    nonce: Option<&str>,
) -> Result<(), Failed> {
    let refuse = |reason| Err(Failed::new(format!("ID token: {reason}")));
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(issuer) {
        return refuse("the issuer is another one");
    }
    if text("sub").is_none_or(str::is_empty) {
        return refuse("there is no subject");
    }
    if !claims.contains_key("exp") || !claims.contains_key("iat") {
        return refuse("exp and iat are needed");
    }
    let several = claims
        .get("aud")
        .and_then(Value::as_array)
        .is_some_and(|all| all.len() > 1);
    let azp = claims.get("azp").map(|azp| azp.as_str() == Some(client_id));
    if !claims
        .get("aud")
        .is_some_and(|aud| includes(aud, client_id))
        || azp == Some(false)
        || (several && azp.is_none())
    {
        return refuse("it is for another client");
    }
    if nonce.is_some() && text("nonce") != nonce {
        return refuse("the nonce is another one");
    }
    Ok(())
}

/// Whether a text or a list of texts is or has this one.
pub(super) fn includes(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(all) => all.iter().any(|one| one.as_str() == Some(wanted)),
        one => one.as_str() == Some(wanted),
    }
}
