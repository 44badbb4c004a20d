//! How slow a client may be. Only the time counts in which the gateway waits for the client.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep};

/// The least that is accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    /// Bytes each second, on average; 0 for no bound.
    pub(super) rate: u64,
    /// How long nothing is asked for at the beginning.
    pub(super) grace: Duration,
    /// The longest time without one byte.
    pub(super) stall: Duration,
}

/// How a client keeps to a [`Rule`]. It has no timer until there is something to wait for.
#[derive(Debug, Default)]
pub(super) struct Pace {
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// A client that has just begun.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Bytes came through.
    pub(super) fn progressed(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if let Some(since) = self.since.take() {
            self.waited += since.elapsed();
        }
    }

    /// Whether a wait has begun.
    pub(super) fn is_waiting(&self) -> bool {
        self.since.is_some()
    }

    /// How long the wait has lasted.
    pub(super) fn waiting(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// There is nothing to do but to wait; ready when the client has been too slow.
    pub(super) fn poll_too_slow(&mut self, context: &mut Context<'_>, rule: &Rule) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            self.since = Some(now);
            let end = now + self.patience(rule);
            match &mut self.timer {
                Some(timer) => timer.as_mut().reset(end),
                None => self.timer = Some(Box::pin(tokio::time::sleep_until(end))),
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }

    /// How long to wait for the next byte.
    fn patience(&self, rule: &Rule) -> Duration {
        if rule.rate == 0 {
            return rule.stall;
        }
        let earned = Duration::from_millis(self.bytes.saturating_mul(1000) / rule.rate);
        let allowed = rule.grace.saturating_add(earned);
        allowed.saturating_sub(self.waited).min(rule.stall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    const RULE: Rule = Rule {
        rate: 100,
        grace: Duration::from_secs(10),
        stall: Duration::from_secs(60),
    };

    async fn too_slow_after(pace: &mut Pace) -> u64 {
        let begin = Instant::now();
        poll_fn(|cx| pace.poll_too_slow(cx, &RULE)).await;
        begin.elapsed().as_secs()
    }

    async fn wait(pace: &mut Pace, seconds: u64, bytes: usize) {
        let slow = poll_fn(|cx| pace.poll_too_slow(cx, &RULE));
        let slow = tokio::time::timeout(Duration::from_secs(seconds), slow).await;
        assert!(slow.is_err(), "not yet too slow");
        pace.progressed(bytes);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_earn_time_and_waiting_spends_it() {
        let mut pace = Pace::default();
        assert_eq!(too_slow_after(&mut pace).await, 10);
        let mut pace = Pace::default();
        wait(&mut pace, 8, 500).await;
        assert_eq!(too_slow_after(&mut pace).await, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_may_stand_still_however_fast_before() {
        let mut pace = Pace::default();
        wait(&mut pace, 1, 1_000_000).await;
        assert_eq!(too_slow_after(&mut pace).await, 60);
    }
}
