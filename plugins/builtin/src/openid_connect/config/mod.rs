//! Configuration of `openid-connect`.

mod parts;
mod redis;
mod session;

pub use parts::{
    Audience, BackchannelLogout, ClaimValidator, ClientAuth, Dpop, Issuer, Par, ProxyOptions,
    UnauthAction,
};
pub use redis::Redis;
pub use session::{CookieLifetime, SameSite, Session, Storage};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Authenticates users at an OpenID provider by the authorization code flow, and bearer tokens by keys or introspection.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name under which the provider knows the gateway.
    #[schemars(length(min = 1))]
    pub client_id: String,
    /// Secret of the client. Not needed with `bearer_only` and `public_key` or `use_jwks`, with `private_key_jwt`, and with `use_pkce`.
    pub client_secret: Option<String>,
    /// Address of the discovery document of the provider, `http://` or `https://`.
    pub discovery: String,
    /// Scopes that are asked for, separated by spaces.
    #[serde(default = "openid")]
    pub scope: String,
    /// Whether the certificate of the provider must be valid.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
    /// Seconds that the provider has for an answer; multiples of 1000 from 1000 on are milliseconds.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout: u64,
    /// Address at which bearer tokens are introspected; without it, that of the discovery document.
    pub introspection_endpoint: Option<String>,
    /// How the client proves who it is when it introspects.
    #[serde(default)]
    pub introspection_endpoint_auth_method: ClientAuth,
    /// How the client proves who it is at the token endpoint and when it revokes.
    #[serde(default)]
    pub token_endpoint_auth_method: ClientAuth,
    /// Whether only bearer tokens are taken and nobody is sent to the provider.
    #[serde(default)]
    pub bearer_only: bool,
    /// The session of a user; needed unless `bearer_only`.
    pub session: Option<Session>,
    /// Not supported: refused.
    pub backchannel_logout: Option<BackchannelLogout>,
    /// Realm in `WWW-Authenticate`.
    #[serde(default = "realm")]
    pub realm: String,
    /// What else the issuer and the audience of tokens must be.
    pub claim_validator: Option<ClaimValidator>,
    /// Path that ends the session.
    #[serde(default = "logout_path")]
    #[schemars(regex(pattern = "^/"))]
    pub logout_path: String,
    /// Where the provider sends users back to: an address, or a path of the gateway. Without it, the path of the request with
    /// `/.apisix/redirect` after it. The route must match it.
    pub redirect_uri: Option<String>,
    /// Where users are sent after the end of their session.
    pub post_logout_redirect_uri: Option<String>,
    /// What becomes of requests without a session or a token.
    #[serde(default)]
    pub unauth_action: UnauthAction,
    /// Public key in PEM with which tokens are verified, in place of those of the provider.
    pub public_key: Option<String>,
    /// Whether bearer tokens are verified with the keys of the provider. Ignored with `public_key`.
    #[serde(default)]
    pub use_jwks: bool,
    /// The only algorithm that tokens may be signed with. Without it, any that is not symmetric. `HS256`, `HS384` and `HS512` are for
    /// ID tokens, with `client_secret`.
    pub token_signing_alg_values_expected: Option<String>,
    /// Whether the code is bound to the browser that asked for it (RFC 7636, S256).
    #[serde(default)]
    pub use_pkce: bool,
    /// Pushed authorization requests.
    pub par: Option<Par>,
    /// Not supported when it is enabled: refused.
    pub dpop: Option<Dpop>,
    /// Whether the upstream gets the access token.
    #[serde(default = "yes")]
    pub set_access_token_header: bool,
    /// Whether it gets the access token in `Authorization` in place of `X-Access-Token`.
    #[serde(default)]
    pub access_token_in_authorization_header: bool,
    /// Whether it gets the claims of the ID token in `X-ID-Token`, JSON in base64.
    #[serde(default = "yes")]
    pub set_id_token_header: bool,
    /// Whether it gets the ID token as it was signed in `X-Raw-ID-Token`.
    #[serde(default)]
    pub set_raw_id_token_header: bool,
    /// Whether it gets what is known of the user in `X-Userinfo`, JSON in base64.
    #[serde(default = "yes")]
    pub set_userinfo_header: bool,
    /// Whether it gets the refresh token in `X-Refresh-Token`.
    #[serde(default)]
    pub set_refresh_token_header: bool,
    /// Proxies on the way to the provider.
    pub proxy_opts: Option<ProxyOptions>,
    /// Arguments that the authorization endpoint gets beside those of the flow: texts, numbers and booleans.
    #[serde(default)]
    pub authorization_params: Map<String, Value>,
    /// Private key of the client in PEM (PKCS#8; PKCS#1 too for RSA), for `private_key_jwt`.
    pub client_rsa_private_key: Option<String>,
    /// Name of that key (`kid`).
    pub client_rsa_private_key_id: Option<String>,
    /// Seconds for which an assertion of the client is valid.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1))]
    pub client_jwt_assertion_expires_in: u64,
    /// Algorithm of assertions: `RS256`, `RS512` or `ES256` for `private_key_jwt`, `HS256` or `HS512` for `client_secret_jwt`. Without it,
    /// the first of these.
    pub client_jwt_assertion_alg: Option<String>,
    /// Audience of assertions; without it, the address of the endpoint.
    pub client_jwt_assertion_audience: Option<String>,
    /// Whether an access token that expired is renewed with the refresh token.
    #[serde(default = "yes")]
    pub renew_access_token_on_expiry: bool,
    /// Seconds that an access token lives when the provider does not say; without it, 3600.
    #[schemars(range(min = 1))]
    pub access_token_expires_in: Option<u64>,
    /// Seconds before its end at which an access token counts as expired.
    #[serde(default)]
    pub access_token_expires_leeway: u64,
    /// Seconds after which a user is authenticated anew without being asked (`prompt=none`).
    #[schemars(range(min = 1))]
    pub refresh_session_interval: Option<u64>,
    /// Seconds by which the clocks of provider and gateway may differ, for `iat` and `nbf`.
    #[serde(default = "two_minutes")]
    pub iat_slack: u32,
    /// Only `false`: tokens without a signature are refused.
    #[serde(default)]
    pub accept_none_alg: bool,
    /// Only `false`: tokens with an unknown signature are refused.
    #[serde(default)]
    pub accept_unsupported_alg: bool,
    /// Whether every request authenticates the user anew.
    #[serde(default)]
    pub force_reauthorize: bool,
    /// Whether the ID token is bound to the login (`nonce`).
    #[serde(default)]
    pub use_nonce: bool,
    /// Whether tokens are revoked at the end of the session, where the provider can.
    #[serde(default)]
    pub revoke_tokens_on_logout: bool,
    /// Seconds for which the keys of the provider are kept. A token with an unknown key has them fetched earlier, every 10 s at most.
    #[serde(default = "one_day")]
    #[schemars(range(min = 1))]
    pub jwk_expires_in: u64,
    /// Accepted and without effect: verification is not cached.
    #[serde(default)]
    pub jwt_verification_cache_ignore: bool,
    /// Accepted and without effect: each place of use has a cache of its own.
    pub cache_segment: Option<String>,
    /// Seconds for which the result of an introspection is kept at most; 0 leaves it to `introspection_expiry_claim`.
    #[serde(default)]
    pub introspection_interval: u64,
    /// Claim that says until when the result of an introspection is kept: `exp` is a time, others are seconds.
    #[serde(default = "exp")]
    pub introspection_expiry_claim: String,
    /// Headers of the request that the introspection endpoint gets too.
    #[serde(default)]
    pub introspection_addon_headers: Vec<String>,
    /// Scopes that a bearer token must have; else 403. Those of a session are in the `scope` of its access token, or else of its ID
    /// token; a session that does not say has none.
    #[serde(default)]
    pub required_scopes: Vec<String>,
    /// JSON Schema of the claims of a bearer token, or of `user`, `access_token` and `id_token` of a session.
    pub claim_schema: Option<BTreeMap<String, Value>>,
}

fn openid() -> String {
    "openid".to_owned()
}

fn realm() -> String {
    "apisix".to_owned()
}

fn logout_path() -> String {
    "/logout".to_owned()
}

fn exp() -> String {
    "exp".to_owned()
}

fn yes() -> bool {
    true
}

fn three() -> u64 {
    3
}

fn sixty() -> u64 {
    60
}

fn two_minutes() -> u32 {
    120
}

fn one_day() -> u64 {
    86_400
}
