//! Counters that every request touches: a few instructions each, on a cache line of the thread's own.

use crate::observe::shard;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Requests and client connections.
#[derive(Debug)]
pub struct Traffic {
    shards: Box<[Shard]>,
}

/// Two cache lines, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    began: AtomicU64,
    ended: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
}

/// The sums of a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests since the start.
    pub requests: u64,
    /// Requests that are being answered.
    pub in_flight: u64,
    /// Connections accepted since the start.
    pub accepted: u64,
    /// Connections that are open.
    pub active: u64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            shards: (0..shard::count()).map(|_| Shard::default()).collect(),
        }
    }
}

impl Traffic {
    fn add(&self, of: impl FnOnce(&Shard) -> &AtomicU64) {
        if let Some(shard) = shard::pick(&self.shards, shard::thread_number()) {
            of(shard).fetch_add(1, Relaxed);
        }
    }

    /// A request head was read. To be followed by one [`request_ended`](Self::request_ended), from any thread.
    pub fn request_began(&self) {
        self.add(|shard| &shard.began);
    }

    /// A request is over, however it ended.
    pub fn request_ended(&self) {
        self.add(|shard| &shard.ended);
    }

    /// A connection was accepted. To be followed by one [`connection_closed`](Self::connection_closed).
    pub fn connection_opened(&self) {
        self.add(|shard| &shard.opened);
    }

    /// A connection is closed.
    pub fn connection_closed(&self) {
        self.add(|shard| &shard.closed);
    }

    /// The sums of now.
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Shard) -> &AtomicU64| -> u64 {
            self.shards
                .iter()
                .map(|shard| of(shard).load(Relaxed))
                .sum()
        };
        // Ends before beginnings: what begins in between must not make the difference negative.
        let (ended, closed) = (sum(|s| &s.ended), sum(|s| &s.closed));
        let (requests, accepted) = (sum(|s| &s.began), sum(|s| &s.opened));
        Totals {
            requests,
            in_flight: requests.saturating_sub(ended),
            accepted,
            active: accepted.saturating_sub(closed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_many_threads_count() {
        let traffic = Traffic::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        traffic.connection_opened();
                        traffic.request_began();
                        traffic.request_ended();
                    }
                });
            }
        });
        traffic.request_began();
        traffic.connection_closed();
        let expected = Totals {
            requests: 8001,
            in_flight: 1,
            accepted: 8000,
            active: 7999,
        };
        assert_eq!(traffic.totals(), expected);
    }
}
