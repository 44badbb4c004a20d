//! Waiting for a condition: poll with a deadline, never sleep for a fixed time and hope.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; fails the test after `deadline`, naming `what` was awaited.
pub async fn wait_until(what: &str, deadline: Duration, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain until {what}"
        );
        tokio::time::sleep(EVERY).await;
    }
}

/// [`wait_until`] for a condition that has to ask someone.
pub async fn eventually(what: &str, deadline: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !condition().await {
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain until {what}"
        );
        tokio::time::sleep(EVERY).await;
    }
}

/// Asks `probe` until its answer satisfies `matches`, and returns that answer; after `deadline`
/// the test fails and shows the last answer.
pub async fn eventually_matches<T: Debug>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> T,
    matches: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let seen = probe().await;
        if matches(&seen) {
            return seen;
        }
        assert!(
            started.elapsed() < deadline,
            "waited {deadline:?} in vain until {what}; last seen: {seen:?}"
        );
        tokio::time::sleep(EVERY).await;
    }
}
