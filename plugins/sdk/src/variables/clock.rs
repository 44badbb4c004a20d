//! Time and place, in nginx's spellings.

use super::{Value, owned};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    cell::RefCell,
    sync::OnceLock,
    time::{Duration, SystemTime},
};

/// Appends seconds with milliseconds: `0.012`.
pub(super) fn write_seconds(time: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(time.as_secs()).as_bytes());
    // With a leading 1, which keeps the zeros and then makes room for the point.
    let mut digits = itoa::Buffer::new();
    let millis = digits.format(1000 + time.subsec_millis()).as_bytes();
    out.push(b'.');
    out.extend_from_slice(millis.strip_prefix(b"1").unwrap_or(millis));
}

pub(super) fn seconds<'a>(time: Duration) -> Value<'a> {
    let mut text = Vec::with_capacity(16);
    write_seconds(time, &mut text);
    owned(text)
}

pub(super) fn msec<'a>(at: SystemTime) -> Value<'a> {
    seconds(since_1970(at))
}

/// `2026-11-21T10:15:00+01:00`.
pub(super) fn iso8601<'a>(at: SystemTime) -> Value<'a> {
    written(at, |second| &second.iso8601)
}

/// `21/Nov/2026:10:15:00 +0100`.
pub(super) fn common_log<'a>(at: SystemTime) -> Value<'a> {
    written(at, |second| &second.local)
}

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// A second, written out once for each thread: a log has many lines of one second.
#[derive(Default)]
struct Second {
    number: Option<u64>,
    local: String,
    iso8601: String,
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

fn written<'a>(at: SystemTime, form: fn(&Second) -> &str) -> Value<'a> {
    thread_local! {
        static SECOND: RefCell<Second> = RefCell::default();
    }
    let number = since_1970(at).as_secs();
    SECOND.with_borrow_mut(|second| {
        if second.number != Some(number) {
            *second = Second::of(number, &TimeZone::system());
        }
        owned(form(second).as_bytes().to_vec())
    })
}

/// The name of this machine, in lower case as nginx has it; empty when the system does not tell.
pub(super) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"));
        name.map(|n| n.trim().to_ascii_lowercase())
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::Offset;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_second_is_written_as_nginx_writes_it() {
        let second = Second::of(1_795_230_245, &TimeZone::fixed(Offset::constant(1)));
        assert_eq!(second.local, "21/Nov/2026:04:04:05 +0100");
        assert_eq!(second.iso8601, "2026-11-21T04:04:05+01:00");
    }

    #[test]
    fn each_second_is_its_own() {
        let at = |millis: u64| UNIX_EPOCH + Duration::from_millis(millis);
        let first = common_log(at(1000));
        assert_eq!(common_log(at(1999)), first);
        assert_ne!(common_log(at(2000)), first);
        assert_eq!(common_log(at(1000)), first);
        assert_ne!(iso8601(at(2000)), iso8601(at(3000)));
    }

    #[test]
    fn milliseconds_keep_their_zeros() {
        for (millis, text) in [
            (0, "0.000"),
            (7, "0.007"),
            (61_050, "61.050"),
            (999, "0.999"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), Value::text(text));
        }
        assert_eq!(
            msec(UNIX_EPOCH + Duration::from_millis(1_795_230_245_012)),
            Value::text("1795230245.012")
        );
    }
}
