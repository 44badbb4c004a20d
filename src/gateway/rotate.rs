//! Signals that say the log files were moved away. They never end the process, whether or not there is a file to open anew.

use crate::observe::AccessLog;
use std::{io, sync::Arc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, and SIGUSR1 by which nginx and APISIX are told.
pub(super) struct Rotations {
    hangup: Signal,
    user: Signal,
}

impl Rotations {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    /// Has the access log opened anew at each of them.
    pub(super) async fn follow(mut self, log: Option<Arc<AccessLog>>) {
        loop {
            let more = tokio::select! {
                more = self.hangup.recv() => more,
                more = self.user.recv() => more,
            };
            if more.is_none() {
                return;
            }
            if let Some(log) = &log {
                log.reopen();
            }
        }
    }
}
