//! `key-auth`: names the consumer by an API key in a header or in the query.
//!
//! Keys are found through a hash table whose hash is keyed at random for each process, so that the time of a lookup tells
//! nothing about a key.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Config, Credential};

use crate::auth::{Admission, Place, Presented, argument, header};
use crossway_sdk::{consumer::Identity, prelude::*};
use http::HeaderName;

/// The plugin.
pub struct KeyAuth {
    credentials: Credentials<Credential>,
    header: HeaderName,
    query: Box<str>,
    hide: bool,
    admission: Admission,
    missing: Reply,
    invalid: Reply,
}

#[phases]
impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let header = config
            .header
            .parse()
            .map_err(|_| cx.error("/header", "expected the name of a header"))?;
        let admission = Admission::new("apikey", &config.realm, config.anonymous_consumer)?;
        Ok(Self {
            credentials: cx.credentials(),
            header,
            query: config.query.into(),
            hide: config.hide_credentials,
            missing: admission.refusal("Missing API key in request"),
            invalid: admission.refusal("Invalid API key in request"),
            admission,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let (place, found) = self.find(ex);
        if self.hide {
            place.hide(ex);
        }
        self.admission.conclude(ex, found)
    }
}

impl KeyAuth {
    fn find(&self, ex: &Exchange<'_>) -> (Place<'_>, Result<Identity, &Reply>) {
        let (place, presented) = match header(&ex.session.req_header().headers, &self.header) {
            Presented::Nothing => (Place::Argument(&self.query), argument(ex, &self.query)),
            presented => (Place::Header(&self.header), presented),
        };
        let found = match presented {
            Presented::Nothing => Err(&self.missing),
            Presented::Unusable => Err(&self.invalid),
            Presented::Text(key) => match self.credentials.find(ex, &key) {
                Some(found) => Ok(found.identity),
                None => Err(&self.invalid),
            },
        };
        (place, found)
    }
}

impl Authenticator for KeyAuth {
    type Credential = Credential;
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &["key"];

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.key.clone())
    }
}
