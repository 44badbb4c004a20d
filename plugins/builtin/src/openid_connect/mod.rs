//! `openid-connect`: users by the authorization code flow of OpenID Connect, with sessions in encrypted cookies, and bearer tokens by
//! keys or introspection.

mod bearer;
mod client_auth;
mod config;
mod cookies;
mod document;
mod endpoint;
mod identity;
mod keys;
mod login;
mod logout;
mod place;
mod provider;
mod refusals;
mod seal;
mod session;
mod single_flight;
#[cfg(test)]
mod tests;
mod token;
mod tokens;

pub use config::{
    Audience, BackchannelLogout, ClaimValidator, ClientAuth, Config, CookieLifetime, Dpop, Issuer,
    Par, ProxyOptions, SameSite, Session as SessionConfig, Storage, UnauthAction,
};

use crate::remote;
use bearer::{Bearer, Introspection, Judged, Way};
use client_auth::Credentials as ClientCredentials;
use cookies::Jar;
use crossway_sdk::{
    client::{Client, ClientOptions, target},
    prelude::*,
    schema::Schema,
};
use endpoint::Caller;
use http::header::SET_COOKIE;
use identity::Headers;
use keys::Key;
use login::{Entry, Login, Pending};
use logout::Logout;
use place::Redirect;
use provider::Provider;
use seal::Seal;
use serde_json::json;
use session::{Stored, Timeouts};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use token::{Verifier, verified_before};
use tokens::{Renewal, Tokens};

/// The plugin.
pub struct OpenidConnect {
    bearer: Option<Bearer>,
    login: Option<Login>,
    headers: Headers,
    schema: Option<Arc<Schema>>,
    /// For sessions whose claims do not fit.
    unfit: Reply,
}

