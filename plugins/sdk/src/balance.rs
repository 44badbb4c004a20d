//! How a request's node is chosen among those of an upstream. The gateway's own balancers implement the same trait and
//! see no more than this.
//!
//! A balancer is one type and one function that makes it:
//!
//! ```
//! use crossway_sdk::balance::{Balance, BalanceNode, Pick};
//!
//! /// The first node that works, in the order of the configuration.
//! struct FirstHealthy {
//!     nodes: usize,
//! }
//!
//! impl Balance for FirstHealthy {
//!     fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
//!         (0..self.nodes).find(|&node| pick.is_usable(node))
//!     }
//! }
//!
//! fn first_healthy(nodes: &[BalanceNode]) -> Box<dyn Balance> {
//!     Box::new(FirstHealthy { nodes: nodes.len() })
//! }
//! # let usable = |node| node != 0;
//! # let pick = Pick::new(0, &usable, &|_| false);
//! # assert_eq!(first_healthy(&BalanceNode::list(&[("a", 80, 1), ("b", 80, 1)])).pick(&pick), Some(1));
//! ```

use std::{
    fmt,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Chooses among the nodes of one priority group of one upstream.
///
/// There is one instance for each group; its nodes are fixed for its life, in number, order and weight. It lives on
/// when an edit leaves them and the upstream's `type` as they were. Methods are called by many threads at once, on the
/// request path: they must not wait, lock or block. A group of one node is not asked.
pub trait Balance: Send + Sync {
    /// The index of a node in the list that the factory got, or `None` when none may be used. The node must be one for
    /// which [`Pick::is_usable`] says yes.
    fn pick(&self, pick: &Pick<'_>) -> Option<usize>;

    /// A request goes to the node. [`Load::inflight`] counts it already.
    fn started(&self, node: usize) {
        let _ = node;
    }

    /// The request to the node is over; comes once for each [`started`](Self::started), whatever happened.
    /// [`Load::inflight`] no longer counts it.
    fn finished(&self, node: usize, outcome: &Outcome) {
        let _ = (node, outcome);
    }
}

/// Makes a balancer for the nodes of a group; the list is never empty.
pub type BalanceFactory = Arc<dyn Fn(&[BalanceNode]) -> Box<dyn Balance> + Send + Sync>;

/// A node as a balancer sees it.
#[derive(Debug, Clone)]
pub struct BalanceNode {
    /// Name or address, as configured.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Weight, 0 and up; 0 asks for no requests as long as another node takes them.
    pub weight: u32,
    /// What the node is busy with. Shared by all upstream configurations that follow one another: it survives edits.
    pub load: Arc<Load>,
}

impl BalanceNode {
    /// Idle nodes of these hosts, ports and weights, for tests.
    pub fn list(nodes: &[(&str, u16, u32)]) -> Vec<Self> {
        let node = |&(host, port, weight): &(&str, u16, u32)| Self {
            host: host.into(),
            port,
            weight,
            load: Arc::default(),
        };
        nodes.iter().map(node).collect()
    }
}

/// What a pick may use.
pub struct Pick<'a> {
    /// Hash of the request's key, when the upstream has `hash_on` and `key`; else 0. The CRC-32 of the key's bytes: 32
    /// bits are random, the upper half is 0.
    pub key: u64,
    healthy: &'a dyn Fn(usize) -> bool,
    tried: &'a dyn Fn(usize) -> bool,
}

impl<'a> Pick<'a> {
    /// For the gateway and for tests: `healthy` and `tried` answer for node indexes.
    pub fn new(
        key: u64,
        healthy: &'a dyn Fn(usize) -> bool,
        tried: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        Self {
            key,
            healthy,
            tried,
        }
    }

    /// Whether the node may be picked: it is healthy and this request has not tried it.
    pub fn is_usable(&self, node: usize) -> bool {
        (self.healthy)(node) && !(self.tried)(node)
    }

    /// Whether the node takes part at all: health checks let it, or are ignored because they let none; and its name is
    /// resolved. It may have been tried by this request.
    pub fn is_healthy(&self, node: usize) -> bool {
        (self.healthy)(node)
    }
}

impl fmt::Debug for Pick<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pick")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// How a request to a node went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Time to connect; zero for a connection that was kept alive, `None` when there was none.
    pub connect: Option<Duration>,
    /// Time from the connection to the response head; `None` when there was no response.
    pub response: Option<Duration>,
    /// Whether the node failed: no connection, no response, or a broken one.
    pub failed: bool,
}

/// Latencies fade with this time constant.
const DECAY: Duration = Duration::from_secs(10);

