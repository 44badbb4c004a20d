//! Configuration of `authz-casbin`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Admits requests by a Casbin model and policy: `model_path` and `policy_path`, or `model` and `policy`, or those of the
/// metadata. The model's request is the user, the path and the method.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// File with the model; read when the first request needs it.
    pub model_path: Option<String>,
    /// File with the policy, in CSV; read with the model.
    pub policy_path: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The policy, in CSV.
    pub policy: Option<String>,
    /// Header that names the user. A request without it is that of `anonymous`.
    pub username: String,
}

/// Model and policy for places that have none of their own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The model.
    pub model: String,
    /// The policy, in CSV.
    pub policy: String,
}
