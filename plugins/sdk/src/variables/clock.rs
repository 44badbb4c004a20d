//! Time and place, in nginx's spellings.

use super::{Value, owned};
use jiff::{Timestamp, tz::TimeZone};
use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

/// Seconds with milliseconds: `0.012`.
pub(super) fn seconds<'a>(time: Duration) -> Value<'a> {
    owned(format!("{}.{:03}", time.as_secs(), time.subsec_millis()).into_bytes())
}

pub(super) fn msec<'a>(at: SystemTime) -> Value<'a> {
    seconds(
        at.duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// `2026-11-21T10:15:00+01:00`.
pub(super) fn iso8601<'a>(at: SystemTime) -> Value<'a> {
    format_as(at, "%Y-%m-%dT%H:%M:%S%:z")
}

/// `21/Nov/2026:10:15:00 +0100`.
pub(super) fn common_log<'a>(at: SystemTime) -> Value<'a> {
    format_as(at, "%d/%b/%Y:%H:%M:%S %z")
}

fn format_as<'a>(at: SystemTime, form: &str) -> Value<'a> {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let zone = ZONE.get_or_init(TimeZone::system);
    let at = Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH);
    owned(
        at.to_zoned(zone.clone())
            .strftime(form)
            .to_string()
            .into_bytes(),
    )
}

/// The name of this machine; empty when the system does not tell.
pub(super) fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
            .or_else(|_| std::env::var("HOSTNAME"));
        name.map(|n| n.trim().to_owned()).unwrap_or_default()
    })
}
