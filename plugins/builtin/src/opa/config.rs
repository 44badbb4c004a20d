//! Configuration of `opa`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Asks Open Policy Agent whether a request may pass.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of Open Policy Agent, e.g. `https://opa.example:8181`.
    pub host: String,
    /// Path of the policy, e.g. `example/authz`; the decision is asked for at `<host>/v1/data/<policy>`.
    #[schemars(length(min = 1))]
    pub policy: String,
    /// Whether the certificate must be valid.
    #[serde(default = "yes")]
    pub ssl_verify: bool,
    /// Milliseconds that the whole decision may take.
    #[serde(default = "three_seconds")]
    #[schemars(range(min = 1, max = 60_000))]
    pub timeout: u64,
    /// Whether connections are kept.
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
    /// Whether the policy gets the route's document, without its upstream.
    #[serde(default)]
    pub with_route: bool,
    /// Whether the policy gets the document of the route's service.
    #[serde(default)]
    pub with_service: bool,
    /// Whether the policy gets the consumer: its user name, group and labels, and the id of the credential. Never a secret.
    #[serde(default)]
    pub with_consumer: bool,
    /// Headers of the decision that the upstream gets when the request may pass. What the client sent under these names is removed.
    #[serde(default)]
    pub send_headers_upstream: Vec<String>,
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
