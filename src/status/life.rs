//! Where the process is in its life, for readiness.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where the process is in its life: it starts, serves, and drains before it leaves.
#[derive(Debug, Default)]
pub struct Life(AtomicU8);

const SERVES: u8 = 1;
const DRAINS: u8 = 2;

impl Life {
    /// Its listeners take connections.
    pub fn begin(&self) {
        // A signal may have come before.
        self.0.fetch_max(SERVES, Ordering::AcqRel);
    }

    /// It is about to leave.
    pub fn end(&self) {
        self.0.store(DRAINS, Ordering::Release);
    }

    /// Whether its listeners take no connections yet.
    pub fn is_starting(&self) -> bool {
        self.0.load(Ordering::Acquire) < SERVES
    }

    /// Whether it is about to leave.
    pub fn is_draining(&self) -> bool {
        self.0.load(Ordering::Acquire) == DRAINS
    }
}
