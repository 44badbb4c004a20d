//! The configuration of redirect.

use schemars::JsonSchema;
use serde::Deserialize;

/// Sends the client elsewhere. Exactly one of `uri`, `regex_uri` and `http_to_https`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to: a URI with `$variables`.
    #[schemars(length(min = 2))]
    pub(crate) uri: Option<String>,
    /// A regular expression for the path, and what takes the place of a match, with groups (`$1`). A request whose
    /// path does not match is not redirected.
    #[schemars(length(min = 2, max = 2))]
    pub(crate) regex_uri: Option<Vec<String>>,
    /// Whether to send requests by http to the same URI by https: with status 301 for GET and HEAD, 308 for others.
    pub(crate) http_to_https: Option<bool>,
    /// Status of the redirection by `uri` and `regex_uri`.
    #[serde(default = "found")]
    #[schemars(range(min = 200, max = 999))]
    pub(crate) ret_code: u16,
    /// Whether to percent-encode the path of the new URI.
    #[serde(default)]
    pub(crate) encode_uri: bool,
    /// Whether to append the query string of the request; not with `http_to_https`, which keeps it anyway.
    #[serde(default)]
    pub(crate) append_query_string: bool,
}

fn found() -> u16 {
    302
}
