//! Counts client connections as they come and go.

use crate::{listener, observe::metrics::Traffic};
use std::sync::Arc;

/// Counts for the metrics.
pub(super) struct Counted(pub(super) Arc<Traffic>);

impl listener::Census for Counted {
    fn opened(&self) {
        self.0.connection_opened();
    }

    fn closed(&self) {
        self.0.connection_closed();
    }
}
