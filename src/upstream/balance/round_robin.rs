//! Weighted round robin: each node gets its share exactly over a cycle, evenly spread within it. One atomic addition.

use super::{reduced_weights, usable_without_weight};
use crossway_sdk::balance::{Balance, BalanceNode, Pick};
use std::sync::atomic::{AtomicU64, Ordering};

/// Cycles up to this length are laid out when the balancer is made.
const MAX_TABLE: u64 = 4096;

/// How often the next turn is taken before the usable nodes are counted instead.
const MAX_TURNS: usize = 16;

/// 2⁶⁴ divided by the golden ratio: the multiples of it, seen as fractions of 2⁶⁴, spread as evenly as can be.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) struct RoundRobin {
    weights: Box<[u32]>,
    cycle: Cycle,
    turn: AtomicU64,
    /// Turns of [`RoundRobin::among_usable`]: a count of its own, or the two would fall into step and skip a node.
    spare: AtomicU64,
}

/// Who has which turn.
enum Cycle {
    /// One after the other.
    Even,
    /// As listed.
    Table(Box<[u16]>),
    /// Turn n falls on the place n × stride of a line on which each node has as many places as it has weight. The
    /// stride has no common factor with the length, so each place is met once in a cycle.
    Stride {
        ends: Box<[u64]>,
        length: u64,
        stride: u64,
    },
}

impl RoundRobin {
    pub(super) fn new(nodes: &[BalanceNode]) -> Self {
        let weights = reduced_weights(nodes);
        let length: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
        let cycle = if weights.iter().all(|&weight| weight == 1) {
            Cycle::Even
        } else if length <= MAX_TABLE && weights.len() <= usize::from(u16::MAX) {
            Cycle::Table(smooth(&weights))
        } else {
            let ends = weights.iter().scan(0, |end, &weight| {
                *end += u64::from(weight);
                Some(*end)
            });
            Cycle::Stride {
                ends: ends.collect(),
                length,
                stride: stride(length),
            }
        };
        // Gateways that start together must not all begin with the same node.
        let turn = AtomicU64::new(u64::from(rand::random::<u32>()));
        Self {
            weights,
            cycle,
            turn,
            spare: AtomicU64::new(0),
        }
    }

    fn node_of(&self, turn: u64) -> usize {
        match &self.cycle {
            Cycle::Even => remainder(turn, self.weights.len()),
            Cycle::Table(table) => table
                .get(remainder(turn, table.len()))
                .copied()
                .map_or(0, usize::from),
            Cycle::Stride {
                ends,
                length,
                stride,
            } => {
                let place = u128::from(turn % length) * u128::from(*stride) % u128::from(*length);
                ends.partition_point(|&end| u128::from(end) <= place)
            }
        }
    }

    /// A fair share among the nodes that are left, when few are.
    fn among_usable(&self, pick: &Pick<'_>) -> Option<usize> {
        let usable = || {
            let nodes = self.weights.iter().enumerate();
            nodes.filter(|&(node, &weight)| weight > 0 && pick.is_usable(node))
        };
        let total: u64 = usable().map(|(_, &weight)| u64::from(weight)).sum();
        let turn = self.spare.fetch_add(1, Ordering::Relaxed);
        if total == 0 {
            let count = usable_without_weight(&self.weights, pick).count();
            let chosen = fraction(turn, count as u64);
            return usable_without_weight(&self.weights, pick).nth(usize::try_from(chosen).ok()?);
        }
        let mut place = fraction(turn, total);
        for (node, &weight) in usable() {
            match place.checked_sub(u64::from(weight)) {
                Some(rest) => place = rest,
                None => return Some(node),
            }
        }
        // A node's health changed between the two walks.
        usable().next().map(|(node, _)| node)
    }
}

impl Balance for RoundRobin {
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        // A turn that falls on a node out of use passes on: the others keep their shares.
        for _ in 0..self.weights.len().min(MAX_TURNS) {
            let node = self.node_of(self.turn.fetch_add(1, Ordering::Relaxed));
            if pick.is_usable(node) {
                return Some(node);
            }
        }
        self.among_usable(pick)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "less than a length")]
fn remainder(turn: u64, length: usize) -> usize {
    (turn % (length as u64).max(1)) as usize
}

fn fraction(turn: u64, of: u64) -> u64 {
    ((u128::from(turn.wrapping_mul(GOLDEN)) * u128::from(of)) >> 64) as u64
}

/// The smooth order of nginx: in each turn every node gains its weight, the richest one is chosen and pays the sum.
fn smooth(weights: &[u32]) -> Box<[u16]> {
    let sum: i64 = weights.iter().map(|&weight| i64::from(weight)).sum();
    let mut wealth = vec![0; weights.len()];
    let turn = |_| {
        let mut richest = (0, i64::MIN);
        for (node, (wealth, &weight)) in (0..).zip(wealth.iter_mut().zip(weights)) {
            *wealth += i64::from(weight);
            if *wealth > richest.1 {
                richest = (node, *wealth);
            }
        }
        if let Some(wealth) = wealth.get_mut(usize::from(richest.0)) {
            *wealth -= sum;
        }
        richest.0
    };
    (0..sum).map(turn).collect()
}

/// A number about the golden section of `length` without a factor in common with it, whose multiples, modulo `length`,
/// spread evenly all along the cycle. They do when the continued fraction of the two has but small terms.
fn stride(length: u64) -> u64 {
    let section = fraction(1, length);
    let near = |distance: u64| [section.saturating_sub(distance), section + distance];
    let candidates = (0..length.min(64)).flat_map(near).filter(|&n| n > 0);
    let best = candidates
        .filter_map(|n| Some((unevenness(length, n)?, n)))
        .min();
    best.map_or(1, |(_, stride)| stride)
}

/// The largest term of the continued fraction of a / b; `None` when the two have a common factor.
fn unevenness(a: u64, b: u64) -> Option<u64> {
    match a.checked_rem(b) {
        None => (a == 1).then_some(0),
        Some(rest) => Some(unevenness(b, rest)?.max(a / b)),
    }
}
