//! Configuration of `graphql-proxy-cache`.

use crate::proxy_cache::config::{self as proxy_cache, Method, Strategy};
use schemars::JsonSchema;
use serde::Deserialize;

/// Keeps the answers to GraphQL queries and answers with them: those with status 200 to `GET` and `POST`, by the target
/// and the body of the request. Other methods get 405, what is no GraphQL 400. Mutations and subscriptions go past the
/// cache.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where answers are kept.
    #[serde(default)]
    pub(crate) cache_strategy: Strategy,
    /// The zone to keep them in: one of `plugin_attr.proxy-cache.zones`, of the kind that `cache_strategy` asks for.
    #[serde(default = "first_zone")]
    #[schemars(length(min = 1, max = 100))]
    pub(crate) cache_zone: String,
    /// Seconds for which an answer is kept in memory. On disk `Cache-Control` and `Expires` of the upstream decide, or
    /// `plugin_attr.proxy-cache.cache_ttl`.
    #[serde(default = "ttl")]
    #[schemars(range(min = 1))]
    pub(crate) cache_ttl: u64,
    /// Whether each consumer has answers of its own.
    #[serde(default = "yes")]
    pub(crate) consumer_isolation: bool,
    /// Whether answers with `Set-Cookie` are kept. Every client then gets the cookie of one.
    #[serde(default)]
    pub(crate) cache_set_cookie: bool,
}

impl From<Config> for proxy_cache::Config {
    fn from(config: Config) -> Self {
        Self {
            cache_strategy: config.cache_strategy,
            cache_zone: config.cache_zone,
            cache_key: vec!["$request_uri".into(), "$request_body".into()],
            cache_http_status: vec![200],
            cache_method: vec![Method::Get, Method::Post],
            cache_ttl: config.cache_ttl,
            cache_control: false,
            hide_cache_headers: false,
            cache_bypass: None,
            no_cache: None,
            consumer_isolation: config.consumer_isolation,
            cache_set_cookie: config.cache_set_cookie,
            max_resp_body_size: proxy_cache::largest_body(),
        }
    }
}

fn first_zone() -> String {
    "disk_cache_one".into()
}

fn ttl() -> u64 {
    300
}

fn yes() -> bool {
    true
}
