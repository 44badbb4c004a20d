//! The configuration of response-rewrite.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Changes the response that the client gets, whoever made it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// New status.
    #[schemars(range(min = 200, max = 598))]
    pub(crate) status_code: Option<u16>,
    /// New body. Not together with `filters`.
    pub(crate) body: Option<String>,
    /// Whether `body` is written in base64.
    #[serde(default)]
    pub(crate) body_base64: bool,
    /// Edits of response headers: `add`, `set` and `remove`, or a map of headers to set. Values may have `$variables`.
    pub(crate) headers: Option<Headers>,
    /// Substitutions in the body, one after the other. Bodies in gzip and brotli are decoded first.
    #[schemars(length(min = 1))]
    pub(crate) filters: Option<Vec<Filter>>,
    /// Which responses are changed, as on a route; `status` and `sent_http_…` are those of the response. Without it,
    /// all.
    #[schemars(extend("type" = ["array", "null"]))]
    pub(crate) vars: Option<Value>,
    /// The largest body that `filters` take, in bytes, also after decoding. A larger one ends as incomplete.
    #[serde(default = "largest")]
    #[schemars(range(min = 1))]
    pub(crate) max_resp_body_size: u64,
}

/// Edits of headers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Headers {
    /// Each kind of edit by itself.
    Edits(EditsConfig),
    /// Headers to set.
    Set(#[schemars(extend("minProperties" = 1))] WrittenMap),
}

/// Edits of headers, made in the order add, set, remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline, extend("minProperties" = 1))]
pub(crate) struct EditsConfig {
    /// Headers to add beside those that are there, each as `name: value`.
    #[schemars(length(min = 1))]
    pub(crate) add: Option<Vec<String>>,
    /// Headers to set; an empty value removes.
    pub(crate) set: Option<WrittenMap>,
    /// Headers to remove.
    #[schemars(length(min = 1))]
    pub(crate) remove: Option<Vec<String>>,
}

/// A substitution.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    /// A regular expression.
    #[schemars(length(min = 1))]
    pub(crate) regex: String,
    /// What takes the place of a match: `$1` is a group, `$$` a dollar sign.
    pub(crate) replace: String,
    /// Whether the first match is replaced, or all.
    #[serde(default)]
    pub(crate) scope: Scope,
    /// Letters, as OpenResty has them: `i` ignores case, `s` lets `.` match line feeds, `m` lets `^` and `$` match at
    /// lines, `x` allows comments. `j`, `o`, `u`, `U`, `d` and `J` are taken and change nothing.
    #[serde(default = "options")]
    pub(crate) options: String,
}

/// Which matches are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Scope {
    /// The first.
    #[default]
    Once,
    /// All.
    Global,
}

fn options() -> String {
    "jo".into()
}

fn largest() -> u64 {
    64 * 1024 * 1024
}
