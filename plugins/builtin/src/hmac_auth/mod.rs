//! `hmac-auth`: names the consumer by a signature over the method, the target and headers of the request.
//!
//! The signed text is the key's id, then for each name in `headers` a line `name: value`, or `METHOD target` for
//! `@request-target`; every line ends with a line feed. A name that the request has no header for gives no line.

mod config;
mod date;
mod parameters;
mod signing;
#[cfg(test)]
mod tests;

pub use config::{Algorithm, Config, Credential};

use crate::{
    apart::apart,
    auth::{Admission, Place, Presented, basic::BASE64, header},
};
use base64::Engine;
use crossway_sdk::{consumer::Identity, prelude::*};
use http::{HeaderName, header::AUTHORIZATION, header::DATE};
use parameters::{Parameters, Unreadable};
use std::time::UNIX_EPOCH;

/// The plugin.
pub struct HmacAuth {
    credentials: Credentials<Credential>,
    allowed: Vec<Algorithm>,
    /// In seconds.
    clock_skew: u64,
    signed_headers: Vec<String>,
    /// The largest body whose digest is validated; `None`: no body is.
    body: Option<usize>,
    hide: bool,
    admission: Admission,
    missing: Reply,
    other_scheme: Reply,
    refused: Reply,
}

const X_DATE: HeaderName = HeaderName::from_static("x-date");
const DIGEST: HeaderName = HeaderName::from_static("digest");
const TARGET: &str = "@request-target";

/// Why a request is not let in.
enum Refusal {
    Missing,
    OtherScheme,
    /// The client is told no more than that; the reason is for the log.
    Invalid(&'static str),
}

#[phases]
impl Plugin for HmacAuth {
    const NAME: &'static str = "hmac-auth";
    const PRIORITY: i32 = 2530;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let admission = Admission::new("hmac", &config.realm, config.anonymous_consumer)?;
        let limit = usize::try_from(config.max_req_body_size).unwrap_or(usize::MAX);
        Ok(Self {
            credentials: cx.credentials(),
            allowed: config.allowed_algorithms,
            clock_skew: config.clock_skew.into(),
            signed_headers: config.signed_headers,
            body: config.validate_request_body.then_some(limit),
            hide: config.hide_credentials,
            missing: admission
                .refusal("client request can't be validated: missing Authorization header"),
            other_scheme: admission.refusal(
                "client request can't be validated: Authorization header does not start with 'Signature'",
            ),
            refused: admission.refusal("client request can't be validated"),
            admission,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let found = self.find(ex);
        match (found, self.body) {
            (Ok(identity), Some(limit)) => Step::wait(async move {
                match judge_body(ex, limit).await {
                    Ok(()) => self.conclude(ex, Ok(identity)),
                    Err(BodyRefusal::Digest) => {
                        self.conclude(ex, Err(Refusal::Invalid("Invalid digest")))
                    }
                    Err(BodyRefusal::Unreadable(status)) => {
                        Ok(Flow::Respond(Reply::status(status)))
                    }
                    Err(BodyRefusal::Failed(error)) => Err(error),
                }
            }),
            (found, _) => Step::Done(self.conclude(ex, found)),
        }
    }
}

impl HmacAuth {
    fn conclude(
        &self,
        ex: &mut Exchange<'_>,
        found: Result<Identity, Refusal>,
    ) -> Result<Flow, Error> {
        if self.hide {
            Place::Header(&AUTHORIZATION).hide(ex);
        }
        let found = found.map_err(|refusal| match refusal {
            Refusal::Missing => &self.missing,
            Refusal::OtherScheme => &self.other_scheme,
            Refusal::Invalid(reason) => {
                tracing::info!(reason, "a client's request can't be validated");
                &self.refused
            }
        });
        self.admission.admit(ex, found)
    }

