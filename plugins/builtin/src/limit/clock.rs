//! The time that counters go by.

use std::{
    sync::LazyLock,
    time::{Instant, SystemTime},
};

/// Microseconds in a second.
pub(crate) const MICROS: u64 = 1_000_000;

/// Tells the time in microseconds since 1970. Tests bring their own.
pub(crate) type Clock = fn() -> u64;

/// The calendar as it stood when it was first asked, and from then on the monotonic clock: a step of the system's
/// clock neither refills nor freezes a quota.
pub(crate) fn monotonic() -> u64 {
    static START: LazyLock<(Instant, u64)> = LazyLock::new(|| {
        let calendar = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        (
            Instant::now(),
            u64::try_from(calendar.as_micros()).unwrap_or(0),
        )
    });
    let (start, calendar) = &*START;
    calendar.saturating_add(u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX))
}
