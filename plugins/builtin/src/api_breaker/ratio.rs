//! One breaker that opens by the part of the requests that fail. Closed it counts, in a window of ten buckets; open it admits
//! nobody; half open it admits a few and goes by what became of them.

use super::Config;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

const BUCKETS: u64 = 10;

/// When it opens and closes.
pub(super) struct Rule {
    ratio: f64,
    fewest: u64,
    bucket: u64,
    probes: u64,
    success: f64,
    open: Duration,
}

impl Rule {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            ratio: config.unhealthy.error_ratio,
            fewest: config.unhealthy.min_request_threshold,
            bucket: (config.unhealthy.sliding_window_size / BUCKETS).max(1),
            probes: config.unhealthy.half_open_max_calls,
            success: config.healthy.success_ratio,
            open: Duration::from_secs(config.max_breaker_sec),
        }
    }
}

/// The breaker.
pub(super) struct Ratio {
    rule: Rule,
    began: Instant,
    state: Mutex<State>,
}

enum State {
    Closed(Vec<Bucket>),
    Open(Instant),
    HalfOpen {
        since: Instant,
        admitted: u64,
        ended: u64,
        succeeded: u64,
    },
}

#[derive(Clone, Copy, Default)]
struct Bucket {
    /// Which stretch of time it is for.
    epoch: u64,
    requests: u64,
    failures: u64,
}

impl Ratio {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            began: Instant::now(),
            state: Mutex::new(State::Closed(Vec::new())),
        }
    }

    /// Whether a request may go to the upstream.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match &mut *state {
            State::Closed(_) => true,
            State::Open(since) if now.saturating_duration_since(*since) < self.rule.open => false,
            State::Open(_) => {
                *state = State::HalfOpen {
                    since: now,
                    admitted: 1,
                    ended: 0,
                    succeeded: 0,
                };
                true
            }
            // Requests of which nothing was heard again must not keep it half open for ever.
            State::HalfOpen { since, .. }
                if now.saturating_duration_since(*since) >= self.rule.open * 4 =>
            {
                *state = State::Closed(Vec::new());
                true
            }
            State::HalfOpen { admitted, .. } => {
                let free = *admitted < self.rule.probes;
                *admitted += u64::from(free);
                free
            }
        }
    }

    /// The upstream answered a request, or failed to.
    pub(super) fn ended(&self, failed: bool, well: bool, now: Instant) {
        let mut state = self.state.lock();
        match &mut *state {
            State::Open(_) => {}
            State::HalfOpen { .. } if failed => *state = State::Open(now),
            State::HalfOpen {
                ended, succeeded, ..
            } => {
                *ended += 1;
                *succeeded += u64::from(well);
                if *ended >= self.rule.probes {
                    *state = match part(*succeeded, *ended) >= self.rule.success {
                        true => State::Closed(Vec::new()),
                        false => State::Open(now),
                    };
                }
            }
            State::Closed(buckets) => {
                let (requests, failures) = self.count(buckets, failed, now);
                if requests >= self.rule.fewest && part(failures, requests) >= self.rule.ratio {
                    *state = State::Open(now);
                }
            }
        }
    }

    /// Counts a request, and what there is in the window with it.
    fn count(&self, buckets: &mut Vec<Bucket>, failed: bool, now: Instant) -> (u64, u64) {
        let epoch = now.saturating_duration_since(self.began).as_secs() / self.rule.bucket;
        buckets.retain(|bucket| bucket.epoch + BUCKETS > epoch);
        if buckets.last().is_none_or(|last| last.epoch != epoch) {
            buckets.push(Bucket {
                epoch,
                ..Bucket::default()
            });
        }
        if let Some(last) = buckets.last_mut() {
            last.requests += 1;
            last.failures += u64::from(failed);
        }
        buckets.iter().fold((0, 0), |(requests, failures), bucket| {
            (requests + bucket.requests, failures + bucket.failures)
        })
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests within an hour"
)]
fn part(some: u64, of: u64) -> f64 {
    some as f64 / of as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio() -> Ratio {
        Ratio::new(Rule {
            ratio: 0.5,
            fewest: 4,
            bucket: 1,
            probes: 2,
            success: 0.6,
            open: Duration::from_secs(5),
        })
    }

    /// Lets requests end in a row: `f`ailed, did `w`ell, or `n`either.
    fn end(ratio: &Ratio, outcomes: &str, now: Instant) {
        for outcome in outcomes.chars() {
            ratio.ended(outcome == 'f', outcome == 'w', now);
        }
    }

    #[test]
    fn it_opens_when_too_many_of_enough_requests_fail() {
        let ratio = ratio();
        let now = ratio.began;
        end(&ratio, "fff", now);
        assert!(ratio.admits(now), "too few to tell");
        end(&ratio, "w", now);
        assert!(!ratio.admits(now));
        let calm = self::ratio();
        end(&calm, "wwwwwffwnf", calm.began);
        assert!(calm.admits(calm.began));
    }

    #[test]
    fn what_is_older_than_the_window_counts_no_more() {
        let ratio = ratio();
        end(&ratio, "fff", ratio.began);
        let later = ratio.began + Duration::from_secs(10);
        end(&ratio, "f", later);
        assert!(ratio.admits(later));
    }

    #[test]
    fn half_open_it_goes_by_a_few_requests() {
        let ratio = ratio();
        let at = |seconds| ratio.began + Duration::from_secs(seconds);
        end(&ratio, "ffff", at(0));
        assert!(!ratio.admits(at(4)));
        assert!(ratio.admits(at(5)) && ratio.admits(at(5)));
        assert!(!ratio.admits(at(5)), "two are enough to see");
        end(&ratio, "f", at(6));
        assert!(!ratio.admits(at(10)), "open again");
        assert!(ratio.admits(at(11)));
        end(&ratio, "wn", at(11));
        assert!(!ratio.admits(at(15)), "one of two is too few");
        assert!(ratio.admits(at(16)));
        end(&ratio, "ww", at(16));
        assert!(ratio.admits(at(16)));
        end(&ratio, "fff", at(16));
        assert!(ratio.admits(at(16)), "it counts from the beginning");
    }

    #[test]
    fn it_does_not_stay_half_open_for_ever() {
        let ratio = ratio();
        let at = |seconds| ratio.began + Duration::from_secs(seconds);
        end(&ratio, "ffff", at(0));
        assert!(ratio.admits(at(5)) && ratio.admits(at(5)));
        assert!(!ratio.admits(at(24)));
        assert!(ratio.admits(at(25)));
    }
}
