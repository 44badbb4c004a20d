//! `openid-connect`: users by the authorization code flow of OpenID Connect, with encrypted sessions in cookies or in Redis, and bearer
//! tokens by keys or introspection.

mod answers;
mod bearer;
mod build;
mod client_auth;
mod config;
mod document;
mod endpoint;
mod flow;
mod identity;
mod keys;
mod login;
mod logout;
mod place;
mod provider;
mod pushed;
mod refusals;
mod renewal;
mod scopes;
mod sessions;
mod single_flight;
#[cfg(test)]
mod tests;
mod token;
mod tokens;

pub use config::{
    Audience, BackchannelLogout, ClaimValidator, ClientAuth, Config, CookieLifetime, Dpop, Issuer,
    Par, ProxyOptions, Redis, SameSite, Session as SessionConfig, Storage, UnauthAction,
};

use bearer::{Bearer, Judged};
use crossway_sdk::{prelude::*, schema::Schema};
use http::header::SET_COOKIE;
use identity::Headers;
use login::{Entry, Login};
use scopes::Scopes;
use serde_json::json;
use sessions::{Pending, Stored};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use token::verified_before;

/// The plugin.
pub struct OpenidConnect {
    bearer: Option<Bearer>,
    login: Option<Login>,
    headers: Headers,
    scopes: Scopes,
    schema: Option<Arc<Schema>>,
    /// For sessions whose claims do not fit.
    unfit: Reply,
}

#[phases]
impl Plugin for OpenidConnect {
    const NAME: &'static str = "openid-connect";
    const PRIORITY: i32 = 2599;
    const ENCRYPTED: &'static [&'static str] = &[
        "client_secret",
        "client_rsa_private_key",
        "session.secret",
        "session.redis.password",
        "dpop.private_key",
        "proxy_opts.http_proxy_authorization",
        "proxy_opts.https_proxy_authorization",
    ];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        refusals::check(&config)?;
        let realm = config.realm.replace('\\', "\\\\").replace('"', "\\\"");
        if http::HeaderValue::from_str(&realm).is_err() {
            return Err(cx.error("/realm", "expected printable characters"));
        }
        let caller = build::caller(&config, cx)?;
        let provider = build::provider(&config, &caller, cx)?;
        let schema = build::schema(&config)?;
        let bearer = if config.bearer_only
            || config.introspection_endpoint.is_some()
            || config.public_key.is_some()
            || config.use_jwks
        {
            Some(build::bearer(&config, &realm, &provider, &caller, &schema)?)
        } else {
            None
        };
        let login = match &config.session {
            Some(session) if !config.bearer_only => {
                Some(build::login(&config, session, provider, caller, cx)?)
            }
            _ => None,
        };
        Ok(Self {
            bearer,
            login,
            headers: Headers::new(&config),
            scopes: Scopes::new(&config.required_scopes),
            schema,
            unfit: bearer::challenged(&format!(
                "Bearer realm=\"{realm}\", error=\"invalid_token\", error_description=\"claims not accepted\""
            )),
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            let x_access_token = identity::strip(ex.session.req_header_mut());
            let now = now();
            if let Some(bearer) = &self.bearer {
                let heard = bearer.hear(&ex.session.req_header().headers, x_access_token);
                match bearer.judge(heard, now).await {
                    Judged::Absent => {}
                    Judged::Refused(reply) => return Ok(Flow::Respond(reply)),
                    Judged::Accepted { token, claims } => {
                        let head = ex.session.req_header_mut();
                        self.headers.tell(head, Some(&token), Some(&claims))?;
                        ex.request.external_user = Some(Arc::new(claims));
                        return Ok(Flow::Next);
                    }
                }
            }
            let Some(login) = &self.login else {
                return Ok(Flow::Next);
            };
            match login.enter(ex, now).await {
                Ok(Entry::Nobody) => Ok(Flow::Next),
                Ok(Entry::Answer(reply)) => Ok(Flow::Respond(reply)),
                Ok(Entry::User(session, with_access_token)) => {
                    self.admit(ex, &session, with_access_token)
                }
                Err(error) => {
                    tracing::warn!(%error, "a user cannot be authenticated");
                    Ok(Flow::Respond(Reply::status(500)))
                }
            }
        })
    }

    fn before_proxy(&self, _: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        if let Some(login) = &self.login {
            login.sessions.jar.hide(head);
        }
        Ok(())
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        if self.login.is_some() {
            for cookie in std::mem::take(&mut ex.state::<Pending>().0) {
                head.append_header(SET_COOKIE, cookie)?;
            }
        }
        Ok(())
    }
}

impl OpenidConnect {
    fn admit(
        &self,
        ex: &mut Exchange<'_>,
        session: &Stored,
        with_access_token: bool,
    ) -> Result<Flow, Error> {
        let claims = verified_before(&session.tokens.id_token);
        let claims = claims.map_or(Value::Null, Value::Object);
        if let Some(reply) = self.scopes.refusal_of(session, &claims) {
            return Ok(Flow::Respond(reply));
        }
        if let Some(schema) = &self.schema {
            let mut known = json!({"id_token": claims});
            if let Some(user) = &session.user {
                known["user"] = user.clone();
            }
            if with_access_token {
                known["access_token"] = session.tokens.access_token.as_str().into();
            }
            if let Err(error) = schema.check(&known) {
                tracing::warn!(
                    path = error.path,
                    "the claims of a user do not fit claim_schema"
                );
                return Ok(Flow::Respond(self.unfit.clone()));
            }
        }
        let head = ex.session.req_header_mut();
        self.headers
            .tell_session(head, session, with_access_token)?;
        let user = session.user.clone().unwrap_or(claims);
        ex.request.external_user = Some(Arc::new(user));
        Ok(Flow::Next)
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
