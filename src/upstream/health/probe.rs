//! The rounds of probes of an upstream: when, which nodes, and what the verdicts mean.
//!
//! One task per upstream, not a thread. Nodes in use and nodes out of use have rounds of their own, each with its
//! interval.

use super::{
    checks::{Active, ProbeKind},
    http::HttpProbe,
    state::Observation,
    tcp::TcpProbe,
};
use crate::upstream::{node::Node, place::Place, spec::Spec};
use async_trait::async_trait;
use futures::StreamExt;
use pingora_core::connectors::{ConnectorOptions, http::Connector};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{sync::Semaphore, time};

/// Asks one node how it is. A new kind of probe is a file beside this one and a line in `probe_of`.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Probes the node at `address`. The caller bounds the time.
    async fn check(&self, node: &Node, address: &Place) -> Verdict;
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// An answer with this status.
    Status(u16),
    /// A connection, where that is all that is asked.
    Connected,
    /// No connection, or a broken one, and why.
    Failed(String),
    /// Nothing in time.
    TimedOut,
}

fn probe_of(active: &Active, spec: &Arc<Spec>, connector: &Arc<ProbeConnector>) -> Box<dyn Probe> {
    match active.kind {
        ProbeKind::Tcp => {
            // Where checks have a port of their own, something else listens.
            let protocol = spec.proxy_protocol.filter(|_| active.port.is_none());
            let header = protocol.map_or(&b""[..], |protocol| protocol.own());
            Box::new(TcpProbe { header })
        }
        ProbeKind::Http | ProbeKind::Https => Box::new(HttpProbe::new(
            active.clone(),
            spec.clone(),
            connector.clone(),
        )),
    }
}

/// Probes of all upstreams at the same time.
const MAX_PROBES: usize = 1024;

/// Rounds of different upstreams, and of restarted ones, start at different moments within this time.
const MAX_STAGGER: Duration = Duration::from_secs(1);

/// What all probes share.
pub(crate) struct ProbeConnector {
    ca_file: Option<String>,
    http: OnceLock<Connector>,
    permits: Semaphore,
}

impl ProbeConnector {
    pub(crate) fn new(ca_file: Option<String>) -> Self {
        Self {
            ca_file,
            http: OnceLock::new(),
            permits: Semaphore::new(MAX_PROBES),
        }
    }

    /// Made at the first HTTP probe: it reads the system's certificates.
    pub(super) fn http(&self) -> &Connector {
        self.http.get_or_init(|| {
            let mut options = ConnectorOptions::new(1);
            options.ca_file.clone_from(&self.ca_file);
            Connector::new(Some(options))
        })
    }
}

/// Probes for ever; ends when neither kind of node is to be probed.
pub(crate) async fn run(
    spec: Arc<Spec>,
    active: Active,
    nodes: Vec<Arc<Node>>,
    connector: Arc<ProbeConnector>,
) {
    let probe = probe_of(&active, &spec, &connector);
    let rounds = Rounds {
        active,
        probe,
        nodes,
        connector,
    };
    let (healthy, unhealthy) = (
        rounds.active.healthy.interval,
        rounds.active.unhealthy.interval,
    );
    futures::join!(
        rounds.repeat(true, healthy),
        rounds.repeat(false, unhealthy)
    );
}

struct Rounds {
    active: Active,
    probe: Box<dyn Probe>,
    nodes: Vec<Arc<Node>>,
    connector: Arc<ProbeConnector>,
}

impl Rounds {
    /// Probes the nodes that are in use, or those that are not, every `interval`.
    async fn repeat(&self, in_use: bool, interval: Duration) {
        if interval.is_zero() {
            return;
        }
        time::sleep(interval.min(MAX_STAGGER).mul_f32(rand::random())).await;
        let mut ticks = time::interval(interval);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let nodes = self
                .nodes
                .iter()
                .filter(|node| node.health().is_usable() == in_use);
            futures::stream::iter(nodes)
                .for_each_concurrent(self.active.concurrency.max(1), |node| self.probe(node))
                .await;
        }
    }

    async fn probe(&self, node: &Node) {
        // A node without address cannot be asked, and is not used either.
        let Some(mut address) = node.address_to_probe() else {
            return;
        };
        if let (Some(port), Place::Inet(address)) = (self.active.port, &mut address) {
            address.set_port(port);
        }
        let Ok(_permit) = self.connector.permits.acquire().await else {
            return;
        };
        let verdict = time::timeout(self.active.timeout, self.probe.check(node, &address)).await;
        self.judge(node, verdict.unwrap_or(Verdict::TimedOut));
    }

    fn judge(&self, node: &Node, verdict: Verdict) {
        let Active {
            healthy, unhealthy, ..
        } = &self.active;
        match verdict {
            Verdict::Status(status) if healthy.statuses.contains(status) => {
                node.observe(
                    Observation::Success,
                    healthy.successes,
                    &format_args!("probe: {status}"),
                );
            }
            Verdict::Status(status) if unhealthy.statuses.contains(status) => {
                let limit = unhealthy.http_failures;
                node.observe(
                    Observation::HttpFailure,
                    limit,
                    &format_args!("probe: {status}"),
                );
            }
            // A status of neither list says nothing.
            Verdict::Status(_) => {}
            Verdict::Connected => {
                node.observe(Observation::Success, healthy.successes, &"probe: connected");
            }
            Verdict::Failed(why) => {
                let limit = unhealthy.tcp_failures;
                node.observe(
                    Observation::TcpFailure,
                    limit,
                    &format_args!("probe: {why}"),
                );
            }
            Verdict::TimedOut => {
                node.observe(
                    Observation::Timeout,
                    unhealthy.timeouts,
                    &"probe: timed out",
                );
            }
        }
    }
}
