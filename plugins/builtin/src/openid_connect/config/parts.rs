//! Objects inside of the configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// By its secret, in `Authorization`.
    #[default]
    ClientSecretBasic,
    /// By its secret, in the body.
    ClientSecretPost,
    /// By an assertion that is signed with its private key.
    PrivateKeyJwt,
    /// By an assertion that is signed with its secret.
    ClientSecretJwt,
}

/// What becomes of requests without a session or a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnauthAction {
    /// They are sent to the provider.
    #[default]
    Auth,
    /// 401.
    Deny,
    /// They go on, without a user.
    Pass,
}

/// What else tokens must be.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimValidator {
    /// Issuers of bearer tokens.
    pub issuer: Option<Issuer>,
    /// Audience of bearer tokens.
    pub audience: Option<Audience>,
}

/// Issuers.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The issuers that are trusted; without it, that of the discovery document.
    pub valid_issuers: Option<Vec<String>>,
}

/// An audience.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audience {
    /// The claim that has it.
    #[serde(default = "aud")]
    pub claim: String,
    /// Whether a token must have it.
    #[serde(default)]
    pub required: bool,
    /// Whether it must be or include `client_id`.
    #[serde(default)]
    pub match_with_client_id: bool,
}

/// Pushed authorization requests (RFC 9126).
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Par {
    /// Whether the provider is told what it is asked before the user is sent there.
    #[serde(default)]
    pub enabled: bool,
    /// Address at which requests are pushed; without it, that of the discovery document.
    pub endpoint: Option<String>,
    /// How the client proves who it is there; without it, `token_endpoint_auth_method`.
    pub endpoint_auth_method: Option<ClientAuth>,
}

/// Demonstrated possession of keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dpop {
    /// Only `false`.
    #[serde(default)]
    pub enabled: bool,
    /// Without effect.
    pub signing_alg: Option<String>,
    /// Without effect.
    pub private_key: Option<String>,
    /// Without effect.
    pub public_jwk: Option<Map<String, Value>>,
}

/// Logout by the provider.
#[derive(Deserialize, JsonSchema)]
pub struct BackchannelLogout {}

/// Proxies on the way to the provider.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyOptions {
    /// Proxy for endpoints of `http://`, as `http://host:port`.
    pub http_proxy: Option<String>,
    /// What it gets as `Proxy-Authorization`.
    pub http_proxy_authorization: Option<String>,
    /// Proxy for endpoints of `https://`, as `http://host:port`; it makes a tunnel.
    pub https_proxy: Option<String>,
    /// What it gets as `Proxy-Authorization`.
    pub https_proxy_authorization: Option<String>,
    /// Hosts that are reached directly, separated by commas: a name stands for all below it too, `*` for all hosts.
    pub no_proxy: Option<String>,
}

fn aud() -> String {
    "aud".to_owned()
}
