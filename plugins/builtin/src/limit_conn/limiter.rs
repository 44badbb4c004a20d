//! Counting what is in progress. Entering is decided under the table's lock, leaving takes no lock at all.

use super::shared::{Member, Shared};
use crate::limit::{Entry, LinkError, Table};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The requests in progress of one rule.
pub(crate) struct Limiter {
    table: Table<Live>,
    /// Seconds that a request takes: the bits of an `f64`.
    unit: AtomicU64,
}

/// The requests in progress of one key.
#[derive(Default)]
pub(crate) struct Live(Arc<AtomicU64>);

impl Entry for Live {
    fn is_spent(&self, _: u64) -> bool {
        self.0.load(Relaxed) == 0
    }

    /// A key with requests in progress stays: there are no more such keys than requests in this process.
    fn weight(&self) -> Option<u64> {
        (self.0.load(Relaxed) == 0).then_some(0)
    }
}

/// One request in progress, as long as it is not dropped: whatever ends the request, it is counted out once.
pub(crate) struct Permit(#[expect(dead_code, reason = "it is dropped")] Counted);

#[expect(dead_code, reason = "what counts them out is that they are dropped")]
enum Counted {
    Here(Here),
    There(Member),
}

/// A request that this process counts.
struct Here(Arc<AtomicU64>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Limiter {
    /// `unit` is in seconds.
    pub(crate) fn new(unit: f64) -> Self {
        Self {
            table: Table::default(),
            unit: AtomicU64::new(unit.to_bits()),
        }
    }

    /// Lets a request in, perhaps after a delay; `None` when there are `conn` and `burst` already.
    pub(crate) fn enter(&self, key: &[u8], conn: u64, burst: u64) -> Option<(Permit, Duration)> {
        let (permit, live) = self.table.with(key, 0, |entry| {
            if entry.0.load(Relaxed) >= conn.saturating_add(burst) {
                return None;
            }
            let live = entry.0.fetch_add(1, Relaxed) + 1;
            Some((Permit(Counted::Here(Here(entry.0.clone()))), live))
        })?;
        Some((permit, self.delay(live, conn)))
    }

    /// As [`Limiter::enter`], with the counts in Redis.
    pub(crate) async fn enter_shared(
        &self,
        shared: &Shared,
        rule: usize,
        key: &[u8],
        [conn, burst]: [u64; 2],
    ) -> Result<Option<(Permit, Duration)>, LinkError> {
        let entered = shared.enter(rule, key, conn.saturating_add(burst)).await?;
        Ok(entered.map(|(member, live)| (Permit(Counted::There(member)), self.delay(live, conn))))
    }

    /// How long a request waits that is one of `live`.
    fn delay(&self, live: u64, conn: u64) -> Duration {
        if live <= conn {
            return Duration::ZERO;
        }
        // The delay of lua-resty-limit-traffic: one unit for each time that the limit is full ahead of this request.
        let delay = self.unit() * ((live - 1) / conn) as f64;
        Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX)
    }

    /// Seconds that a request takes.
    pub(crate) fn unit(&self) -> f64 {
        f64::from_bits(self.unit.load(Relaxed))
    }

    /// Moves the unit half of the way to what a request took.
    pub(crate) fn learn(&self, took: Duration) {
        let took = took.as_secs_f64();
        let halfway = |unit: u64| Some(((f64::from_bits(unit) + took) / 2.0).to_bits());
        self.unit.fetch_update(Relaxed, Relaxed, halfway).ok();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn delays_grow_with_what_is_ahead() {
        let limiter = Limiter::new(0.5);
        let held: Vec<_> = (0..6).map(|_| limiter.enter(b"k", 2, 4).unwrap()).collect();
        let delays: Vec<_> = held.iter().map(|(_, d)| d.as_secs_f64()).collect();
        assert_eq!(delays, [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]);
        assert!(limiter.enter(b"k", 2, 4).is_none());
        assert!(limiter.enter(b"other", 2, 4).is_some());
        drop(held);
        assert_eq!(limiter.enter(b"k", 2, 4).unwrap().1, Duration::ZERO);
    }

    #[test]
    fn the_unit_follows_what_requests_take() {
        let limiter = Limiter::new(1.0);
        limiter.learn(Duration::from_secs(3));
        assert_eq!(limiter.unit(), 2.0);
    }

    #[test]
    fn there_are_never_more_than_allowed_and_none_in_the_end() {
        let limiter = Limiter::new(0.001);
        let now = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for i in 0..20_000u32 {
                        if let Some(permit) = limiter.enter(b"k", 2, 1) {
                            assert!(now.fetch_add(1, Relaxed) < 3);
                            drop(limiter.enter(&i.to_be_bytes(), 1, 0));
                            now.fetch_sub(1, Relaxed);
                            drop(permit);
                        }
                    }
                });
            }
        });
        assert_eq!(limiter.table.with(b"k", 0, |live| live.0.load(Relaxed)), 0);
    }
}
