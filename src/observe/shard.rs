//! Spreads threads over shards, so that counters and queues of hot paths are not shared between cores.

use std::sync::atomic::{AtomicUsize, Ordering};

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

/// The running number of this thread.
pub(super) fn thread_number() -> usize {
    // While a thread ends, its number may be gone.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// As many shards as there are cores, rounded up to a power of two.
pub(super) fn count() -> usize {
    std::thread::available_parallelism()
        .map_or(1, usize::from)
        .next_power_of_two()
}

/// The shard at `number`, counted round; `None` when there are none at all.
pub(super) fn pick<T>(shards: &[T], number: usize) -> Option<&T> {
    shards.get(number & shards.len().wrapping_sub(1))
}
