//! The end of the process: stop accepting, finish what is in flight, leave.

use crate::listener::http::LAST_CALL;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the requests in flight are counted while draining.
const TICK: Duration = Duration::from_millis(20);
/// So long nothing may be in flight before the process leaves: a request may have been read but not counted yet.
const QUIET: Duration = Duration::from_millis(100);

/// The signals that end the process.
pub(super) struct Signals {
    terminate: Signal,
    quit: Signal,
    interrupt: Signal,
}

/// How the process is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With what is in flight finished.
    Drain,
    /// At once.
    Now,
    /// As with [`Drain`](Self::Drain), while another process goes on with the listening sockets.
    HandOver,
}

impl Signals {
    /// Listens for SIGTERM, for SIGQUIT, which nginx and the images of APISIX are stopped by, and for SIGINT.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    pub(super) async fn wait(&mut self) -> End {
        tokio::select! {
            _ = self.terminate.recv() => End::Drain,
            _ = self.quit.recv() => End::Drain,
            _ = self.interrupt.recv() => End::Now,
        }
    }
}

/// What there is to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Requests and sessions that are being served.
    pub(super) in_flight: u64,
    /// Client connections that are open, idle ones among them.
    pub(super) connections: u64,
}

/// Waits until nothing is in flight and idle connections had their last call, or for `limit`; how much was left.
pub(super) async fn drained(load: impl Fn() -> Load, limit: Duration) -> u64 {
    let start = Instant::now();
    let mut quiet_since = None;
    loop {
        let Load {
            in_flight,
            connections,
        } = load();
        let now = Instant::now();
        let called = connections == 0 || now.duration_since(start) >= LAST_CALL;
        if in_flight == 0 && called {
            let since = *quiet_since.get_or_insert(now);
            if now.duration_since(since) >= QUIET {
                return 0;
            }
        } else {
            quiet_since = None;
        }
        if now.duration_since(start) >= limit {
            return in_flight;
        }
        tokio::time::sleep(TICK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn load(in_flight: u64, connections: u64) -> Load {
        Load {
            in_flight,
            connections,
        }
    }

    #[tokio::test]
    async fn nobody_there_is_waited_for_no_longer_than_it_takes_to_be_sure() {
        let start = Instant::now();
        assert_eq!(drained(|| load(0, 0), LIMIT).await, 0);
        assert!(start.elapsed() < LAST_CALL, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn idle_connections_have_their_last_call() {
        let start = Instant::now();
        assert_eq!(drained(|| load(0, 3), LIMIT).await, 0);
        assert!(start.elapsed() >= LAST_CALL, "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn what_is_in_flight_is_waited_for_until_the_limit() {
        let limit = Duration::from_millis(300);
        let start = Instant::now();
        assert_eq!(drained(|| load(2, 2), limit).await, 2);
        assert!(start.elapsed() >= limit);
    }
}
