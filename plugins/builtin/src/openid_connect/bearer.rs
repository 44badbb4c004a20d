//! Bearer tokens: verified by keys, or introspected (RFC 7662).

use super::{
    client_auth::Credentials,
    config::Audience,
    endpoint::Caller,
    provider::Provider,
    scopes::Scopes,
    single_flight::Failed,
    token::{LONGEST, Verifier, includes},
};
use crate::auth::{Presented, header};
use crossway_sdk::{flow::Reply, schema::Schema};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use quick_cache::sync::Cache;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Introspections that are kept.
pub(super) const KEPT: usize = 10_000;

/// How bearer tokens are judged.
pub(super) struct Bearer {
    pub(super) only: bool,
    pub(super) realm: Box<str>,
    pub(super) provider: Arc<Provider>,
    pub(super) way: Way,
    pub(super) client_id: Box<str>,
    pub(super) scopes: Scopes,
    pub(super) audience: Option<Audience>,
    pub(super) schema: Option<Arc<Schema>>,
}

pub(super) enum Way {
    Keys {
        verifier: Verifier,
        issuers: Option<Vec<String>>,
    },
    Introspection(Box<Introspection>),
}

/// What a request said.
pub(super) struct Heard {
    /// The token; an error when there is something that can be none.
    token: Result<Option<String>, ()>,
    /// Headers for the introspection.
    carried: HeaderMap,
}

/// What became of a token.
pub(super) enum Judged {
    /// There is none.
    Absent,
    Refused(Reply),
    Accepted {
        token: String,
        claims: Value,
    },
}

impl Bearer {
    /// Takes out of a request what is needed to judge it.
    pub(super) fn hear(&self, headers: &HeaderMap, x_access_token: Option<String>) -> Heard {
        let mut carried = HeaderMap::new();
        if let Way::Introspection(introspection) = &self.way {
            for name in &introspection.headers {
                for value in headers.get_all(name) {
                    carried.append(name.clone(), value.clone());
                }
            }
        }
        Heard {
            token: token(headers, x_access_token),
            carried,
        }
    }

    pub(super) async fn judge(&self, heard: Heard, now: u64) -> Judged {
        let token = match heard.token {
            Ok(Some(token)) => token,
            Ok(None) if self.only => {
                let challenge = format!("Bearer realm=\"{}\"", self.realm);
                return Judged::Refused(challenged(&challenge));
            }
            Ok(None) => return Judged::Absent,
            Err(()) => return Judged::Refused(Reply::status(400)),
        };
        let claims = match &self.way {
            Way::Keys { verifier, issuers } => {
                self.verify(verifier, issuers.as_deref(), &token, now).await
            }
            Way::Introspection(introspection) => {
                introspection
                    .ask(&self.provider, heard.carried, &token, now)
                    .await
            }
        };
        let claims = match claims {
            Ok(claims) => claims,
            Err(failed) => {
                tracing::warn!(error = %failed, "a bearer token was refused");
                return Judged::Refused(self.invalid(failed.shown()));
            }
        };
        match self.refusal(&claims) {
            Some(reply) => Judged::Refused(reply),
            None => Judged::Accepted { token, claims },
        }
    }

    async fn verify(
        &self,
        verifier: &Verifier,
        issuers: Option<&[String]>,
        token: &str,
        now: u64,
    ) -> Result<Value, Failed> {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        let claims = verifier.verify(token, &self.provider, now as f64).await?;
        let issuer = claims.get("iss").and_then(Value::as_str);
        let trusted = match issuers {
            Some(issuers) => issuer.is_some_and(|iss| issuers.iter().any(|i| i == iss)),
            None => issuer == Some(self.provider.discovery().await?.issuer.as_str()),
        };
        match trusted {
            true => Ok(Value::Object(claims)),
            false => Err(Failed::token("issuer not accepted")),
        }
    }

