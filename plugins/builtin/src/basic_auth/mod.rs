//! `basic-auth`: names the consumer by user name and password, as in RFC 7617: the user name ends at the first colon,
//! the password is all that follows.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Config, Credential};

use crate::auth::{Admission, Place, Presented, basic, header};
use crossway_sdk::{consumer::Identity, prelude::*};
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

/// The plugin.
pub struct BasicAuth {
    credentials: Credentials<Credential>,
    hide: bool,
    admission: Admission,
    missing: Reply,
    malformed: Reply,
    refused: Reply,
}

#[phases]
impl Plugin for BasicAuth {
    const NAME: &'static str = "basic-auth";
    const PRIORITY: i32 = 2520;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let admission = Admission::new("Basic", &config.realm, config.anonymous_consumer)?;
        Ok(Self {
            credentials: cx.credentials(),
            hide: config.hide_credentials,
            missing: admission.refusal("Missing authorization in request"),
            malformed: admission.refusal("Invalid authorization in request"),
            refused: admission.refusal("Invalid user authorization"),
            admission,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let found = self.find(ex);
        if self.hide {
            Place::Header(&AUTHORIZATION).hide(ex);
        }
        self.admission.conclude(ex, found)
    }
}

impl BasicAuth {
    fn find(&self, ex: &Exchange<'_>) -> Result<Identity, &Reply> {
        let written = match header(&ex.session.req_header().headers, &AUTHORIZATION) {
            Presented::Nothing => return Err(&self.missing),
            Presented::Unusable => return Err(&self.malformed),
            Presented::Text(written) => written,
        };
        let pair = basic::decode(&written).ok_or(&self.malformed)?;
        let (username, password) = pair.split_once(':').ok_or(&self.malformed)?;
        let found = self.credentials.find(ex, username).ok_or(&self.refused)?;
        if bool::from(
            found
                .credential
                .password
                .as_bytes()
                .ct_eq(password.as_bytes()),
        ) {
            Ok(found.identity)
        } else {
            Err(&self.refused)
        }
    }
}

impl Authenticator for BasicAuth {
    type Credential = Credential;
    const ENCRYPTED_CREDENTIAL: &'static [&'static str] = &["password"];

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.username.clone())
    }

    fn check(credential: &Credential) -> Result<(), BuildError> {
        if credential.username.contains(':') {
            let message =
                "expected a user name without a colon: the password begins after the first one";
            return Err(BuildError::new("/username", message));
        }
        Ok(())
    }
}
