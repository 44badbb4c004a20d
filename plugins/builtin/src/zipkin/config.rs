//! Configuration of `zipkin`.

use schemars::JsonSchema;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// Reports traces to Zipkin, and to whatever else takes its spans.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the collector, such as `http://127.0.0.1:9411/api/v2/spans`.
    pub(super) endpoint: String,
    /// The part of requests that is traced, unless the client says of a request whether it is.
    #[schemars(range(min = 0.00001, max = 1.0))]
    pub(super) sample_ratio: f64,
    /// Name of this service in spans.
    #[serde(default = "service_name")]
    pub(super) service_name: String,
    /// IPv4 address of this service in spans; by default the one that the client connected to.
    #[schemars(with = "Option<String>")]
    pub(super) server_addr: Option<Ipv4Addr>,
    /// Which spans there are. 2: one of the request, and in it one until the response began and one of the response. 1: one of the
    /// request, and in it those of the phases `rewrite`, `access` and `proxy`, and in the last one `body_filter`.
    #[serde(default = "span_version")]
    #[schemars(range(min = 1, max = 2))]
    pub(super) span_version: u8,
}

fn service_name() -> String {
    "APISIX".to_owned()
}

fn span_version() -> u8 {
    2
}