    /// Why a token that is valid is not enough.
    fn refusal(&self, claims: &Value) -> Option<Reply> {
        if let Some(reply) = self.scopes.refusal(claims) {
            return Some(reply);
        }
        let refuse = |error: &str| Some(Reply::bytes(403, json!({ "error": error }).to_string()));
        if let Some(audience) = &self.audience {
            match claims.get(&audience.claim).filter(|aud| !aud.is_null()) {
                None if audience.required => return refuse("required audience claim not present"),
                Some(aud) if audience.match_with_client_id && !includes(aud, &self.client_id) => {
                    return refuse("mismatched audience");
                }
                _ => {}
            }
        }
        let schema = self.schema.as_ref()?;
        schema.check(claims).err().map(|error| {
            tracing::warn!(
                path = error.path,
                "the claims of a token do not fit claim_schema"
            );
            self.invalid("claims not accepted")
        })
    }

    fn invalid(&self, reason: &str) -> Reply {
        challenged(&format!(
            "Bearer realm=\"{}\", error=\"invalid_token\", error_description=\"{reason}\"",
            self.realm
        ))
    }
}

/// A 401 with this challenge.
pub(super) fn challenged(challenge: &str) -> Reply {
    let reply = Reply::status(401);
    match HeaderValue::try_from(challenge) {
        Ok(value) => reply.header(WWW_AUTHENTICATE, value),
        Err(_) => reply,
    }
}

/// The token of a request; an error when there is something that can be none.
fn token(headers: &HeaderMap, x_access_token: Option<String>) -> Result<Option<String>, ()> {
    let text = match header(headers, &AUTHORIZATION) {
        Presented::Nothing => return Ok(x_access_token),
        Presented::Unusable => return Err(()),
        Presented::Text(text) => text,
    };
    let (scheme, token) = text.split_once(' ').ok_or(())?;
    let token = token.trim_matches(' ');
    match scheme.eq_ignore_ascii_case("bearer") {
        false => Ok(None),
        true if token.is_empty() || token.contains(char::is_whitespace) => Err(()),
        true => Ok(Some(token.to_owned())),
    }
}

/// Asks the provider about tokens.
pub(super) struct Introspection {
    pub(super) endpoint: Option<Uri>,
    pub(super) caller: Caller,
    pub(super) credentials: Credentials,
    pub(super) interval: u64,
    pub(super) expiry_claim: Box<str>,
    pub(super) headers: Vec<HeaderName>,
    pub(super) known: Cache<[u8; 32], (u64, Value)>,
}

impl Introspection {
    async fn ask(
        &self,
        provider: &Provider,
        mut sent: HeaderMap,
        token: &str,
        now: u64,
    ) -> Result<Value, Failed> {
        if token.len() > LONGEST {
            return Err(Failed::token("token too long"));
        }
        // What the endpoint gets besides may change its answer.
        let mut key = Sha256::new_with_prefix(token);
        for (name, value) in &sent {
            key.update([0]);
            key.update(name.as_str());
            key.update([0]);
            key.update(value.as_bytes());
        }
        let key: [u8; 32] = key.finalize().into();
        if let Some((until, claims)) = self.known.get(&key)
            && now < until
        {
            return Ok(claims);
        }
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                let discovery = provider.discovery().await?;
                let missing = "the discovery document names no introspection_endpoint";
                let endpoint = discovery.introspection_endpoint.clone();
                endpoint.ok_or_else(|| Failed::new(missing))?.0
            }
        };
        let fields = [("token", token)];
        let (own, body) = self.credentials.sign(&endpoint.to_string(), &fields, now)?;
        sent.extend(own);
        let claims: Value = self
            .caller
            .post("introspection", &endpoint, sent, body)
            .await?;
        if claims.get("active") != Some(&Value::Bool(true)) {
            return Err(Failed::token("invalid token"));
        }
        let expires = claims.get("exp").and_then(Value::as_f64);
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
        if expires.is_some_and(|exp| exp <= now as f64) {
            return Err(Failed::token("token expired"));
        }
        if let Some(until) = self.keep_until(&claims, now) {
            self.known.insert(key, (until, claims.clone()));
        }
        Ok(claims)
    }

    /// Until when an answer is kept; `None` when it does not say for how long it holds.
    fn keep_until(&self, claims: &Value, now: u64) -> Option<u64> {
        let said = claims.get(&*self.expiry_claim)?.as_u64()?;
        let lives = match &*self.expiry_claim {
            "exp" => said.saturating_sub(now),
            _ => said,
        };
        let lives = match self.interval {
            0 => lives,
            most => lives.min(most),
        };
        (lives > 0).then(|| now.saturating_add(lives))
    }
}
