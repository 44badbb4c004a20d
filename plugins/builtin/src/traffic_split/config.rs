//! The configuration of traffic-split.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Sends parts of the traffic to other upstreams.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The first rule that a request matches decides; without one the route's upstream serves.
    #[serde(default)]
    pub(crate) rules: Vec<Rule>,
}

/// For some requests, upstreams with weights.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    /// Which requests the rule is for: those that meet any of these. Without it, all.
    #[serde(rename = "match")]
    pub(crate) matches: Option<Vec<Match>>,
    /// Where they go, each upstream in proportion to its weight.
    #[serde(default = "own_upstream")]
    #[schemars(length(min = 1, max = 20))]
    pub(crate) weighted_upstreams: Vec<Weighted>,
}

/// Conditions, all of which have to hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Match {
    /// As on a route.
    #[schemars(extend("type" = "array"))]
    pub(crate) vars: Value,
}

/// An upstream and its weight. Without `upstream_id` and `upstream` it is the route's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Weighted {
    /// Id of an upstream; wins over `upstream`.
    pub(crate) upstream_id: Option<Id>,
    /// An upstream that is written here: `name`, `type`, `hash_on`, `key`, `nodes`, `timeout`, `scheme`, `pass_host`
    /// and `upstream_host`. As in APISIX, retries, keepalive, TLS and health checks have no effect here.
    #[schemars(extend("type" = ["object", "null"]))]
    pub(crate) upstream: Option<Value>,
    /// Its share is its weight among the weights of the rule.
    #[serde(default = "one")]
    pub(crate) weight: u32,
}

/// An id: a text or a number.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Id {
    /// A text.
    Text(#[schemars(regex(pattern = "^[a-zA-Z0-9-_.]+$"), length(min = 1, max = 64))] String),
    /// A number.
    Number(#[schemars(range(min = 1))] u64),
}

impl Id {
    /// As a text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
        }
    }
}

fn one() -> u32 {
    1
}

fn own_upstream() -> Vec<Weighted> {
    vec![Weighted {
        upstream_id: None,
        upstream: None,
        weight: 1,
    }]
}
