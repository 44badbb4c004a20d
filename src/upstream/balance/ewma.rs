//! Peak EWMA: of two nodes chosen at random, the one whose latency, times the requests it has under way, is less.
//! Weights are ignored, as in APISIX; that the requests under way count is not in APISIX, and keeps a burst from
//! falling on one node before its latency shows it.

use crossway_sdk::balance::{Balance, BalanceNode, Outcome, Pick};
use std::time::Instant;

/// Random draws before the nodes are searched in order.
const MAX_DRAWS: usize = 8;

pub(super) struct Ewma {
    nodes: Box<[BalanceNode]>,
}

impl Ewma {
    pub(super) fn new(nodes: &[BalanceNode]) -> Self {
        Self {
            nodes: nodes.into(),
        }
    }

    /// Two different usable nodes; the same one twice when there is but one.
    fn two(&self, pick: &Pick<'_>) -> Option<(usize, usize)> {
        let count = self.nodes.len();
        let mut first = None;
        for _ in 0..MAX_DRAWS {
            let node = rand::random_range(0..count.max(1));
            if first == Some(node) || !pick.is_usable(node) {
                continue;
            }
            match first {
                None => first = Some(node),
                Some(first) => return Some((first, node)),
            }
        }
        let start = rand::random_range(0..count.max(1));
        let mut usable = (start..count)
            .chain(0..start)
            .filter(|&node| pick.is_usable(node));
        let first = match first {
            Some(node) => node,
            None => usable.next()?,
        };
        Some((first, usable.find(|&node| node != first).unwrap_or(first)))
    }

    fn lighter(&self, one: usize, other: usize) -> Option<usize> {
        let (a, b) = (&self.nodes.get(one)?.load, &self.nodes.get(other)?.load);
        let (a_requests, b_requests) = (a.inflight() + 1, b.inflight() + 1);
        let now = Instant::now();
        let first = match (a.latency(now), b.latency(now)) {
            (Some(a), Some(b)) => {
                a.as_secs_f64() * f64::from(a_requests) <= b.as_secs_f64() * f64::from(b_requests)
            }
            // A node that was never measured has no latency to compare.
            _ => a_requests <= b_requests,
        };
        Some(if first { one } else { other })
    }
}

impl Balance for Ewma {
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        let (one, other) = self.two(pick)?;
        if one == other {
            Some(one)
        } else {
            self.lighter(one, other)
        }
    }

    fn finished(&self, node: usize, outcome: &Outcome) {
        // A node that fails fast must not look quick.
        if outcome.failed {
            return;
        }
        if let (Some(node), Some(response)) = (self.nodes.get(node), outcome.response) {
            let latency = response + outcome.connect.unwrap_or_default();
            node.load.observe(latency, Instant::now());
        }
    }
}
