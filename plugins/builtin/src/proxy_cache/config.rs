//! The configuration of proxy-cache.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps responses of the upstream and answers with them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where responses are kept.
    #[serde(default)]
    pub(crate) cache_strategy: Strategy,
    /// The zone to keep them in: one of `plugin_attr.proxy-cache.zones`, of the kind that `cache_strategy` asks for.
    #[serde(default = "first_zone")]
    #[schemars(length(min = 1, max = 100))]
    pub(crate) cache_zone: String,
    /// What tells one response from another: texts, each constant or a `$variable`. The scheme, the host, the route and
    /// the consumer count in any case.
    #[serde(default = "host_and_target")]
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"(^[^\$].+$|^\$[0-9a-zA-Z_]+$)"))
    )]
    pub(crate) cache_key: Vec<String>,
    /// Statuses that are kept.
    #[serde(default = "kept_statuses")]
    #[schemars(length(min = 1), inner(range(min = 200, max = 599)), extend("uniqueItems" = true))]
    pub(crate) cache_http_status: Vec<u16>,
    /// Methods that are answered from the cache.
    #[serde(default = "reading_methods")]
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    pub(crate) cache_method: Vec<Method>,
    /// Seconds for which a response is kept in memory, unless `cache_control` says otherwise. On disk `Cache-Control` and
    /// `Expires` of the upstream decide, or `plugin_attr.proxy-cache.cache_ttl`.
    #[serde(default = "ttl")]
    #[schemars(range(min = 1))]
    pub(crate) cache_ttl: u64,
    /// Whether `Cache-Control` of the request is heeded, and that of the response says how long it is kept.
    #[serde(default)]
    pub(crate) cache_control: bool,
    /// Whether `Expires` and `Cache-Control` are kept from the client.
    #[serde(default)]
    pub(crate) hide_cache_headers: bool,
    /// Texts, each constant or a `$variable`: when one of them is neither empty nor `0`, the cache is not asked.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"(^[^\$].+$|^\$[0-9a-zA-Z_]+$)"))
    )]
    pub(crate) cache_bypass: Option<Vec<String>>,
    /// Texts, each constant or a `$variable`: when one of them is neither empty nor `0`, the response is not kept.
    #[schemars(
        length(min = 1),
        inner(regex(pattern = r"(^[^\$].+$|^\$[0-9a-zA-Z_]+$)"))
    )]
    pub(crate) no_cache: Option<Vec<String>>,
    /// Whether each consumer has responses of its own.
    #[serde(default = "yes")]
    pub(crate) consumer_isolation: bool,
    /// Whether responses with `Set-Cookie` are kept. Every client then gets the cookie of one.
    #[serde(default)]
    pub(crate) cache_set_cookie: bool,
    /// The largest body that is kept, in bytes.
    #[serde(default = "largest_body")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_size: u64,
}

/// Where responses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Strategy {
    /// In files.
    #[default]
    Disk,
    /// In memory.
    Memory,
}

/// A method whose responses may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(inline)]
pub(crate) enum Method {
    /// Kept, and answers HEAD too.
    Get,
    /// Kept by the same key, apart from GET: the body of the request does not count unless the key holds it.
    Post,
    /// Answered from what GET brought.
    Head,
}

fn first_zone() -> String {
    "disk_cache_one".into()
}

fn host_and_target() -> Vec<String> {
    vec!["$host".into(), "$request_uri".into()]
}

fn kept_statuses() -> Vec<u16> {
    vec![200, 301, 404]
}

fn reading_methods() -> Vec<Method> {
    vec![Method::Get, Method::Head]
}

fn ttl() -> u64 {
    300
}

pub(crate) fn largest_body() -> u64 {
    64 * 1024 * 1024
}

fn yes() -> bool {
    true
}
