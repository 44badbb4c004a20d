//! Health checks of an upstream: what to probe, what to count, and what to do when no node is left.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{number, schema};

/// Health checks of an upstream. Passive checks need active ones beside them, which bring a node back.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checks {
    /// Probes of the gateway's own.
    pub active: Active,
    /// Counting of what clients saw; `None` counts nothing.
    pub passive: Option<Passive>,
    /// What to do when every node is unhealthy (an extension of Crossway). Default: use all of them.
    #[serde(default)]
    pub on_all_unhealthy: OnAllUnhealthy,
}

/// What to do when every node is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnAllUnhealthy {
    /// Ignore the health of the nodes, as APISIX does.
    #[default]
    UseAll,
    /// Refuse the request: fail closed.
    Fail,
}

/// The protocol of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// An HTTP request.
    #[default]
    Http,
    /// An HTTP request over TLS.
    Https,
    /// A TCP connection.
    Tcp,
}

/// Active checks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Active {
    /// What a probe is. Default http.
    pub r#type: Protocol,
    /// Seconds that a probe may take. Default 1.
    pub timeout: f64,
    /// Probes at the same time. Default 10.
    #[serde(deserialize_with = "number::required")]
    pub concurrency: u32,
    /// Host to send, instead of the node's.
    pub host: Option<String>,
    /// Port to probe, instead of the node's.
    #[serde(deserialize_with = "number::optional")]
    pub port: Option<u16>,
    /// Method of a probe. Default `GET`.
    pub http_method: String,
    /// Path of a probe. Default `/`.
    pub http_path: String,
    /// Body of a probe. Default empty.
    pub http_req_body: String,
    /// Whether the certificate of the node must be valid. Default true.
    pub https_verify_certificate: bool,
    /// More header lines, each `Name: value`.
    pub req_headers: Vec<String>,
    /// How healthy nodes are probed, and what makes a node healthy. An omitted object has its defaults,
    /// so that a node marked down is always probed again; APISIX stops probing in that case.
    pub healthy: ActiveHealthy,
    /// How unhealthy nodes are probed, and what makes a node unhealthy. As for `healthy`.
    pub unhealthy: ActiveUnhealthy,
}

impl Default for Active {
    fn default() -> Self {
        Self {
            r#type: Protocol::Http,
            timeout: 1.0,
            concurrency: 10,
            host: None,
            port: None,
            http_method: "GET".to_owned(),
            http_path: "/".to_owned(),
            http_req_body: String::new(),
            https_verify_certificate: true,
            req_headers: Vec::new(),
            healthy: ActiveHealthy::default(),
            unhealthy: ActiveUnhealthy::default(),
        }
    }
}

/// Probing of healthy nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActiveHealthy {
    /// Seconds between probes of a healthy node, at least 1. Default 1.
    #[serde(deserialize_with = "number::required")]
    pub interval: u32,
    /// Statuses that count as a success. Default 200, 302.
    #[serde(deserialize_with = "number::list")]
    pub http_statuses: Vec<u16>,
    /// Successes in a row that make a node healthy, 1 to 254. Default 2.
    #[serde(deserialize_with = "number::required")]
    pub successes: u8,
}

impl Default for ActiveHealthy {
    fn default() -> Self {
        Self {
            interval: 1,
            http_statuses: vec![200, 302],
            successes: 2,
        }
    }
}

/// Probing of unhealthy nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ActiveUnhealthy {
    /// Seconds between probes of an unhealthy node, at least 1. Default 1.
    #[serde(deserialize_with = "number::required")]
    pub interval: u32,
    /// Statuses that count as a failure. Default 429, 404, 500 to 505.
    #[serde(deserialize_with = "number::list")]
    pub http_statuses: Vec<u16>,
    /// Failing statuses that make a node unhealthy, 1 to 254. Default 5.
    #[serde(deserialize_with = "number::required")]
    pub http_failures: u8,
    /// Failed connections that make a node unhealthy, 1 to 254. Default 2.
    #[serde(deserialize_with = "number::required")]
    pub tcp_failures: u8,
    /// Timeouts that make a node unhealthy, 1 to 254. Default 3.
    #[serde(deserialize_with = "number::required")]
    pub timeouts: u8,
}

