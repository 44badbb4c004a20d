//! Gives back what changes of the configuration took for a moment: a large file is parsed into many times its size.

use crate::sync::Status;
use std::time::Duration;
use tokio::sync::watch;

/// So long after a change. Changes that follow one another are waited for together.
const QUIET: Duration = Duration::from_secs(1);

/// Follows the configuration for as long as the gateway runs.
pub(super) async fn follow(mut status: watch::Receiver<Status>) {
    loop {
        while let Ok(Ok(())) = tokio::time::timeout(QUIET, status.changed()).await {}
        #[cfg(feature = "mimalloc")]
        crossway_allocator::give_back();
        if status.changed().await.is_err() {
            return;
        }
    }
}
