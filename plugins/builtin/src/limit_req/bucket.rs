//! The leaky bucket, as nginx and lua-resty-limit-traffic compute it.

use crate::limit::{Entry, MICROS};

/// What is in the bucket of one key.
#[derive(Default)]
pub(crate) struct Bucket {
    /// Requests beyond the rate at the time `last`.
    excess: f64,
    /// In microseconds.
    last: u64,
    /// From when on the bucket is as good as new, in microseconds.
    idle: u64,
}

impl Bucket {
    /// Takes one request in: how many seconds it has to wait, or `None` when the burst is used up. A rejected request
    /// does not count.
    pub(crate) fn take(&mut self, rate: f64, burst: f64, now: u64) -> Option<f64> {
        let elapsed = now.saturating_sub(self.last) as f64 / MICROS as f64;
        let excess = if now >= self.idle {
            0.0
        } else {
            (self.excess - rate * elapsed + 1.0).max(0.0)
        };
        if excess > burst {
            return None;
        }
        // A whole microsecond later than computed, so that rounding never forgets anything.
        let idle = ((excess + 1.0) / rate * MICROS as f64).ceil() as u64;
        *self = Self {
            excess,
            last: now,
            idle: now.saturating_add(idle).saturating_add(1),
        };
        Some(excess / rate)
    }
}

impl Entry for Bucket {
    fn is_spent(&self, now: u64) -> bool {
        now >= self.idle
    }

    fn weight(&self) -> Option<u64> {
        Some((self.excess * 1000.0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: u64 = 1_000_000 * MICROS;

    #[test]
    fn requests_beyond_the_rate_wait_and_those_beyond_the_burst_do_not_pass() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(2.0, 2.0, T), Some(0.0));
        assert_eq!(bucket.take(2.0, 2.0, T), Some(0.5));
        assert_eq!(bucket.take(2.0, 2.0, T), Some(1.0));
        assert_eq!(bucket.take(2.0, 2.0, T), None);
        assert_eq!(
            bucket.take(2.0, 2.0, T),
            None,
            "a rejection leaves the bucket alone"
        );
        assert_eq!(bucket.take(2.0, 2.0, T + MICROS / 2), Some(1.0));
        assert_eq!(bucket.take(2.0, 2.0, T + 60 * MICROS), Some(0.0));
    }

    #[test]
    fn without_a_burst_the_rate_is_the_limit() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(1.0, 0.0, T), Some(0.0));
        assert_eq!(bucket.take(1.0, 0.0, T + MICROS - 1), None);
        assert_eq!(bucket.take(1.0, 0.0, T + MICROS), Some(0.0));
    }

    proptest! {
        #[test]
        fn over_any_time_the_rate_and_the_burst_bound_what_passes(
            rate in 0.5f64..50.0,
            burst in 0f64..20.0,
            steps in proptest::collection::vec(0u64..MICROS, 1..300),
        ) {
            let mut bucket = Bucket::default();
            let mut now = T;
            let mut passed = 0.0;
            for step in steps {
                now += step;
                if let Some(delay) = bucket.take(rate, burst, now) {
                    passed += 1.0;
                    prop_assert!(delay >= 0.0 && delay <= burst / rate + 1e-9);
                }
                let seconds = (now - T) as f64 / MICROS as f64;
                prop_assert!(passed <= rate * seconds + burst + 1.0 + 1e-6);
            }
        }

        #[test]
        fn forgetting_a_spent_bucket_changes_nothing(
            rate in 0.5f64..50.0,
            steps in proptest::collection::vec(0u64..3 * MICROS, 1..100),
        ) {
            let (mut kept, mut forgotten) = (Bucket::default(), Bucket::default());
            let mut now = T;
            for step in steps {
                now += step;
                if forgotten.is_spent(now) {
                    forgotten = Bucket::default();
                }
                prop_assert_eq!(kept.take(rate, 3.0, now), forgotten.take(rate, 3.0, now));
            }
        }
    }
}