impl Default for ActiveUnhealthy {
    fn default() -> Self {
        Self {
            interval: 1,
            http_statuses: vec![429, 404, 500, 501, 502, 503, 504, 505],
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 3,
        }
    }
}

/// Passive checks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Passive {
    /// What is counted. Default http.
    pub r#type: Protocol,
    /// What makes a node healthy. An omitted object has its defaults.
    pub healthy: PassiveHealthy,
    /// What makes a node unhealthy. An omitted object has its defaults.
    pub unhealthy: PassiveUnhealthy,
}

/// What of the traffic makes a node healthy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassiveHealthy {
    /// Statuses that count as a success. Default 200 to 208, 226, 300 to 308.
    #[serde(deserialize_with = "number::list")]
    pub http_statuses: Vec<u16>,
    /// Successes in a row that make a node healthy, 0 to 254; 0 never does. Default 5.
    #[serde(deserialize_with = "number::required")]
    pub successes: u8,
}

impl Default for PassiveHealthy {
    fn default() -> Self {
        let http_statuses = (200..=208).chain([226]).chain(300..=308).collect();
        Self {
            http_statuses,
            successes: 5,
        }
    }
}

/// What of the traffic makes a node unhealthy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PassiveUnhealthy {
    /// Statuses that count as a failure. Default 429, 500, 503.
    #[serde(deserialize_with = "number::list")]
    pub http_statuses: Vec<u16>,
    /// Failing statuses that make a node unhealthy, 0 to 254; 0 never does. Default 5.
    #[serde(deserialize_with = "number::required")]
    pub http_failures: u8,
    /// Failed connections that make a node unhealthy, 0 to 254; 0 never does. Default 2.
    #[serde(deserialize_with = "number::required")]
    pub tcp_failures: u8,
    /// Timeouts that make a node unhealthy, 0 to 254; 0 never does. Default 7.
    #[serde(deserialize_with = "number::required")]
    pub timeouts: u8,
}

impl Default for PassiveUnhealthy {
    fn default() -> Self {
        Self {
            http_statuses: vec![429, 500, 503],
            http_failures: 5,
            tcp_failures: 2,
            timeouts: 7,
        }
    }
}

pub(super) fn schema() -> Value {
    let checks = schema::object([
        ("active", active()),
        ("passive", passive()),
        (
            "on_all_unhealthy",
            schema::described(
                schema::one_of(&["use_all", "fail"], "use_all"),
                "When every node is unhealthy: use all of them, or refuse the request (Crossway).",
            ),
        ),
    ]);
    schema::with(
        checks,
        json!({
            // Not `required`: so the refusal has the words that it has in APISIX.
            "anyOf": [{"required": ["active"]}],
            "description": "Health checks; passive ones need active ones beside them."
        }),
    )
}

fn protocol() -> Value {
    schema::described(
        schema::one_of(&["http", "https", "tcp"], "http"),
        "Protocol of the check.",
    )
}

fn count(least: i64, default: u8, description: &str) -> Value {
    schema::with(
        schema::integer_from(least, 254),
        json!({"default": default, "description": description}),
    )
}

fn statuses(default: &[u16]) -> Value {
    schema::with(
        schema::set(schema::integer_from(200, 599), 1),
        json!({"default": default, "description": "Statuses that count."}),
    )
}

fn interval() -> Value {
    schema::with(
        schema::integer_from(1, 1_000_000_000),
        json!({"default": 1, "description": "Seconds between probes."}),
    )
}

