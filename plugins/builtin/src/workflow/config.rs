//! Configuration of `workflow`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Does one thing with some requests and another with others: answers them, or limits them.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that a request matches decides.
    pub rules: Vec<Rule>,
}

/// What is done with some requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Conditions as on a route, all of which have to hold unless `"OR"` stands before them. Without it, the rule is for all
    /// requests.
    #[schemars(length(min = 1))]
    pub case: Option<Vec<Value>>,
    /// A list of pairs of a name and a configuration: `return` with `code` (100 to 599), `limit-count` or `limit-conn` with their
    /// own attributes. As in APISIX only the first pair counts; the others are checked.
    #[schemars(length(min = 1), inner(length(min = 2, max = 2)))]
    pub actions: Vec<Vec<Value>>,
}
