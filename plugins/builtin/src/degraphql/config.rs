//! The configuration of degraphql.

use schemars::JsonSchema;
use serde::Deserialize;

/// Makes a GraphQL request out of a plain one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The GraphQL document that the upstream gets.
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) query: String,
    /// Names of its variables: they are taken from the query string of a GET, and from the JSON body of a POST.
    #[schemars(length(min = 1))]
    pub(crate) variables: Option<Vec<String>>,
    /// Which of its operations is meant. Needed when there are several.
    #[schemars(length(min = 1, max = 1024))]
    pub(crate) operation_name: Option<String>,
}
