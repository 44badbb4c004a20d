//! The configuration of fault-injection.

use crate::rewrite::headers::WrittenMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

/// Answers or delays requests on purpose. At least one of `abort` and `delay`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Config {
    /// Answers in place of the upstream.
    #[serde(default)]
    #[schemars(with = "Abort")]
    pub(crate) abort: Option<Abort>,
    /// Lets the request wait; before it is answered, when both are hit.
    #[serde(default)]
    #[schemars(with = "Delay")]
    pub(crate) delay: Option<Delay>,
}

/// An answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Abort {
    /// Its status.
    #[schemars(range(min = 200, max = 999))]
    pub(crate) http_status: u16,
    /// Its body, with `$variables`. Without it the gateway's error page is sent from status 400 on.
    pub(crate) body: Option<String>,
    /// Its headers; values may have `$variables`.
    #[schemars(extend("minProperties" = 1))]
    pub(crate) headers: Option<WrittenMap>,
    /// How many of a hundred requests are answered. Without it, all.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) percentage: Option<u8>,
    /// Expressions as on a route, any of which has to hold.
    #[schemars(length(max = 20))]
    pub(crate) vars: Option<Vec<Value>>,
}

/// A delay.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Delay {
    /// In seconds; may be a fraction.
    #[schemars(range(min = 0))]
    pub(crate) duration: f64,
    /// How many of a hundred requests wait. Without it, all.
    #[schemars(range(min = 0, max = 100))]
    pub(crate) percentage: Option<u8>,
    /// Expressions as on a route, any of which has to hold.
    #[schemars(length(max = 20))]
    pub(crate) vars: Option<Vec<Value>>,
}