#[phases]
impl Plugin for OpenidConnect {
    const NAME: &'static str = "openid-connect";
    const PRIORITY: i32 = 2599;
    const ENCRYPTED: &'static [&'static str] =
        &["client_secret", "client_rsa_private_key", "session.secret"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        refusals::check(&config)?;
        let realm = config.realm.replace('\\', "\\\\").replace('"', "\\\"");
        if http::HeaderValue::from_str(&realm).is_err() {
            return Err(cx.error("/realm", "expected printable characters"));
        }
        let caller = caller(&config, cx)?;
        let provider = provider(&config, &caller, cx)?;
        let schema = schema(&config)?;
        let bearer = if config.bearer_only
            || config.introspection_endpoint.is_some()
            || config.public_key.is_some()
            || config.use_jwks
        {
            Some(bearer(&config, &realm, &provider, &caller, &schema)?)
        } else {
            None
        };
        let login = match &config.session {
            Some(session) if !config.bearer_only => {
                Some(login(&config, session, provider, caller, cx)?)
            }
            _ => None,
        };
        Ok(Self {
            bearer,
            login,
            headers: Headers::new(&config),
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
            login.jar.hide(head);
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
        let claims = verified_before(&session.id_token).map_or(Value::Null, Value::Object);
        if let Some(schema) = &self.schema {
            let mut known = json!({"id_token": claims});
            if let Some(user) = &session.user {
                known["user"] = user.clone();
            }
            if with_access_token {
                known["access_token"] = session.access_token.as_str().into();
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

fn caller(config: &Config, cx: &BuildCx<'_>) -> Result<Caller, BuildError> {
    let options = ClientOptions::verifying(config.ssl_verify);
    let timeout = match config.timeout {
        // APISIX once stored milliseconds.
        written if written >= 1000 && written % 1000 == 0 => Duration::from_millis(written),
        written => Duration::from_secs(written),
    };
    Ok(Caller {
        client: Client::shared(cx, "/discovery", options)?,
        timeout,
    })
}

fn provider(
    config: &Config,
    caller: &Caller,
    cx: &BuildCx<'_>,
) -> Result<Arc<Provider>, BuildError> {
    let uri = target("/discovery", &config.discovery)?;
    let keys = Duration::from_secs(config.jwk_expires_in);
    let way = (&config.discovery, config.ssl_verify, config.timeout, keys);
    let make = || Provider::new(uri, caller.clone(), cx.runtime(), keys);
    Ok(cx.shared(&format!("openid-connect/{way:?}"), make))
}

fn schema(config: &Config) -> Result<Option<Arc<Schema>>, BuildError> {
    let Some(written) = &config.claim_schema else {
        return Ok(None);
    };
    let document = Value::Object(written.clone().into_iter().collect());
    let compiled = Schema::compiled(document).map_err(|error| {
        let path = format!("/claim_schema{}", error.path);
        BuildError::new(
            path,
            format!("check claim_schema failed: {}", error.message),
        )
    });
    Ok(Some(Arc::new(compiled?)))
}

fn verifier(config: &Config) -> Result<Verifier, BuildError> {
    let expected = refusals::expected(config)?;
    let own = match (&config.public_key, expected, &config.client_secret) {
        (Some(pem), _, _) => Some(Key::pem(pem)?),
        (None, Some(algorithm), Some(secret))
            if algorithm.family() == jsonwebtoken::AlgorithmFamily::Hmac =>
        {
            Some(Key::secret(secret, algorithm))
        }
        _ => None,
    };
    Ok(Verifier {
        own,
        expected,
        slack: f64::from(config.iat_slack),
    })
}

fn bearer(
    config: &Config,
    realm: &str,
    provider: &Arc<Provider>,
    caller: &Caller,
    schema: &Option<Arc<Schema>>,
) -> Result<Bearer, BuildError> {
    let validator = config.claim_validator.as_ref();
    let way = if config.public_key.is_some() || config.use_jwks {
        let issuer = validator.and_then(|validator| validator.issuer.as_ref());
        Way::Keys {
            verifier: verifier(config)?,
            issuers: issuer.and_then(|issuer| issuer.valid_issuers.clone()),
        }
    } else {
        let endpoint = config.introspection_endpoint.as_deref();
        let endpoint = endpoint.map(|text| target("/introspection_endpoint", text));
        let method = config.introspection_endpoint_auth_method;
        let names = &config.introspection_addon_headers;
        Way::Introspection(Box::new(Introspection {
            endpoint: endpoint.transpose()?,
            caller: caller.clone(),
            credentials: ClientCredentials::new(config, method)?,
            interval: config.introspection_interval,
            expiry_claim: config.introspection_expiry_claim.as_str().into(),
            headers: remote::names(names, "/introspection_addon_headers")?,
            known: quick_cache::sync::Cache::new(bearer::KEPT),
        }))
    };
    let audience = validator.and_then(|validator| validator.audience.as_ref());
    Ok(Bearer {
        only: config.bearer_only,
        realm: realm.into(),
        provider: provider.clone(),
        way,
        client_id: config.client_id.as_str().into(),
        required_scopes: config.required_scopes.clone(),
        audience: audience.cloned(),
        schema: schema.clone(),
    })
}

fn login(
    config: &Config,
    session: &SessionConfig,
    provider: Arc<Provider>,
    caller: Caller,
    cx: &BuildCx<'_>,
) -> Result<Login, BuildError> {
    let tokens = Arc::new(Tokens {
        provider,
        caller,
        credentials: ClientCredentials::new(config, config.token_endpoint_auth_method)?,
        verifier: verifier(config)?,
        client_id: config.client_id.as_str().into(),
        scope: config.scope.as_str().into(),
        expires_in: config.access_token_expires_in,
        leeway: config.access_token_expires_leeway,
    });
    Ok(Login {
        renewal: Renewal::new(tokens.clone(), cx.runtime()),
        tokens,
        redirect: Redirect::new(config)?,
        jar: Jar::new(session)?,
        seal: Seal::new(&session.secret, &config.client_id, &config.discovery),
        timeouts: Timeouts::new(session),
        unauth: config.unauth_action,
        pkce: config.use_pkce,
        nonce: config.use_nonce,
        extra: refusals::extra(config)?,
        renews: config.renew_access_token_on_expiry,
        reauthorize: config.force_reauthorize,
        interval: config.refresh_session_interval,
        logout: Logout {
            path: config.logout_path.as_str().into(),
            then: config.post_logout_redirect_uri.as_deref().map(Into::into),
            revoke: config.revoke_tokens_on_logout,
        },
    })
}
