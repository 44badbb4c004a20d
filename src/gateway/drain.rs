//! The end of the process: stop accepting, finish what is in flight, leave.

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

/// Waits until nothing is in flight, or for `limit`; how much was left.
pub(super) async fn drained(in_flight: impl Fn() -> u64, limit: Duration) -> u64 {
    let deadline = Instant::now() + limit;
    let mut quiet_since = None;
    loop {
        let in_flight = in_flight();
        let now = Instant::now();
        if in_flight == 0 {
            let since = *quiet_since.get_or_insert(now);
            if now.duration_since(since) >= QUIET {
                return 0;
            }
        } else {
            quiet_since = None;
        }
        if now >= deadline {
            return in_flight;
        }
        tokio::time::sleep(TICK).await;
    }
}
