//! Where and since when this process runs.

use std::{
    fs,
    sync::OnceLock,
    time::{SystemTime, UNIX_EPOCH},
};

/// The name of this machine; `unknown` when it has none.
pub fn hostname() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let file = || fs::read_to_string("/etc/hostname").ok();
        let variable = || std::env::var("HOSTNAME").ok();
        let found = kernel.or_else(file).or_else(variable).unwrap_or_default();
        match found.trim() {
            "" => "unknown".to_owned(),
            name => name.to_owned(),
        }
    })
}

/// When this function was first called, in seconds since 1970: call it early in `main`.
pub fn started_at() -> f64 {
    static AT: OnceLock<SystemTime> = OnceLock::new();
    let at = AT.get_or_init(SystemTime::now);
    at.duration_since(UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
