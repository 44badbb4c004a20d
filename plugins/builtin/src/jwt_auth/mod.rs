//! `jwt-auth`: names the consumer by a signed token in a header, in the query or in a cookie, looked at in this order.
//!
//! With `store_in_ctx`, plugins that run later find the verified claims as [`Payload`] among the extensions of the
//! request head: `ex.session.req_header().extensions.get::<Payload>()`.

mod config;
#[cfg(test)]
mod tests;
mod token;
mod verify;

pub use config::{Algorithm, Claim, Config, Credential};

use crate::auth::{Admission, Place, Presented, argument, cookie, header};
use crossway_sdk::{consumer::Identity, prelude::*};
use http::HeaderName;
use serde_json::Map;
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use token::Token;
use verify::Verifier;

/// The claims of the token that named the consumer.
#[derive(Debug, Clone)]
pub struct Payload(pub Arc<Map<String, Value>>);

/// The plugin.
pub struct JwtAuth {
    credentials: Credentials<Credential>,
    header: HeaderName,
    query: Box<str>,
    cookie: Box<str>,
    key_claim: Box<str>,
    hide: bool,
    store: bool,
    claims: Vec<Claim>,
    admission: Admission,
    missing: Reply,
    invalid: Reply,
    no_key: Reply,
    unknown_key: Reply,
    unverified: Reply,
}

#[phases]
impl Plugin for JwtAuth {
    const NAME: &'static str = "jwt-auth";
    const PRIORITY: i32 = 2510;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let header = config
            .header
            .parse()
            .map_err(|_| cx.error("/header", "expected the name of a header"))?;
        let admission = Admission::new("Bearer", &config.realm, config.anonymous_consumer)?;
        Ok(Self {
            credentials: cx.credentials(),
            header,
            query: config.query.into(),
            cookie: config.cookie.into(),
            key_claim: config.key_claim_name.into(),
            hide: config.hide_credentials,
            store: config.store_in_ctx,
            claims: config.claims_to_verify,
            missing: admission.refusal("Missing JWT token in request"),
            invalid: admission.refusal("JWT token invalid"),
            no_key: admission.refusal("missing user key in JWT token"),
            unknown_key: admission.refusal("Invalid user key in JWT token"),
            unverified: admission.refusal("failed to verify jwt"),
            admission,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let (place, presented) = self.look(ex);
        let found = self.judge(ex, &presented);
        drop(presented);
        if self.hide {
            place.hide(ex);
        }
        let found = found.map(|(identity, claims)| {
            if self.store {
                let payload = Payload(Arc::new(claims));
                ex.session.req_header_mut().extensions_mut().insert(payload);
            }
            identity
        });
        self.admission.conclude(ex, found)
    }
}

impl JwtAuth {
    fn look<'e>(&self, ex: &'e Exchange<'_>) -> (Place<'_>, Presented<'e>) {
        let headers = &ex.session.req_header().headers;
        match header(headers, &self.header) {
            Presented::Nothing => {}
            presented => return (Place::Header(&self.header), presented),
        }
        match argument(ex, &self.query) {
            Presented::Nothing => (Place::Cookie(&self.cookie), cookie(headers, &self.cookie)),
            presented => (Place::Argument(&self.query), presented),
        }
    }

    fn judge(
        &self,
        ex: &Exchange<'_>,
        presented: &Presented<'_>,
    ) -> Result<(Identity, Map<String, Value>), &Reply> {
        let text = match presented {
            Presented::Nothing => return Err(&self.missing),
            Presented::Unusable => return Err(&self.invalid),
            Presented::Text(text) => text,
        };
        let token = Token::read(without_scheme(text)).ok_or(&self.invalid)?;
        let key = match token.claims.get(&*self.key_claim) {
            None | Some(Value::Null | Value::Bool(false)) => return Err(&self.no_key),
            Some(Value::String(key)) => key,
            Some(_) => return Err(&self.unknown_key),
        };
        let found = self.credentials.find(ex, key).ok_or(&self.unknown_key)?;
        let credential = &found.credential;
        let verified = credential
            .verifier
            .get()
            .is_some_and(|v| v.verifies(&token.alg, token.message, &token.signature));
        let now = seconds(ex.request.started_at);
        let grace = f64::from(credential.lifetime_grace_period);
        if verified && self.claims.iter().all(|c| token.holds(*c, now, grace)) {
            Ok((found.identity, token.claims))
        } else {
            Err(&self.unverified)
        }
    }
}

/// Without `Bearer` in front, which a token cannot begin with because it has no space in it.
fn without_scheme(text: &str) -> &str {
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => text,
    }
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}

impl Authenticator for JwtAuth {
    type Credential = Credential;
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &["secret"];

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.key.clone())
    }

    fn check(credential: &Credential) -> Result<(), BuildError> {
        let verifier = Verifier::new(credential)?;
        credential.verifier.get_or_init(|| verifier);
        Ok(())
    }
}
