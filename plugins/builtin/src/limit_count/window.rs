//! Counting within windows of time. All times are in microseconds, all decisions are made under the table's lock.

use super::config::WindowType;
use crate::limit::{Entry, MICROS, Table};

/// What became of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Whether the request is within the limit.
    pub(crate) passes: bool,
    /// How many more would pass now.
    pub(crate) remaining: u64,
    /// Until there is more, in hundredths of a second.
    pub(crate) reset: u64,
}

/// The counters of one rule.
pub(crate) enum Counters {
    Fixed(Table<Fixed>),
    Sliding(Table<Sliding>),
}

impl Counters {
    pub(crate) fn new(window: WindowType) -> Self {
        match window {
            WindowType::Fixed => Self::Fixed(Table::default()),
            WindowType::Sliding => Self::Sliding(Table::default()),
        }
    }

    /// Counts a request of `key` as `cost`; `window` is in seconds.
    pub(crate) fn take(&self, key: &[u8], cost: u64, count: u64, window: u64, now: u64) -> Taken {
        let window = window.saturating_mul(MICROS);
        match self {
            Self::Fixed(table) => table.with(key, now, |w| w.take(cost, count, window, now)),
            Self::Sliding(table) => table.with(key, now, |w| w.take(cost, count, window, now)),
        }
    }
}

/// A window that begins with the first request of a key.
#[derive(Default)]
pub(crate) struct Fixed {
    used: u64,
    end: u64,
}

impl Fixed {
    fn take(&mut self, cost: u64, count: u64, window: u64, now: u64) -> Taken {
        if now >= self.end {
            *self = Self {
                used: 0,
                end: now.saturating_add(window),
            };
        }
        let passes = self.used.saturating_add(cost) <= count;
        if passes {
            self.used += cost;
        }
        // Whole seconds, as APISIX tells them.
        let reset = (self.end - now).div_ceil(MICROS) * 100;
        Taken {
            passes,
            remaining: count.saturating_sub(self.used),
            reset,
        }
    }
}

impl Entry for Fixed {
    fn is_spent(&self, now: u64) -> bool {
        now >= self.end
    }

    fn weight(&self) -> Option<u64> {
        Some(self.used)
    }
}

/// Windows that follow the clock. The one before counts in proportion to how much of it the last `window` covers, as
/// if its requests had come evenly.
#[derive(Default)]
pub(crate) struct Sliding {
    window: u64,
    /// Number of the current window since 1970.
    number: u64,
    current: u64,
    previous: u64,
}

impl Sliding {
    fn take(&mut self, cost: u64, count: u64, window: u64, now: u64) -> Taken {
        self.advance(window, now);
        let left = window - now % window;
        let until_next = Taken {
            passes: false,
            remaining: 0,
            reset: hundredths(left as f64),
        };
        // All but the last one of a request have to find room, as the last one then does.
        let current = self.current.saturating_add(cost.saturating_sub(1));
        if current >= count {
            return Taken {
                remaining: count.saturating_sub(self.current),
                ..until_next
            };
        }
        // A window that began under a larger limit is not held against the key beyond this one.
        let previous = self.previous.min(count);
        let estimated = previous as f64 * left as f64 / window as f64;
        if estimated + current as f64 >= count as f64 {
            let room = (count - current) as f64 * window as f64 / previous as f64;
            return Taken {
                reset: hundredths((left as f64 - room).max(0.0)),
                ..until_next
            };
        }
        self.current += cost;
        let remaining = (count as f64 - self.current as f64 - estimated).max(0.0) as u64;
        Taken {
            passes: true,
            remaining,
            reset: until_next.reset,
        }
    }

    fn advance(&mut self, window: u64, now: u64) {
        let number = now / window;
        if self.window != window || number > self.number + 1 {
            *self = Self {
                window,
                number,
                current: 0,
                previous: 0,
            };
        } else if number == self.number + 1 {
            *self = Self {
                window,
                number,
                current: 0,
                previous: self.current,
            };
        }
    }
}

impl Entry for Sliding {
    fn is_spent(&self, now: u64) -> bool {
        now >= self.number.saturating_add(2).saturating_mul(self.window)
    }

