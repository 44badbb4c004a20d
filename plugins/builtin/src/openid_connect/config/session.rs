//! Configuration of sessions.

use super::Redis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// Where the session is kept.
    #[serde(default)]
    pub storage: Storage,
    /// The Redis of `storage: redis`; without effect with `cookie`.
    pub redis: Option<Redis>,
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
    /// In Redis, encrypted; the cookie has its name alone.
    Redis,
}

fn session() -> String {
    "session".to_owned()
}

fn slash() -> String {
    "/".to_owned()
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
