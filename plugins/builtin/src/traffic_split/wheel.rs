//! Turns by weight, for any number of threads and without a lock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Hands out positions so that in as many turns in a row as the weights sum up to (after division by their greatest
/// common divisor) each position comes exactly as often as its weight says, spread evenly.
///
/// Turn `n` is the point `n × step mod sum`. A step that has no divisor in common with the sum visits every point once
/// in a round, and one near the golden section of the sum puts each point into the widest gap so far.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// For each position, the sum of the weights up to it.
    ends: Box<[u64]>,
    sum: u64,
    step: u64,
    turn: AtomicU64,
}

impl Wheel {
    pub(crate) fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        let weights: Vec<u64> = weights.into_iter().map(u64::from).collect();
        let divisor = weights.iter().copied().fold(0, gcd).max(1);
        let ends: Box<[u64]> = weights
            .iter()
            .scan(0, |sum, weight| {
                *sum += weight / divisor;
                Some(*sum)
            })
            .collect();
        let sum = ends.last().copied().unwrap_or(0);
        let golden = (u128::from(sum) * 618_033_989 / 1_000_000_000) as u64;
        let step = (golden..).find(|step| gcd(*step, sum) == 1).unwrap_or(1);
        Self {
            ends,
            sum,
            step,
            turn: AtomicU64::new(0),
        }
    }

    /// The next position; `None` when all weights are 0.
    pub(crate) fn next(&self) -> Option<usize> {
        if self.sum == 0 {
            return None;
        }
        let turn = u128::from(self.turn.fetch_add(1, Relaxed));
        let point = (turn * u128::from(self.step) % u128::from(self.sum)) as u64;
        Some(self.ends.partition_point(|end| *end <= point))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn turns(weights: &[u32], n: usize) -> Vec<usize> {
        let wheel = Wheel::new(weights.iter().copied());
        (0..n).map(|_| wheel.next().unwrap()).collect()
    }

    #[test]
    fn turns_alternate() {
        assert_eq!(turns(&[1, 1], 6), [0, 1, 0, 1, 0, 1]);
        assert_eq!(turns(&[50, 50], 4), [0, 1, 0, 1]);
        assert_eq!(turns(&[3, 2], 5), [0, 1, 0, 1, 0]);
        assert_eq!(turns(&[7], 3), [0, 0, 0]);
        assert_eq!(turns(&[0, 3, 0], 2), [1, 1]);
        assert_eq!(Wheel::new([0, 0]).next(), None);
        assert_eq!(Wheel::new([]).next(), None);
    }

    #[test]
    fn threads_share_the_turns() {
        let wheel = Wheel::new([9, 1]);
        let second = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if wheel.next() == Some(1) {
                            second.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(second.into_inner(), 8_000);
    }

    proptest! {
        #[test]
        fn any_round_is_exact(weights in proptest::collection::vec(0u32..60, 1..8), skip in 0usize..500) {
            let wheel = Wheel::new(weights.iter().copied());
            prop_assume!(wheel.sum > 0);
            let divisor = weights.iter().fold(0, |d, w| gcd(d, u64::from(*w)));
            for _ in 0..skip {
                wheel.next();
            }
            let mut seen = vec![0u64; weights.len()];
            for _ in 0..wheel.sum {
                seen[wheel.next().unwrap()] += 1;
            }
            let expected: Vec<u64> = weights.iter().map(|w| u64::from(*w) / divisor).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn nobody_waits_long(heavy in 1u32..1000) {
            // Each position's turns are never further apart than three times the even distance.
            let picks = turns(&[heavy, 1], (heavy as usize + 1) * 3);
            let at: Vec<usize> = picks.iter().enumerate().filter(|(_, p)| **p == 1).map(|(i, _)| i).collect();
            prop_assert_eq!(at.len(), 3);
            let far = at.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            prop_assert_eq!(far, heavy as usize + 1);
        }
    }
}
