//! Least connections: the node with the fewest requests under way in proportion to its weight. Counts belong to the
//! nodes and survive edits.

use super::usable_without_weight;
use crossway_sdk::balance::{Balance, BalanceNode, Pick};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct LeastConn {
    nodes: Box<[BalanceNode]>,
    weights: Box<[u32]>,
    /// Where the search begins, so that nodes that are equally busy take turns.
    start: AtomicUsize,
}

impl LeastConn {
    pub(super) fn new(nodes: &[BalanceNode]) -> Self {
        let weights = nodes.iter().map(|node| node.weight).collect();
        Self {
            nodes: nodes.into(),
            weights,
            start: AtomicUsize::new(rand::random::<u16>().into()),
        }
    }

    /// (requests with this one, weight)
    fn burden(&self, node: usize) -> Option<(u64, u64)> {
        let node = self.nodes.get(node)?;
        Some((u64::from(node.load.inflight()) + 1, u64::from(node.weight)))
    }

    fn least(&self, nodes: impl Iterator<Item = usize>) -> Option<usize> {
        let mut least: Option<(usize, (u64, u64))> = None;
        for node in nodes {
            let burden = self.burden(node)?;
            // a/b < c/d without division; weights of 0 never meet others here, and compare by requests alone.
            let lighter = |(_, other): (usize, (u64, u64))| {
                burden.0 * other.1.max(1) < other.0 * burden.1.max(1)
            };
            if least.is_none_or(lighter) {
                least = Some((node, burden));
            }
        }
        least.map(|(node, _)| node)
    }
}

impl Balance for LeastConn {
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        let count = self.nodes.len();
        let start = self.start.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let weighty = |&node: &usize| self.weights.get(node).is_some_and(|&weight| weight > 0);
        let usable = (start..count).chain(0..start);
        let usable = usable.filter(|node| weighty(node) && pick.is_usable(*node));
        self.least(usable)
            .or_else(|| self.least(usable_without_weight(&self.weights, pick)))
    }
}
