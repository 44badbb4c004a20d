//! Configuration of `grpc-web`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Lets browsers call gRPC services: gRPC-Web in, gRPC to the upstream, and back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `Access-Control-Allow-Headers` of the answer to a preflight request, with commas between the names.
    #[serde(default = "cors_allow_headers")]
    pub(crate) cors_allow_headers: String,
    /// The largest request body, in bytes. A larger one gets 413.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_req_body_size: usize,
}

fn cors_allow_headers() -> String {
    "content-type,x-grpc-web,x-user-agent".to_owned()
}

fn largest() -> usize {
    64 * 1024 * 1024
}