    fn find(&self, ex: &Exchange<'_>) -> Result<Identity, Refusal> {
        let invalid = |reason| Err(Refusal::Invalid(reason));
        let headers = &ex.session.req_header().headers;
        let written = match header(headers, &AUTHORIZATION) {
            Presented::Nothing => return Err(Refusal::Missing),
            Presented::Unusable => return invalid("Authorization is doubled or unreadable"),
            Presented::Text(written) => written,
        };
        let said = Parameters::read(&written).map_err(|unreadable| match unreadable {
            Unreadable::Scheme => Refusal::OtherScheme,
            Unreadable::Doubled => Refusal::Invalid("a parameter stands twice"),
        })?;
        let (Some(key_id), Some(signature)) = (said.key_id, said.signature) else {
            return invalid("keyId or signature missing");
        };
        let Some(algorithm) = said.algorithm else {
            return invalid("algorithm missing");
        };
        let Some(found) = self.credentials.find(ex, key_id) else {
            return invalid("Invalid key_id");
        };
        let named = Algorithm::named(algorithm).filter(|named| self.allowed.contains(named));
        let Some(algorithm) = named else {
            return invalid("Invalid algorithm");
        };
        self.judge_time(ex, &said)?;
        let mut signs = self.signed_headers.iter();
        if !signs.all(|name| said.signed().any(|signed| signed == name)) {
            return invalid("an expected header is missing in signing");
        }
        let message = message(ex, key_id, &said)?;
        let Ok(signature) = BASE64.decode(signature) else {
            return invalid("Invalid signature");
        };
        let secret = found.credential.secret_key.as_bytes();
        match signing::verifies(algorithm, secret, &message, &signature) {
            true => Ok(found.identity),
            false => invalid("Invalid signature"),
        }
    }

    /// Judges the time of the signature. Where `date` must be signed and `X-Date` stands in for it, that must be signed: else a
    /// signature that was seen once could be sent for ever with a new time.
    fn judge_time(&self, ex: &Exchange<'_>, said: &Parameters<'_>) -> Result<(), Refusal> {
        let headers = &ex.session.req_header().headers;
        let (name, presented) = match header(headers, &DATE) {
            Presented::Nothing => (X_DATE, header(headers, &X_DATE)),
            presented => (DATE, presented),
        };
        let invalid = |reason| Err(Refusal::Invalid(reason));
        let written = match presented {
            Presented::Nothing => {
                return invalid("Date header missing. failed to validate clock skew");
            }
            Presented::Unusable => return invalid("the date is doubled or unreadable"),
            Presented::Text(written) => written,
        };
        let is_date = |signed: &str| signed.eq_ignore_ascii_case("date");
        let mut must = self.signed_headers.iter();
        let signs_it = || said.signed().any(|signed| name == signed);
        if must.any(|must| is_date(must)) && !signs_it() {
            return invalid("the header that says the time is missing in signing");
        }
        let Some(time) = date::seconds(&written) else {
            return invalid("Invalid GMT format time");
        };
        let now = ex.request.started_at.duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        if now.abs_diff(u64::try_from(time).unwrap_or(0)) > self.clock_skew {
            return invalid("Clock skew exceeded");
        }
        Ok(())
    }
}

/// The text that is signed.
fn message(ex: &Exchange<'_>, key_id: &str, said: &Parameters<'_>) -> Result<Vec<u8>, Refusal> {
    let head = ex.session.req_header();
    let mut message = Vec::with_capacity(128);
    message.extend_from_slice(key_id.as_bytes());
    message.push(b'\n');
    for name in said.signed() {
        if name == TARGET {
            message.extend_from_slice(head.method.as_str().as_bytes());
            message.push(b' ');
            message.extend_from_slice(&ex.request.target(head));
            message.push(b'\n');
            continue;
        }
        let mut values = head.headers.get_all(name).into_iter();
        match (values.next(), values.next()) {
            (None, _) => continue,
            (Some(value), None) => {
                message.extend_from_slice(name.as_bytes());
                message.extend_from_slice(b": ");
                message.extend_from_slice(value.as_bytes());
                message.push(b'\n');
            }
            // Which of them a server behind us takes, nobody knows.
            (Some(_), Some(_)) => return Err(Refusal::Invalid("a signed header stands twice")),
        }
    }
    Ok(message)
}

/// Why a body is not let in.
enum BodyRefusal {
    /// It is not what `Digest` says.
    Digest,
    /// It could not be read; the status that says so.
    Unreadable(u16),
    /// It could not be judged.
    Failed(Error),
}

async fn judge_body(ex: &mut Exchange<'_>, limit: usize) -> Result<(), BodyRefusal> {
    let mut digests = ex.session.req_header().headers.get_all(DIGEST).into_iter();
    let (Some(digest), None) = (digests.next().cloned(), digests.next()) else {
        return Err(BodyRefusal::Digest);
    };
    let body = match ex.read_body(limit).await {
        Ok(body) => body,
        Err(error) => return Err(BodyRefusal::Unreadable(error.status())),
    };
    let length = body.len();
    let judge = move || signing::is_digest_of(digest.as_bytes(), &body);
    match apart(length, judge).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(BodyRefusal::Digest),
        Err(error) => Err(BodyRefusal::Failed(error)),
    }
}

impl Authenticator for HmacAuth {
    type Credential = Credential;
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &["secret_key"];

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.key_id.clone())
    }
}
