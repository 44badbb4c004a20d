//! Configuration of `traffic-label`.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Marks requests with headers, by conditions and by weight.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that a request matches marks it.
    #[schemars(length(min = 1))]
    pub(crate) rules: Vec<Rule>,
}

/// Marks for some requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Conditions as on a route, all of which have to hold unless `"OR"` stands before them. Without it, the rule is for all
    /// requests.
    #[serde(rename = "match")]
    #[schemars(length(min = 1))]
    pub(crate) matches: Option<Vec<Value>>,
    /// Of these each request gets one, in turns by weight.
    #[schemars(length(min = 1))]
    pub(crate) actions: Vec<Action>,
}

/// What a request gets.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    /// Headers that are set on the request, with `$variables`. Without it, the next rule is looked at.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) set_headers: Option<WrittenMap>,
    /// Its share is its weight among those of the rule.
    #[serde(default = "one")]
    #[schemars(range(min = 1))]
    pub(crate) weight: u32,
}

fn one() -> u32 {
    1
}
