//! What an explanation says. It goes out as JSON and comes back in from a gateway that was asked over HTTP.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// What would become of a request, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Revision of the configuration that was asked.
    pub revision: u64,
    /// The request as the gateway reads it.
    pub request: RequestReport,
    /// What becomes of it, as far as routes and upstreams decide that.
    pub answer: Answer,
    /// The route that takes it.
    pub route: Option<RouteReport>,
    /// The routes that were considered, in the order tried: at most the first twenty, and the one that takes the request.
    pub candidates: Vec<CandidateReport>,
    /// Routes that would fit and are switched off.
    pub disabled: Vec<CandidateReport>,
    /// Plugins of the global rules, in running order.
    pub global_plugins: Vec<PluginReport>,
    /// Plugins of the route and of what it refers to, with those of the consumer, in running order.
    pub plugins: Vec<PluginReport>,
    /// Plugins that are configured for this request and do not run.
    pub left_out: Vec<LeftOut>,
    /// The consumer that was named in the question.
    pub consumer: Option<ConsumerReport>,
    /// Where the route sends the request.
    pub upstream: Option<UpstreamReport>,
    /// Variables that some condition asked for and that the question does not settle. They were taken as absent.
    pub unknown: Vec<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

/// The request as the gateway reads it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `Question`
pub struct RequestReport {
    pub method: String,
    /// Lower case, without port and final dot.
    pub host: String,
    /// The target as it was given.
    pub uri: String,
    /// The normal path that routes are found by; `None` when the target is refused.
    pub path: Option<String>,
    pub remote_addr: IpAddr,
    pub scheme: String,
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Answer {
    /// It goes to the upstream, unless a plugin answers.
    Forwarded {
        /// Why this route takes it.
        why: String,
    },
    /// The gateway itself answers, unless a plugin does before.
    Status {
        /// With this status.
        status: u16,
        /// Why.
        why: String,
    },
    /// It depends on the request body, which is no part of a question.
    Open {
        /// What does.
        why: String,
    },
}

/// The route that takes the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteReport {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: Option<String>,
    /// Id of its service.
    pub service: Option<String>,
    /// Name of its service.
    pub service_name: Option<String>,
    /// The path pattern that fits.
    pub path: String,
    /// The host pattern that fits; `None` when it serves every host.
    pub host: Option<String>,
    /// Values of parameters in the path pattern.
    pub parameters: Vec<(String, String)>,
    /// Whether a client may upgrade to WebSocket.
    pub websocket: bool,
}

/// A route that was considered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CandidateReport {
    /// Its id.
    pub route: String,
    /// Its name.
    pub name: Option<String>,
    /// The path pattern under which it was considered.
    pub path: String,
    /// The host pattern under which it was considered; `None` when it serves every host, or was refused for its hosts.
    pub host: Option<String>,
    /// Its priority.
    pub priority: i64,
    /// What became of it.
    pub fate: Fate,
    /// Why it lost: `method`, `remote_addr`, `host`, `path`, `vars`.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It takes the request.
    Won,
    /// It does not fit.
    Lost,
    /// Whether it fits depends on the body.
    Open,
    /// It fits, but one above takes the request.
    Shadowed,
    /// It fits, and is switched off.
    Disabled,
}

/// A plugin that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PluginReport {
    /// Its name.
    pub name: String,
    /// Its priority in this place; higher runs first.
    pub priority: i32,
    /// `service`, `plugin_config`, `route`, `consumer_group`, `consumer`, `global_rule`.
    pub level: String,
    /// The resource that holds its configuration.
    pub origin: String,
    /// The phases that it takes part in, in their order.
    pub phases: Vec<String>,
    /// Its `_meta.filter`.
    pub filter: Option<FilterReport>,
    /// What is special about it here.
    pub notes: Vec<String>,
}

/// What a `_meta.filter` says about the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilterReport {
    /// The condition.
    pub expression: String,
    /// Whether the plugin runs; `None` when that depends on the body.
    pub runs: Option<bool>,
    /// Why it does not.
    pub why: Option<String>,
}

/// A plugin that is configured and does not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in `PluginReport`
pub struct LeftOut {
    pub name: String,
    pub level: String,
    pub origin: String,
    /// Why not.
    pub why: String,
}

/// The consumer that was named in the question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConsumerReport {
    /// Its user name.
    pub username: String,
    /// Whether there is one of that name.
    pub found: bool,
    /// Id of its group.
    pub group: Option<String>,
}

/// Where the route sends the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpstreamReport {
    /// Its identity: `upstreams/1`, `routes/7#upstream`.
    pub key: String,
    /// Its name.
    pub name: String,
    /// The resource that names it: the route or its service.
    pub named_by: String,
    /// `http`, `https`, `grpc`, `grpcs`.
    pub scheme: String,
    /// The balancer.
    pub balance: String,
    /// Which `Host` nodes get: `pass`, `node` or the host itself.
    pub pass_host: String,
    /// How often a request may be tried in all.
    pub attempts: u32,
    /// Timeouts in seconds, the route's own if it has any.
    pub timeouts: TimeoutReport,
    /// Whether it has health checks.
    pub checked: bool,
    /// The nodes, highest priority first.
    pub nodes: Vec<NodeReport>,
    /// What keeps nodes from being used.
    pub notes: Vec<String>,
}

/// Timeouts in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // as in the configuration
pub struct TimeoutReport {
    pub connect: f64,
    pub send: f64,
    pub read: f64,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Name or address as configured.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Weight.
    pub weight: u32,
    /// Priority; higher ones go first.
    pub priority: i32,
    /// `healthy`, `mostly_healthy`, `mostly_unhealthy`, `unhealthy`; `None` when nothing checks.
    pub health: Option<String>,
    /// Its addresses; none as long as a name is not resolved.
    pub addresses: Vec<IpAddr>,
    /// Requests that are under way there.
    pub in_flight: u32,
}
