//! Consistent hashing on the ring that nginx and APISIX build, so that a key stays with its node when a gateway of
//! theirs is replaced by this one.
//!
//! Each node has 160 points for each unit of its weight, after division by the common factor: chained CRC-32 sums over
//! `host`, a zero byte, `port` and the point before. Nodes out of use keep their points: a request walks on to the next
//! point of another node, and comes back when the node does. `pingora-ketama` has the same points, but for addresses
//! only; the tests compare with it.

use super::{reduced_weights, usable_without_weight};
use crossway_sdk::balance::{Balance, BalanceNode, Pick};

const POINTS_PER_WEIGHT: u64 = 160;

/// A ring has at most about this many points (8 bytes each); nodes whose weights ask for more get fewer, in proportion.
/// Keys are placed as in APISIX only up to here.
const MAX_POINTS: u64 = 1 << 20;

/// After this many points the ring is left for a look at the nodes.
const PATIENCE: usize = 256;

pub(super) struct Chash {
    /// Sorted by hash; no hash twice.
    ring: Box<[Point]>,
    weights: Box<[u32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    hash: u32,
    node: u32,
}

impl Chash {
    pub(super) fn new(nodes: &[BalanceNode]) -> Self {
        let weights = reduced_weights(nodes);
        let wanted: u64 = weights
            .iter()
            .map(|&weight| u64::from(weight) * POINTS_PER_WEIGHT)
            .sum();
        let mut ring = Vec::with_capacity(usize::try_from(wanted.min(MAX_POINTS)).unwrap_or(0));
        for (index, (node, &weight)) in (0..).zip(nodes.iter().zip(&weights)) {
            let mut points = u64::from(weight) * POINTS_PER_WEIGHT;
            if wanted > MAX_POINTS && points > 0 {
                let share = u128::from(points) * u128::from(MAX_POINTS) / u128::from(wanted);
                points = u64::try_from(share).unwrap_or(MAX_POINTS).max(1);
            }
            ring.extend(
                hashes(node)
                    .take(usize::try_from(points).unwrap_or(0))
                    .map(|hash| Point { hash, node: index }),
            );
        }
        ring.sort_unstable();
        ring.dedup_by_key(|point| point.hash);
        Self {
            ring: ring.into(),
            weights,
        }
    }

    fn from(&self, hash: u32) -> impl Iterator<Item = usize> {
        let start = self.ring.partition_point(|point| point.hash < hash);
        let (before, after) = self.ring.split_at_checked(start).unwrap_or_default();
        after.iter().chain(before).map(|point| point.node as usize)
    }

    fn has_usable(&self, pick: &Pick<'_>) -> bool {
        self.weights
            .iter()
            .enumerate()
            .any(|(node, &weight)| weight > 0 && pick.is_usable(node))
    }
}

impl Balance for Chash {
    #[expect(clippy::cast_possible_truncation, reason = "the key is a CRC-32")]
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        let mut walk = self.from(pick.key as u32);
        if let Some(node) = walk
            .by_ref()
            .take(PATIENCE)
            .find(|&node| pick.is_usable(node))
        {
            return Some(node);
        }
        if self.has_usable(pick) {
            return walk.find(|&node| pick.is_usable(node));
        }
        let count = usable_without_weight(&self.weights, pick).count() as u64;
        let chosen = pick.key.checked_rem(count)?;
        usable_without_weight(&self.weights, pick).nth(usize::try_from(chosen).ok()?)
    }
}

/// The points of a node, without end.
fn hashes(node: &BalanceNode) -> impl Iterator<Item = u32> {
    let mut base = crc32fast::Hasher::new();
    base.update(node.host.as_bytes());
    base.update(b"\0");
    base.update(itoa::Buffer::new().format(node.port).as_bytes());
    let next = move |previous: u32| {
        let mut hasher = base.clone();
        hasher.update(&previous.to_le_bytes());
        hasher.finalize()
    };
    let first = next(0);
    std::iter::successors(Some(first), move |&previous| Some(next(previous)))
}
