//! Configuration of `cors`, and its metadata.

use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `*`, `**`, `null`, or origins such as `https://a.example:8443` with commas between them.
pub(super) const ORIGINS: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

/// Lets pages of other origins read the responses (Cross-Origin Resource Sharing), and answers every OPTIONS request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Origins that may read: `*` for all, `**` for all with the origin echoed, `null`, or a list with commas.
    #[serde(default = "all")]
    #[schemars(regex(pattern = ORIGINS))]
    pub allow_origins: String,
    /// Methods with commas between them, `*`, or `**` for all that are known.
    #[serde(default = "all")]
    pub allow_methods: String,
    /// Request headers with commas between them, `*`, or `**` to echo what the browser asks for.
    #[serde(default = "all")]
    pub allow_headers: String,
    /// Response headers that a page may read, with commas between them.
    pub expose_headers: Option<String>,
    /// Seconds for which a browser may keep the answer; -1 for not at all.
    #[serde(default = "five")]
    pub max_age: i64,
    /// Whether a page may send cookies and other credentials. Then no option may be `*`.
    #[serde(default)]
    pub allow_credential: bool,
    /// Regular expressions of origins that may read, searched anywhere in the origin. They take the place of `allow_origins`.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    pub allow_origins_by_regex: Option<Vec<String>>,
    /// Names under which the plugin's metadata lists origins that may read.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    pub allow_origins_by_metadata: Option<Vec<String>>,
    /// Origins that may see timings, as in `allow_origins`.
    #[schemars(regex(pattern = ORIGINS))]
    pub timing_allow_origins: Option<String>,
    /// Regular expressions of origins that may see timings. They take the place of `timing_allow_origins`.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    pub timing_allow_origins_by_regex: Option<Vec<String>>,
}

/// Metadata of `cors`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// Lists of origins, as in `allow_origins`, by the name under which `allow_origins_by_metadata` refers to them.
    #[serde(default)]
    #[schemars(extend("additionalProperties" = {"type": "string", "pattern": ORIGINS}))]
    pub allow_origins: BTreeMap<String, String>,
}

fn all() -> String {
    "*".to_owned()
}

fn five() -> i64 {
    5
}
