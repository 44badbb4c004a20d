//! What is pending in all queues of a plugin, in entries and bytes.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what is pending. One is shared by the queues of a plugin, so that a thousand places of use are bounded too.
#[derive(Default)]
pub(super) struct Pending {
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Pending {
    /// Whether one more entry fits; it is counted then.
    pub(super) fn admit(&self, weight: usize, max_entries: usize, max_bytes: usize) -> bool {
        let entries = self.entries.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(weight, Ordering::Relaxed) + weight;
        let fits = entries <= max_entries && bytes <= max_bytes;
        if !fits {
            self.release(1, weight);
        }
        fits
    }

    /// These are pending no more.
    pub(super) fn release(&self, entries: usize, weight: usize) {
        self.entries.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(weight, Ordering::Relaxed);
    }
}
