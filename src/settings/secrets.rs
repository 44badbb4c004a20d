//! Settings of values that configurations refer to. The managers themselves are resources: `secrets`.

use super::value::Seconds;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// Values that configurations refer to by `$secret://`. Where they are kept is told by the resources `secrets`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Secrets {
    /// Seconds after which a value is fetched again. Until the answer is there the old one serves.
    #[schemars(range(min = 1))]
    #[schemars(extend("x-applies" = "live"))]
    pub ttl: Seconds,
    /// Seconds after which a manager is asked again that gave no answer, or no value.
    #[schemars(range(min = 1))]
    #[schemars(extend("x-applies" = "live"))]
    pub retry: Seconds,
    /// Seconds for which the last value serves on while its manager cannot be reached; 0 for none. A manager that answers that
    /// it has no such secret ends it at once.
    #[schemars(extend("x-applies" = "live"))]
    pub keep: Seconds,
    /// Seconds that a manager has for an answer.
    #[schemars(range(min = 1, max = 60))]
    #[schemars(extend("x-applies" = "live"))]
    pub timeout: Seconds,
}

impl Default for Secrets {
    fn default() -> Self {
        let seconds = |count| Seconds(Duration::from_secs(count));
        Self {
            ttl: seconds(300),
            retry: seconds(60),
            keep: seconds(86_400),
            timeout: seconds(5),
        }
    }
}
