//! Configuration of `consumer-restriction`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Admits or refuses by the consumer, its group, the route or the service. At least one of `whitelist`, `blacklist` and
/// `allowed_by_methods` must be there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What the lists name.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// Only these are admitted, and with every method.
    #[schemars(length(min = 1))]
    pub whitelist: Option<Vec<String>>,
    /// These are refused; looked at first.
    #[schemars(length(min = 1))]
    pub blacklist: Option<Vec<String>>,
    /// Methods that those named here may use. Who is not named here may use all.
    pub allowed_by_methods: Option<Vec<MethodsOf>>,
    /// Status of a refusal.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 999))]
    pub rejected_code: u16,
    /// Message of a refusal, in place of `The <type> is forbidden.`
    pub rejected_msg: Option<String>,
}

/// What a list names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// User names of consumers.
    #[default]
    ConsumerName,
    /// Ids of services.
    ServiceId,
    /// Ids of routes.
    RouteId,
    /// Ids of consumer groups.
    ConsumerGroupId,
}

impl Kind {
    /// As it is written in the configuration and in replies.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ConsumerName => "consumer_name",
            Self::ServiceId => "service_id",
            Self::RouteId => "route_id",
            Self::ConsumerGroupId => "consumer_group_id",
        }
    }
}

/// The methods of one name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodsOf {
    /// The name.
    pub user: String,
    /// The methods that it may use.
    #[schemars(length(min = 1))]
    pub methods: Vec<Method>,
}

/// A method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "they say all there is to say")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
    Purge,
}

impl Method {
    /// As it stands in a request line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Purge => "PURGE",
        }
    }
}

fn forbidden() -> u16 {
    403
}
