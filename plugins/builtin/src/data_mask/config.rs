//! Configuration of `data-mask`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Hides parts of requests from loggers and the access log. The upstream gets them as they came.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What is hidden.
    #[serde(default)]
    pub request: Vec<Rule>,
    /// The largest body that is masked, in bytes. A larger one is not logged.
    #[serde(default = "one_mebibyte")]
    #[schemars(range(min = 1))]
    pub max_body_size: usize,
    /// How many fields of a form are masked and logged; 0 for all.
    #[serde(default = "hundred")]
    pub max_req_post_args: usize,
}

/// One thing that is hidden.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Where it stands.
    #[serde(rename = "type")]
    pub place: Place,
    /// How the body is read; must be there with `type` `body`.
    pub body_format: Option<Format>,
    /// Name of the argument, the header or the field of a form; in JSON, a JSONPath such as `$.users[*].token`.
    pub name: String,
    /// What becomes of it.
    pub action: Action,
    /// With `action` `regex`: the regular expression whose first match is replaced.
    pub regex: Option<String>,
    /// With `action` `replace` or `regex`: what takes its place, for `regex` with groups (`$1`).
    pub value: Option<String>,
}

/// Where something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the query.
    Query,
    /// In a header.
    Header,
    /// In the body.
    Body,
}

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// As JSON.
    Json,
    /// As a form.
    Urlencoded,
}

/// What becomes of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A part of it is replaced.
    Regex,
    /// It is replaced.
    Replace,
    /// It is taken out.
    Remove,
}

fn one_mebibyte() -> usize {
    1024 * 1024
}

fn hundred() -> usize {
    100
}
