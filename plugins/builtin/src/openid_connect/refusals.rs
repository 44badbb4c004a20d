//! What is refused when the configuration is written, because it would not be done as it says.

use super::{
    config::{ClientAuth, Config},
    keys,
};
use crossway_sdk::{build::BuildError, client};
use jsonwebtoken::{Algorithm, AlgorithmFamily};
use serde_json::Value;

/// Arguments that are the flow's own.
const RESERVED: [&str; 11] = [
    "response_type",
    "response_mode",
    "client_id",
    "scope",
    "redirect_uri",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
];

/// # Errors
/// The first that is refused.
pub(super) fn check(config: &Config) -> Result<(), BuildError> {
    let refuse = |path: &str, message: &str| Err(BuildError::new(path, message));
    if !config.bearer_only && config.session.is_none() {
        let message = "property \"session.secret\" is required when \"bearer_only\" is false";
        return refuse("/session", message);
    }
    let by_key = |method| method == ClientAuth::PrivateKeyJwt;
    let without_secret = match config.bearer_only {
        true => {
            config.public_key.is_some()
                || config.use_jwks
                || by_key(config.introspection_endpoint_auth_method)
        }
        false => by_key(config.token_endpoint_auth_method) || config.use_pkce,
    };
    if !without_secret && config.client_secret.is_none() {
        return refuse("/client_secret", "property \"client_secret\" is required");
    }
    if config.accept_none_alg {
        let message = "a token without a signature proves nothing: expected false";
        return refuse("/accept_none_alg", message);
    }
    if config.accept_unsupported_alg {
        let message = "a signature that cannot be verified proves nothing: expected false";
        return refuse("/accept_unsupported_alg", message);
    }
    if config.backchannel_logout.is_some() {
        return refuse(
            "/backchannel_logout",
            "logout by the provider is not supported",
        );
    }
    if config.dpop.as_ref().is_some_and(|dpop| dpop.enabled) {
        let message = "proofs of possession (DPoP) are not supported: expected false";
        return refuse("/dpop/enabled", message);
    }
    if let Some(then) = &config.post_logout_redirect_uri
        && (!then.starts_with('/') || then.starts_with("//"))
    {
        client::target("/post_logout_redirect_uri", then)?;
    }
    Ok(())
}

/// The only algorithm of tokens, if one is configured.
///
/// # Errors
/// There is no such algorithm, or no key for it.
pub(super) fn expected(config: &Config) -> Result<Option<Algorithm>, BuildError> {
    let Some(name) = config.token_signing_alg_values_expected.as_deref() else {
        return Ok(None);
    };
    let refuse = |message| {
        Err(BuildError::new(
            "/token_signing_alg_values_expected",
            message,
        ))
    };
    let Some(algorithm) = keys::algorithm(name) else {
        return refuse(
            "expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384 or HS512",
        );
    };
    if algorithm.family() == AlgorithmFamily::Hmac {
        if config.public_key.is_some() || config.use_jwks {
            return refuse("a public key is no secret: everybody could sign with it");
        }
        if config.client_secret.is_none() {
            return refuse("a symmetric algorithm needs client_secret");
        }
    }
    Ok(Some(algorithm))
}

/// Arguments of the authorization endpoint.
///
/// # Errors
/// One is the flow's own, or cannot be an argument.
pub(super) fn extra(config: &Config) -> Result<Vec<(String, String)>, BuildError> {
    let argument = |(name, value): (&String, &Value)| {
        let refuse = |message: &str| {
            let path = format!("/authorization_params/{name}");
            Err(BuildError::new(path, message))
        };
        if RESERVED.contains(&&**name) {
            return refuse("the flow says this itself");
        }
        match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
            _ => refuse("expected a text, a number or a boolean"),
        }
    };
    config.authorization_params.iter().map(argument).collect()
}
