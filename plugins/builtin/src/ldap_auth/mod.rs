//! `ldap-auth`: names the consumer by user name and password, which a directory must accept in a bind (RFC 4511 §4.2).

mod config;
mod directory;
#[cfg(test)]
mod tests;

pub use config::{Config, Credential};

use crate::auth::{Admission, Place, Presented, basic, header};
use crossway_sdk::{consumer::Identity, prelude::*};
use directory::{Address, Directory};
use http::header::AUTHORIZATION;
use ldap3::dn_escape;
use std::{sync::Arc, time::Duration};

/// The plugin.
pub struct LdapAuth {
    credentials: Credentials<Credential>,
    directory: Arc<Directory>,
    /// `<uid>=`, which stands before the user name, and `,<base_dn>`, which stands behind it.
    around: (String, String),
    hide: bool,
    admission: Admission,
    missing: Reply,
    malformed: Reply,
    nobody: Reply,
    refused: Reply,
}

/// How long a directory may take, as in APISIX.
const LIMIT: Duration = Duration::from_secs(10);

#[phases]
impl Plugin for LdapAuth {
    const NAME: &'static str = "ldap-auth";
    const PRIORITY: i32 = 2540;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Self::with_limit(config, cx, LIMIT)
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let presented = self.presented(ex);
        if self.hide {
            Place::Header(&AUTHORIZATION).hide(ex);
        }
        match presented {
            Err(refusal) => self.admission.conclude(ex, Err(refusal)),
            Ok((user_dn, password)) => Step::wait(async move {
                let found = self.find(ex, &user_dn, &password).await;
                self.admission.admit(ex, found)
            }),
        }
    }
}

impl LdapAuth {
    fn with_limit(config: Config, cx: &BuildCx<'_>, limit: Duration) -> Result<Self, BuildError> {
        let tls = config.use_tls.then_some(config.tls_verify);
        let address = Address::read(&config.ldap_uri, tls).ok_or_else(|| {
            cx.error(
                "/ldap_uri",
                "expected host:port of a directory, without a scheme",
            )
        })?;
        let attribute = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        if !config.uid.chars().all(attribute) {
            return Err(cx.error("/uid", "expected the name of an attribute"));
        }
        let admission = Admission::new("Basic", &config.realm, None)?;
        let identity = format!("ldap-auth/{address:?}/{limit:?}");
        Ok(Self {
            credentials: cx.credentials(),
            directory: cx.shared(&identity, || Directory::new(address, limit)),
            around: (format!("{}=", config.uid), format!(",{}", config.base_dn)),
            hide: config.hide_credentials,
            missing: admission.refusal("Missing authorization in request"),
            malformed: admission.refusal("Invalid authorization in request"),
            nobody: admission.refusal("Missing related consumer"),
            refused: admission.refusal("Invalid user authorization"),
            admission,
        })
    }

    /// The distinguished name of the user, and the password.
    fn presented(&self, ex: &Exchange<'_>) -> Result<(String, String), &Reply> {
        let written = match header(&ex.session.req_header().headers, &AUTHORIZATION) {
            Presented::Nothing => return Err(&self.missing),
            Presented::Unusable => return Err(&self.malformed),
            Presented::Text(written) => written,
        };
        let pair = basic::decode(&written).ok_or(&self.malformed)?;
        let (username, password) = pair.split_once(':').ok_or(&self.malformed)?;
        // Directories accept any name without a password: nobody is bound then (RFC 4513 §5.1.2).
        if username.is_empty() || password.is_empty() {
            return Err(&self.refused);
        }
        let (before, behind) = &self.around;
        // A name must not become a longer path into the directory.
        let user_dn = format!("{before}{}{behind}", dn_escape(username));
        Ok((user_dn, password.to_owned()))
    }

    async fn find(
        &self,
        ex: &Exchange<'_>,
        user_dn: &str,
        password: &str,
    ) -> Result<Identity, &Reply> {
        match self.directory.accepts(user_dn, password).await {
            Ok(true) => {}
            Ok(false) => return Err(&self.refused),
            Err(error) => {
                tracing::warn!(%error, "a directory cannot be asked");
                return Err(&self.refused);
            }
        }
        if self.credentials.are_none(ex) {
            return Err(&self.nobody);
        }
        let found = self.credentials.find(ex, user_dn).ok_or(&self.refused)?;
        Ok(found.identity)
    }
}

impl Authenticator for LdapAuth {
    type Credential = Credential;

    fn index(credential: &Credential) -> Option<String> {
        Some(credential.user_dn.clone())
    }
}
