//! The calendar, written out once a second for each thread.

use jiff::{Timestamp, tz::TimeZone};
use std::{
    cell::RefCell,
    time::{SystemTime, UNIX_EPOCH},
};

/// A second, as it stands in logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Second {
    number: Option<u64>,
    /// `21/Nov/2026:03:04:05 +0100`.
    pub(super) local: String,
    /// `2026-11-21T03:04:05+01:00`.
    pub(super) iso8601: String,
}

thread_local! {
    static SECOND: RefCell<Second> = RefCell::default();
}

/// Calls `with` with the second of `at` and with the milliseconds since.
pub(super) fn with_second<R>(at: SystemTime, with: impl FnOnce(&Second, u64, u32) -> R) -> R {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (number, millis) = (since.as_secs(), since.subsec_millis());
    let mut with = Some(with);
    let cached = SECOND.try_with(|second| {
        let mut second = second.try_borrow_mut().ok()?;
        if second.number != Some(number) {
            *second = Second::of(number, &TimeZone::system());
        }
        with.take().map(|with| with(&second, number, millis))
    });
    match (cached, with) {
        (Ok(Some(done)), _) => done,
        (_, Some(with)) => with(&Second::of(number, &TimeZone::system()), number, millis),
        (_, None) => unreachable!("taken only when it was called"),
    }
}

impl Second {
    fn of(number: u64, zone: &TimeZone) -> Self {
        let at = i64::try_from(number)
            .ok()
            .and_then(|n| Timestamp::from_second(n).ok());
        let at = at.unwrap_or_default().to_zoned(zone.clone());
        Self {
            number: Some(number),
            local: at.strftime("%d/%b/%Y:%H:%M:%S %z").to_string(),
            iso8601: at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;

    #[test]
    fn a_second_is_written_as_nginx_writes_it() {
        let zone = TimeZone::fixed(Offset::constant(1));
        let second = Second::of(1_795_230_245, &zone);
        assert_eq!(second.local, "21/Nov/2026:04:04:05 +0100");
        assert_eq!(second.iso8601, "2026-11-21T04:04:05+01:00");
    }

    #[test]
    fn each_second_is_its_own() {
        let at = |millis: u64| UNIX_EPOCH + std::time::Duration::from_millis(millis);
        let read = |millis| with_second(at(millis), |s, number, ms| (s.local.clone(), number, ms));
        let (first, ..) = read(1000);
        assert_eq!(read(1999), (first.clone(), 1, 999));
        assert_ne!(read(2000).0, first);
        assert_eq!(read(1000).0, first);
    }
}
