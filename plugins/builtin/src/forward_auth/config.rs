//! Configuration of `forward-auth`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Asks a service whether a request may pass: below 300 it may, any other answer is the client's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the service, `http://` or `https://`.
    pub uri: String,
    /// Method with which the service is asked. With `POST` it gets the request's body.
    #[serde(default)]
    pub request_method: Method,
    /// Headers of the client's request that the service gets.
    #[serde(default)]
    pub request_headers: Vec<String>,
    /// Headers of the service's answer that the upstream gets when the request may pass. What the client sent under these names is
    /// removed.
    #[serde(default)]
    pub upstream_headers: Vec<String>,
    /// Headers of the service's answer that the client gets when the request may not pass.
    #[serde(default)]
    pub client_headers: Vec<String>,
    /// Headers that the service gets beside these; values may have variables.
    #[schemars(extend("minProperties" = 1))]
    pub extra_headers: Option<BTreeMap<String, String>>,
    /// Whether the service's certificate must be valid.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
    /// Milliseconds that the service has for its whole answer.
    #[serde(default = "three_seconds")]
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout: u64,
    /// Whether connections to the service are kept.
    #[serde(default = "yes")]
    pub keepalive: bool,
    /// Milliseconds after which an idle connection is closed.
    #[serde(default = "one_minute")]
    #[schemars(range(min = 1000))]
    pub keepalive_timeout: u64,
    /// Idle connections that are kept.
    #[serde(default = "five")]
    #[schemars(range(min = 1))]
    pub keepalive_pool: usize,
    /// Whether requests pass while the service cannot be asked.
    #[serde(default)]
    pub allow_degradation: bool,
    /// Status that the client gets when the service cannot be asked.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 599))]
    pub status_on_error: u16,
    /// Largest body, in bytes, that is sent to the service with `POST`. A larger one gets 413.
    #[serde(default = "sixty_four_mebibytes")]
    #[schemars(range(min = 1))]
    pub max_req_body_size: u64,
}

/// How the service is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum Method {
    /// Without a body.
    #[default]
    #[serde(rename = "GET")]
    Get,
    /// With the request's body.
    #[serde(rename = "POST")]
    Post,
}

fn yes() -> bool {
    true
}

fn three_seconds() -> u64 {
    3000
}

fn one_minute() -> u64 {
    60_000
}

fn five() -> usize {
    5
}

fn forbidden() -> u16 {
    403
}

fn sixty_four_mebibytes() -> u64 {
    64 * 1024 * 1024
}
