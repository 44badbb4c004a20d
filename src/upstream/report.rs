//! What the status API says of an upstream's health.

use super::Upstream;
use serde::Serialize;
use std::sync::Arc;

/// Health of an upstream's nodes, in the shape of `/v1/healthcheck`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The upstream's key, e.g. `upstreams/1`; APISIX writes `/apisix/` before it.
    pub name: Arc<str>,
    /// `http`, `https`, `tcp`; `http` when there are passive checks alone.
    pub r#type: &'static str,
    /// In the order in which they are tried.
    pub nodes: Vec<NodeReport>,
}

/// Health of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeReport {
    /// An address of it; its host as long as that is not resolved.
    pub ip: String,
    /// Its port.
    pub port: u16,
    /// Its host as configured.
    pub hostname: Arc<str>,
    /// `healthy`, `mostly_healthy`, `mostly_unhealthy`, `unhealthy`.
    pub status: &'static str,
    /// Observations that count.
    pub counter: CounterReport,
}

/// Observations that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CounterReport {
    /// Successes.
    pub success: u8,
    /// Connections that failed.
    pub tcp_failure: u8,
    /// Statuses that mean failure.
    pub http_failure: u8,
    /// Answers that did not come in time.
    pub timeout_failure: u8,
}

impl Upstream {
    /// Health of the nodes; `None` when the upstream has no checks.
    pub fn report(&self) -> Option<Report> {
        let checks = self.spec().checks.as_ref()?;
        let node = |node: &Arc<super::Node>| {
            let (health, counters) = node.health_and_counters();
            let ip = node.addresses().first().map(ToString::to_string);
            NodeReport {
                ip: ip.unwrap_or_else(|| node.host().to_string()),
                port: node.port(),
                hostname: node.host().clone(),
                status: health.as_str(),
                counter: CounterReport {
                    success: counters.success,
                    tcp_failure: counters.tcp_failure,
                    http_failure: counters.http_failure,
                    timeout_failure: counters.timeout_failure,
                },
            }
        };
        Some(Report {
            name: self.spec().key.clone(),
            r#type: checks
                .active
                .as_ref()
                .map_or("http", |active| active.kind.as_str()),
            nodes: self.nodes().iter().map(node).collect(),
        })
    }
}