    fn weight(&self) -> Option<u64> {
        Some(self.current.max(self.previous))
    }
}

/// Hundredths of a second, rounded up.
fn hundredths(micros: f64) -> u64 {
    (micros / (MICROS as f64 / 100.0)).ceil() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const S: u64 = MICROS;

    fn taken(passes: bool, remaining: u64, reset: u64) -> Taken {
        Taken {
            passes,
            remaining,
            reset,
        }
    }

    #[test]
    fn a_fixed_window_begins_with_its_first_request() {
        let mut w = Fixed::default();
        let at = 1_000_000 * S;
        assert_eq!(w.take(1, 2, 60 * S, at), taken(true, 1, 6000));
        assert_eq!(w.take(1, 2, 60 * S, at + S / 2), taken(true, 0, 6000));
        assert_eq!(w.take(1, 2, 60 * S, at + 30 * S), taken(false, 0, 3000));
        assert_eq!(w.take(1, 2, 60 * S, at + 60 * S - 1), taken(false, 0, 100));
        assert!(!w.is_spent(at + 60 * S - 1) && w.is_spent(at + 60 * S));
        assert_eq!(w.take(1, 2, 60 * S, at + 60 * S), taken(true, 1, 6000));
    }

    #[test]
    fn a_sliding_window_counts_the_part_before() {
        let mut w = Sliding::default();
        for used in 1..=10 {
            assert_eq!(w.take(1, 10, 10 * S, 100 * S), taken(true, 10 - used, 1000));
        }
        assert_eq!(w.take(1, 10, 10 * S, 105 * S), taken(false, 0, 500));
        // A quarter into the next window three quarters of the ten still count.
        assert_eq!(w.take(1, 10, 10 * S, 112 * S + S / 2), taken(true, 1, 750));
        assert_eq!(w.take(1, 10, 10 * S, 112 * S + S / 2), taken(true, 0, 750));
        let over = w.take(1, 10, 10 * S, 112 * S + S / 2);
        assert_eq!(over, taken(true, 0, 750), "9.5 were counted");
        assert_eq!(w.take(1, 10, 10 * S, 112 * S + S / 2), taken(false, 0, 50));
        assert!(!w.is_spent(129 * S) && w.is_spent(130 * S));
        assert_eq!(w.take(1, 10, 10 * S, 140 * S), taken(true, 9, 1000));
    }

    #[test]
    fn exactly_the_count_passes_however_many_ask_at_once() {
        for window in [WindowType::Fixed, WindowType::Sliding] {
            let counters = Counters::new(window);
            let passed = AtomicU64::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        for i in 0..5_000u32 {
                            for key in [&b"shared"[..], &i.to_be_bytes()] {
                                let taken = counters.take(key, 1, 1_000, 60, 600 * S);
                                if key == b"shared" && taken.passes {
                                    passed.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                        }
                    });
                }
            });
            assert_eq!(passed.into_inner(), 1_000, "{window:?}");
        }
    }

    proptest! {
        #[test]
        fn no_window_lets_more_than_the_count_pass(
            count in 1u64..20,
            steps in proptest::collection::vec(0u64..4 * S, 1..200),
        ) {
            let (fixed, sliding) =
                (Counters::new(WindowType::Fixed), Counters::new(WindowType::Sliding));
            let mut now = 1_000 * S;
            let (mut start, mut used) = (0, 0);
            let mut per_number = std::collections::HashMap::<u64, u64>::new();
            for step in steps {
                now += step;
                let taken = fixed.take(b"k", 1, count, 10, now);
                if now >= start + 10 * S {
                    (start, used) = (now, 0);
                }
                prop_assert_eq!(taken.passes, used < count);
                used += u64::from(taken.passes);
                prop_assert_eq!(taken.remaining, count - used);
                prop_assert!(taken.reset > 0 && taken.reset <= 1000);

                let taken = sliding.take(b"k", 1, count, 10, now);
                let in_window = per_number.entry(now / (10 * S)).or_default();
                *in_window += u64::from(taken.passes);
                prop_assert!(*in_window <= count && taken.remaining < count && taken.reset <= 1000);
            }
        }
    }
}
