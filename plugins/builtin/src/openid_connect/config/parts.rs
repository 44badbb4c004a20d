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

/// The session of a user.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Secret with which sessions are encrypted.
    #[schemars(length(min = 16))]
    pub secret: String,
    /// Name of the cookie.
    #[serde(default = "session")]
    pub cookie_name: String,
    /// Path of the cookie.
    #[serde(default = "slash")]
    pub cookie_path: String,
    /// Domain of the cookie; without it, the host alone.
    pub cookie_domain: Option<String>,
    /// Whether the cookie is for HTTPS only; without it, as the request was.
    pub cookie_secure: Option<bool>,
    /// Whether scripts cannot see the cookie.
    #[serde(default = "yes")]
    pub cookie_http_only: bool,
    /// When browsers send the cookie with requests from other sites.
    #[serde(default)]
    pub cookie_same_site: SameSite,
    /// Seconds without a request after which the session ends; 0 for none.
    #[serde(default = "quarter")]
    pub idling_timeout: u64,
    /// Seconds after which a session ends that was not renewed; requests in the last quarter renew it. 0 for none.
    #[serde(default = "hour")]
    pub rolling_timeout: u64,
    /// Seconds after which the session ends in any case; 0 for none.
    pub absolute_timeout: Option<u64>,
    /// The form of older versions.
    pub cookie: Option<CookieLifetime>,
    /// Where the session is kept. `redis` is not supported: refused.
    #[serde(default)]
    pub storage: Storage,
    /// Accepted and without effect, as `storage` can only be `cookie`.
    pub redis: Option<Map<String, Value>>,
}

/// The form of older versions.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CookieLifetime {
    /// As `absolute_timeout`, which takes precedence.
    pub lifetime: Option<u64>,
}

/// `SameSite` of a cookie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum SameSite {
    /// Never with requests from other sites.
    Strict,
    /// Only when the user goes to another page.
    #[default]
    Lax,
    /// Always; takes a secure cookie.
    None,
    /// The browser decides.
    Default,
}

/// Where a session is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// In encrypted cookies.
    #[default]
    Cookie,
    /// In Redis.
    Redis,
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

/// Pushed authorization requests.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Par {
    /// Only `false`.
    #[serde(default)]
    pub enabled: bool,
    /// Without effect.
    pub endpoint: Option<String>,
    /// Without effect.
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
pub struct ProxyOptions {}

fn session() -> String {
    "session".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

fn aud() -> String {
    "aud".to_owned()
}

fn yes() -> bool {
    true
}

fn quarter() -> u64 {
    900
}

fn hour() -> u64 {
    3600
}
