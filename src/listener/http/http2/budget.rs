//! How much of something may be had: so much in a window of time, and what was earned besides.

use std::time::{Duration, Instant};

/// What is left. The time is looked at only when nothing is.
#[derive(Debug)]
pub(super) struct Budget {
    left: u32,
    each: u32,
    earned: u32,
    window: Duration,
    since: Instant,
}

impl Budget {
    /// `each` in a `window`, and at most `earned` kept of what is earned.
    pub(super) fn new(each: u32, earned: u32, window: Duration, now: Instant) -> Self {
        Self {
            left: each,
            each,
            earned,
            window,
            since: now,
        }
    }

    /// So many more may be had.
    pub(super) fn earn(&mut self, more: u32) {
        let most = self.each.saturating_add(self.earned);
        self.left = self.left.saturating_add(more).min(most);
    }

    /// Whether so many could be had. They are taken.
    pub(super) fn spend(&mut self, count: u32, now: Instant) -> bool {
        if self.left < count {
            let passed = now.saturating_duration_since(self.since).min(self.window);
            let come = u128::from(self.each) * passed.as_nanos() / self.window.as_nanos().max(1);
            let come = u32::try_from(come).unwrap_or(self.each);
            if come > 0 {
                self.left = self.left.saturating_add(come);
                self.since = now;
            }
        }
        match self.left.checked_sub(count) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_window_and_then_as_many_as_time_brings() {
        let begin = Instant::now();
        let mut budget = Budget::new(10, 0, Duration::from_secs(10), begin);
        assert!((0..10).all(|_| budget.spend(1, begin)));
        assert!(!budget.spend(1, begin));
        let later = begin + Duration::from_secs(3);
        assert!((0..3).all(|_| budget.spend(1, later)));
        assert!(!budget.spend(1, later));
        let much_later = later + Duration::from_secs(3600);
        assert!((0..10).all(|_| budget.spend(1, much_later)));
        assert!(!budget.spend(1, much_later));
    }

    #[test]
    fn what_was_earned_is_kept_up_to_a_bound() {
        let now = Instant::now();
        let mut budget = Budget::new(1, 5, Duration::from_secs(1), now);
        budget.earn(1000);
        assert!((0..6).all(|_| budget.spend(1, now)));
        assert!(!budget.spend(1, now));
    }
}