fn active() -> Value {
    let healthy = ActiveHealthy::default();
    let unhealthy = ActiveUnhealthy::default();
    schema::object([
        ("type", protocol()),
        (
            "timeout",
            schema::with(
                schema::positive_seconds(),
                json!({"default": 1, "description": "Seconds that a probe may take."}),
            ),
        ),
        (
            "concurrency",
            schema::with(
                schema::integer_from(1, u32::MAX.into()),
                json!({"default": 10, "description": "Probes at the same time."}),
            ),
        ),
        (
            "host",
            schema::described(schema::host(), "Host to send, instead of the node's."),
        ),
        (
            "port",
            schema::described(
                schema::integer_from(1, 65535),
                "Port, instead of the node's.",
            ),
        ),
        (
            "http_method",
            json!({"type": "string", "pattern": "^[A-Za-z]{1,32}$", "default": "GET"}),
        ),
        ("http_path", json!({"type": "string", "default": "/"})),
        ("http_req_body", json!({"type": "string", "default": ""})),
        ("https_verify_certificate", schema::boolean(true)),
        (
            "req_headers",
            schema::described(
                schema::set(schema::string(), 1),
                "More header lines: `Name: value`.",
            ),
        ),
        (
            "healthy",
            schema::object([
                ("interval", interval()),
                ("http_statuses", statuses(&healthy.http_statuses)),
                (
                    "successes",
                    count(1, healthy.successes, "Successes that make a node healthy."),
                ),
            ]),
        ),
        (
            "unhealthy",
            schema::object([
                ("interval", interval()),
                ("http_statuses", statuses(&unhealthy.http_statuses)),
                (
                    "http_failures",
                    count(1, unhealthy.http_failures, "Failing statuses."),
                ),
                (
                    "tcp_failures",
                    count(1, unhealthy.tcp_failures, "Failed connections."),
                ),
                ("timeouts", count(1, unhealthy.timeouts, "Timeouts.")),
            ]),
        ),
    ])
}

fn passive() -> Value {
    let healthy = PassiveHealthy::default();
    let unhealthy = PassiveUnhealthy::default();
    schema::object([
        ("type", protocol()),
        (
            "healthy",
            schema::object([
                ("http_statuses", statuses(&healthy.http_statuses)),
                (
                    "successes",
                    count(0, healthy.successes, "Successes that make a node healthy."),
                ),
            ]),
        ),
        (
            "unhealthy",
            schema::object([
                ("http_statuses", statuses(&unhealthy.http_statuses)),
                (
                    "http_failures",
                    count(0, unhealthy.http_failures, "Failing statuses; 0 is off."),
                ),
                (
                    "tcp_failures",
                    count(0, unhealthy.tcp_failures, "Failed connections; 0 is off."),
                ),
                (
                    "timeouts",
                    count(0, unhealthy.timeouts, "Timeouts; 0 is off."),
                ),
            ]),
        ),
    ])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::decode;

    /// APISIX probes an unhealthy node never again if only `healthy` is given.
    #[test]
    fn an_omitted_object_has_its_defaults() {
        let checks: Checks = decode(&json!({"active": {"healthy": {"interval": 3}}})).unwrap();
        assert_eq!(checks.active.healthy.interval, 3);
        assert_eq!(checks.active.healthy.successes, 2);
        assert_eq!(checks.active.unhealthy, ActiveUnhealthy::default());
        assert_eq!(checks.on_all_unhealthy, OnAllUnhealthy::UseAll);
        assert_eq!(checks.passive, None);
    }

    #[test]
    fn the_defaults_are_those_of_the_reference() {
        let checks: Checks = decode(&json!({"active": {}, "passive": {}})).unwrap();
        let passive = checks.passive.unwrap();
        assert_eq!(passive.healthy.http_statuses.len(), 19);
        assert_eq!(passive.unhealthy.timeouts, 7);
        assert_eq!(
            (
                checks.active.timeout,
                checks.active.concurrency,
                checks.active.http_path.as_str()
            ),
            (1.0, 10, "/")
        );
        assert!(checks.active.https_verify_certificate);
        assert_eq!(
            checks.active.unhealthy.http_statuses,
            [429, 404, 500, 501, 502, 503, 504, 505]
        );
    }
}
