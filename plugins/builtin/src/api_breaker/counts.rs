//! Failures and successes of each host and path, whatever route they took. At most as many are known as the table holds: then
//! the one that was asked for least makes room.

use parking_lot::Mutex;
use quick_cache::sync::Cache;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

/// Hosts and paths that failures are known of. Only an upstream's failure makes an entry.
const CAPACITY: usize = 65_536;

/// When a breaker opens and closes.
pub(super) struct Rule {
    pub(super) failures: u64,
    pub(super) successes: u64,
    pub(super) longest: Duration,
}

/// A host and a path, as two digests by secret keys: nobody can find two that are one.
pub(super) type Key = (u64, u64);

/// What is known of all hosts and paths.
pub(super) struct Counts {
    of: Cache<Key, Arc<Mutex<Count>>>,
    digests: (RandomState, RandomState),
}

#[derive(Default)]
struct Count {
    failures: u64,
    successes: u64,
    opened: Option<Instant>,
}

impl Counts {
    pub(super) fn new() -> Self {
        Self {
            of: Cache::new(CAPACITY),
            digests: (RandomState::new(), RandomState::new()),
        }
    }

    pub(super) fn key(&self, host: &str, path: &str) -> Key {
        let of = (host, path);
        (self.digests.0.hash_one(of), self.digests.1.hash_one(of))
    }

    /// Whether requests are answered in the upstream's place: for 2ⁿ seconds when it opened for the nth time.
    pub(super) fn is_open(&self, key: Key, rule: &Rule, now: Instant) -> bool {
        let Some(count) = self.of.get(&key) else {
            return false;
        };
        let count = count.lock();
        let Some(opened) = count.opened else {
            return false;
        };
        let times = (count.failures / rule.failures.max(1)).max(1);
        let seconds = u32::try_from(times).ok().and_then(|n| 2_u64.checked_pow(n));
        let lasts = seconds.map_or(rule.longest, |s| Duration::from_secs(s).min(rule.longest));
        now.saturating_duration_since(opened) <= lasts
    }

    /// The upstream failed.
    pub(super) fn failed(&self, key: Key, rule: &Rule, now: Instant) {
        let made = self
            .of
            .get_or_insert_with(&key, || Ok::<_, ()>(Arc::default()));
        let Ok(count) = made else { return };
        let mut count = count.lock();
        count.failures = count.failures.saturating_add(1);
        count.successes = 0;
        if count.failures.is_multiple_of(rule.failures.max(1)) {
            count.opened = Some(now);
        }
    }

    /// The upstream did well.
    pub(super) fn succeeded(&self, key: Key, rule: &Rule) {
        let Some(count) = self.of.get(&key) else {
            return;
        };
        let well = {
            let mut count = count.lock();
            count.successes += 1;
            count.successes >= rule.successes
        };
        if well {
            self.of.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        failures: 3,
        successes: 2,
        longest: Duration::from_secs(10),
    };

    fn fails(counts: &Counts, key: Key, times: u32, now: Instant) {
        for _ in 0..times {
            counts.failed(key, &RULE, now);
        }
    }

    #[test]
    fn it_opens_for_twice_as_long_each_time_up_to_the_longest() {
        let (counts, begin) = (Counts::new(), Instant::now());
        let key = counts.key("a", "/");
        let at = |seconds| begin + Duration::from_secs(seconds);
        fails(&counts, key, 2, begin);
        assert!(!counts.is_open(key, &RULE, begin));
        fails(&counts, key, 1, begin);
        assert!(counts.is_open(key, &RULE, at(2)));
        assert!(!counts.is_open(key, &RULE, at(3)));
        // One more failure does not open it again; three do.
        fails(&counts, key, 1, at(3));
        assert!(!counts.is_open(key, &RULE, at(3)));
        fails(&counts, key, 2, at(3));
        assert!(counts.is_open(key, &RULE, at(7)));
        assert!(!counts.is_open(key, &RULE, at(8)));
        fails(&counts, key, 600, at(8));
        assert!(counts.is_open(key, &RULE, at(18)));
        assert!(!counts.is_open(key, &RULE, at(19)));
    }

    #[test]
    fn successes_in_a_row_make_it_forget() {
        let (counts, now) = (Counts::new(), Instant::now());
        let key = counts.key("a", "/");
        fails(&counts, key, 3, now);
        counts.succeeded(key, &RULE);
        fails(&counts, key, 1, now);
        counts.succeeded(key, &RULE);
        assert!(counts.is_open(key, &RULE, now));
        counts.succeeded(key, &RULE);
        assert!(!counts.is_open(key, &RULE, now));
        fails(&counts, key, 2, now);
        assert!(
            !counts.is_open(key, &RULE, now),
            "it counts from the beginning"
        );
    }

    #[test]
    fn each_host_and_path_has_its_own() {
        let (counts, now) = (Counts::new(), Instant::now());
        fails(&counts, counts.key("a", "/x"), 3, now);
        assert!(counts.is_open(counts.key("a", "/x"), &RULE, now));
        for (host, path) in [("a", "/"), ("b", "/x"), ("a/", "x"), ("", "a/x")] {
            assert!(
                !counts.is_open(counts.key(host, path), &RULE, now),
                "{host}{path}"
            );
        }
    }

    #[test]
    fn memory_is_bounded() {
        let (counts, now) = (Counts::new(), Instant::now());
        for n in 0..200_000 {
            counts.failed(counts.key("a", &n.to_string()), &RULE, now);
        }
        assert!(counts.of.len() <= CAPACITY, "{}", counts.of.len());
    }
}
