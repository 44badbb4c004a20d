//! The attributes that all limits have: the answer for those over the limit, and where counters live.

use super::redis::{self, Link, Redis};
use crossway_sdk::{
    build::{BuildCx, BuildError},
    flow::Reply,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Attributes of every limit.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Common {
    /// Status of a rejection.
    #[serde(default = "rejected_code")]
    #[schemars(range(min = 200, max = 599))]
    rejected_code: u16,
    /// Text of a rejection, sent as `{"error_msg": …}`. Without it the gateway's error page is sent.
    #[schemars(length(min = 1))]
    rejected_msg: Option<String>,
    /// Whether requests pass when the limit cannot be judged: Redis gives no answer, a variable is no number. Else they
    /// get a 500.
    #[serde(default)]
    pub(crate) allow_degradation: bool,
    /// Where counters live.
    #[serde(default)]
    policy: Policy,
}

/// Where counters live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum Policy {
    /// In this process.
    #[default]
    Local,
    /// In one Redis server.
    Redis,
    /// In a Redis cluster.
    RedisCluster,
    /// In the Redis server that sentinels name.
    RedisSentinel,
}

impl Common {
    /// The answer for a request over its limit: `{"error_msg": …}` when there is a message, else the gateway's error
    /// page.
    pub(crate) fn rejection(&self) -> Reply {
        match &self.rejected_msg {
            Some(message) => Reply::error_msg(self.rejected_code, message),
            None => Reply::status(self.rejected_code),
        }
    }

    /// The way to Redis; `None` when counters live in this process.
    ///
    /// # Errors
    /// An attribute that the policy needs is missing or cannot be used.
    pub(crate) fn link(
        &self,
        redis: &Redis,
        cx: &BuildCx<'_>,
    ) -> Result<Option<Arc<Link>>, BuildError> {
        redis::link(self.policy, redis, cx)
    }
}

fn rejected_code() -> u16 {
    503
}
