//! The end of the process: stop accepting, finish what is in flight, leave.

use crate::status::Life;
use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the requests in flight are counted while draining.
const TICK: Duration = Duration::from_millis(20);
/// So long nothing may be in flight before the process leaves: a request may have been read but not counted yet.
const QUIET: Duration = Duration::from_millis(100);

/// Tells Pingora when to stop, and everybody else that it does.
pub(super) struct Stop {
    terminate: tokio::sync::Mutex<Signal>,
    quit: tokio::sync::Mutex<Signal>,
    interrupt: tokio::sync::Mutex<Signal>,
    life: Arc<Life>,
    begun: tokio::sync::watch::Sender<bool>,
}

impl Stop {
    /// Listens for SIGTERM, for SIGQUIT, which nginx and the images of APISIX are stopped by, and for SIGINT. `life` ends before the listeners close; the receiver hears of it.
    pub(super) fn new(
        life: Arc<Life>,
    ) -> std::io::Result<(Self, tokio::sync::watch::Receiver<bool>)> {
        let (begun, heard) = tokio::sync::watch::channel(false);
        let stop = Self {
            terminate: tokio::sync::Mutex::new(signal(SignalKind::terminate())?),
            quit: tokio::sync::Mutex::new(signal(SignalKind::quit())?),
            interrupt: tokio::sync::Mutex::new(signal(SignalKind::interrupt())?),
            life,
            begun,
        };
        Ok((stop, heard))
    }
}

#[async_trait]
impl ShutdownSignalWatch for Stop {
    async fn recv(&self) -> ShutdownSignal {
        let mut terminate = self.terminate.lock().await;
        let mut quit = self.quit.lock().await;
        let mut interrupt = self.interrupt.lock().await;
        let signal = tokio::select! {
            _ = terminate.recv() => ShutdownSignal::GracefulTerminate,
            _ = quit.recv() => ShutdownSignal::GracefulTerminate,
            _ = interrupt.recv() => ShutdownSignal::FastShutdown,
        };
        self.life.end();
        self.begun.send_replace(true);
        signal
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
