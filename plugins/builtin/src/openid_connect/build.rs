//! From the configuration to what serves.

use super::{
    bearer::{self, Bearer, Introspection, Way},
    client_auth::Credentials,
    config::{Config, Session},
    endpoint::Caller,
    keys::Key,
    login::Login,
    logout::Logout,
    place::Redirect,
    provider::Provider,
    pushed::Pushed,
    refusals,
    renewal::Renewal,
    scopes::Scopes,
    sessions::{Seal, Sessions},
    token::Verifier,
    tokens::Tokens,
};
use crate::{redis::hex, remote};
use crossway_sdk::{
    build::{BuildCx, BuildError},
    client::{Client, ClientOptions, Proxies, Proxy, target},
    schema::Schema,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};

pub(super) fn caller(config: &Config, cx: &BuildCx<'_>) -> Result<Caller, BuildError> {
    let mut options = ClientOptions::verifying(config.ssl_verify);
    options.proxies = proxies(config)?;
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

fn proxies(config: &Config) -> Result<Proxies, BuildError> {
    let Some(written) = &config.proxy_opts else {
        return Ok(Proxies::default());
    };
    let proxy = |address: &Option<String>, authorization: &Option<String>| {
        address.as_deref().map(|address| Proxy {
            address: address.into(),
            authorization: authorization.as_deref().map(Into::into),
        })
    };
    let proxies = Proxies {
        http: proxy(&written.http_proxy, &written.http_proxy_authorization),
        https: proxy(&written.https_proxy, &written.https_proxy_authorization),
        except: written.no_proxy.as_deref().map(Into::into),
    };
    proxies.check("/proxy_opts")?;
    Ok(proxies)
}

pub(super) fn provider(
    config: &Config,
    caller: &Caller,
    cx: &BuildCx<'_>,
) -> Result<Arc<Provider>, BuildError> {
    let uri = target("/discovery", &config.discovery)?;
    let keys = Duration::from_secs(config.jwk_expires_in);
    let proxy = config.proxy_opts.as_ref().map(|proxy| {
        [
            &proxy.http_proxy,
            &proxy.http_proxy_authorization,
            &proxy.https_proxy,
            &proxy.https_proxy_authorization,
            &proxy.no_proxy,
        ]
    });
    let way = (
        &config.discovery,
        config.ssl_verify,
        config.timeout,
        keys,
        proxy,
    );
    let way = hex(&Sha256::digest(format!("{way:?}")));
    let make = || Provider::new(uri, caller.clone(), cx.runtime(), keys);
    Ok(cx.shared(&format!("openid-connect/{way}"), make))
}

pub(super) fn schema(config: &Config) -> Result<Option<Arc<Schema>>, BuildError> {
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

pub(super) fn bearer(
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
            credentials: Credentials::new(config, method)?,
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
        scopes: Scopes::new(&config.required_scopes),
        audience: audience.cloned(),
        schema: schema.clone(),
    })
}

pub(super) fn login(
    config: &Config,
    session: &Session,
    provider: Arc<Provider>,
    caller: Caller,
    cx: &BuildCx<'_>,
) -> Result<Login, BuildError> {
    let tokens = Arc::new(Tokens {
        provider,
        caller,
        credentials: Credentials::new(config, config.token_endpoint_auth_method)?,
        verifier: verifier(config)?,
        client_id: config.client_id.as_str().into(),
        scope: config.scope.as_str().into(),
        expires_in: config.access_token_expires_in,
        leeway: config.access_token_expires_leeway,
    });
    let seal = Seal::new(&session.secret, &config.client_id, &config.discovery);
    Ok(Login {
        renewal: Renewal::new(tokens.clone(), cx.runtime()),
        redirect: Redirect::new(config)?,
        sessions: Sessions::new(session, seal, tokens.caller.timeout, cx)?,
        tokens,
        unauth: config.unauth_action,
        pkce: config.use_pkce,
        nonce: config.use_nonce,
        extra: refusals::extra(config)?,
        pushed: pushed(config)?,
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

fn pushed(config: &Config) -> Result<Option<Pushed>, BuildError> {
    let Some(par) = config.par.as_ref().filter(|par| par.enabled) else {
        return Ok(None);
    };
    let endpoint = par.endpoint.as_deref();
    let endpoint = endpoint.map(|text| target("/par/endpoint", text));
    let method = par.endpoint_auth_method;
    let method = method.unwrap_or(config.token_endpoint_auth_method);
    Ok(Some(Pushed {
        endpoint: endpoint.transpose()?,
        credentials: Credentials::new(config, method)?,
    }))
}
