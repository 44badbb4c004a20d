//! Spans as Zipkin takes them (<https://zipkin.io/zipkin-api/>, version 2).

use serde::Serialize;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A span.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    pub(super) trace_id: Arc<str>,
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_id: Option<String>,
    pub(super) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    /// Microseconds since 1970.
    pub(super) timestamp: u64,
    /// Microseconds.
    pub(super) duration: u64,
    pub(super) local_endpoint: Arc<Endpoint>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remote_endpoint: Option<Endpoint>,
    pub(super) tags: BTreeMap<&'static str, String>,
}

/// A place in the network.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ipv4: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ipv6: Option<IpAddr>,
    pub(super) port: u16,
}

impl Endpoint {
    pub(super) fn new(service_name: Option<String>, ip: IpAddr, port: u16) -> Self {
        Self {
            service_name,
            ipv4: Some(ip).filter(IpAddr::is_ipv4),
            ipv6: Some(ip).filter(IpAddr::is_ipv6),
            port,
        }
    }
}

/// Microseconds; never 0, which Zipkin takes for unknown.
pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1)
}

/// Microseconds since 1970.
pub(super) fn since_1970(at: SystemTime) -> u64 {
    micros(
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}
