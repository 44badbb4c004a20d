//! SIGUSR1, by which nginx and APISIX are told that the log files were moved away. It never ends the process, whether or not there
//! is a file to open anew.

use super::access_logs::AccessLogs;
use std::{io, sync::Arc};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signal.
pub(super) struct Rotations(Signal);

impl Rotations {
    /// Listens from now on.
    pub(super) fn new() -> io::Result<Self> {
        signal(SignalKind::user_defined1()).map(Self)
    }

    /// Has the access log opened anew at each of them.
    pub(super) async fn follow(mut self, logs: Arc<AccessLogs>) {
        while self.0.recv().await.is_some() {
            logs.reopen();
        }
    }
}