/// Never measured. No float that is stored has these bits.
const UNMEASURED: u64 = u64::MAX;

/// Latencies carry their time as milliseconds since this instant.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What a node is busy with, as this gateway sees it.
pub struct Load {
    inflight: AtomicU32,
    /// Seconds as `f32` above, the time of the measurement below: read and replaced as one.
    latency: AtomicU64,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            inflight: AtomicU32::new(0),
            latency: AtomicU64::new(UNMEASURED),
        }
    }
}

impl Load {
    /// Requests that are being sent to the node or answered by it.
    pub fn inflight(&self) -> u32 {
        self.inflight.load(Ordering::Relaxed)
    }

    /// The fading average of what was [observed](Self::observe), as of `now`; `None` before the first observation. It
    /// falls towards zero by itself, with a time constant of 10 s, so that a node that was slow gets another chance.
    pub fn latency(&self, now: Instant) -> Option<Duration> {
        let (seconds, at) = unpack(self.latency.load(Ordering::Relaxed))?;
        Some(Duration::from_secs_f32(
            seconds * remaining(at, millis(now)),
        ))
    }

    /// Takes a latency into the average. A peak counts at once, an improvement little by little.
    pub fn observe(&self, latency: Duration, now: Instant) {
        let latest = latency.as_secs_f32();
        let now = millis(now);
        let renewed = |held| {
            let seconds = match unpack(held) {
                None => latest,
                Some((seconds, at)) => {
                    let old = remaining(at, now);
                    latest.max(seconds * old + latest * (1.0 - old))
                }
            };
            u64::from(seconds.to_bits()) << 32 | u64::from(now)
        };
        self.latency
            .update(Ordering::Relaxed, Ordering::Relaxed, renewed);
    }

    /// For the gateway: a request goes to the node.
    pub fn begin(&self) {
        self.inflight.fetch_add(1, Ordering::Relaxed);
    }

    /// For the gateway: a request to the node is over.
    pub fn end(&self) {
        self.inflight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Load")
            .field("inflight", &self.inflight())
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "wraps after 49 days; ages are compared modulo that"
)]
fn millis(now: Instant) -> u32 {
    now.saturating_duration_since(*EPOCH).as_millis() as u32
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "takes the two halves apart"
)]
fn unpack(packed: u64) -> Option<(f32, u32)> {
    (packed != UNMEASURED).then(|| (f32::from_bits((packed >> 32) as u32), packed as u32))
}

/// What is left of a value of the time `at`. Two threads may bring their times in the wrong order: that is no time at all.
fn remaining(at: u32, now: u32) -> f32 {
    let age = now.wrapping_sub(at);
    if age > u32::MAX / 2 {
        return 1.0;
    }
    (-Duration::from_millis(u64::from(age)).as_secs_f32() / DECAY.as_secs_f32()).exp()
}

#[cfg(test)]
mod tests {
    use super::{Load, Pick};
    use std::time::{Duration, Instant};

    fn close(load: &Load, now: Instant, expected: f32) -> bool {
        load.latency(now)
            .is_some_and(|l| (l.as_secs_f32() - expected).abs() < 0.001)
    }

    #[test]
    fn a_latency_rises_at_once_and_fades_slowly() {
        let start = Instant::now() + Duration::from_secs(1);
        let load = Load::default();
        assert_eq!(load.latency(start), None);
        load.observe(Duration::from_millis(100), start);
        assert!(close(&load, start, 0.1));
        load.observe(Duration::from_secs(2), start);
        assert!(close(&load, start, 2.0));
        load.observe(Duration::from_millis(100), start);
        assert!(close(&load, start, 2.0), "no time has passed");
        let later = start + Duration::from_secs(10);
        assert!(close(&load, later, 2.0 / std::f32::consts::E));
        load.observe(Duration::from_millis(100), later);
        let old = 1.0 / std::f32::consts::E;
        assert!(close(&load, later, 2.0 * old + 0.1 * (1.0 - old)));
    }

    #[test]
    fn times_that_come_in_the_wrong_order_do_not_fade() {
        let start = Instant::now() + Duration::from_secs(1);
        let load = Load::default();
        load.observe(Duration::from_secs(1), start + Duration::from_millis(5));
        assert!(close(&load, start, 1.0));
    }

    #[test]
    fn a_tried_node_is_healthy_and_not_usable() {
        let pick = Pick::new(0, &|node| node != 2, &|node| node == 1);
        assert_eq!(
            [0, 1, 2].map(|node| pick.is_usable(node)),
            [true, false, false]
        );
        assert_eq!(
            [0, 1, 2].map(|node| pick.is_healthy(node)),
            [true, true, false]
        );
    }
}
