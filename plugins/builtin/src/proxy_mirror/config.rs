//! The configuration of proxy-mirror.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// Sends a copy of requests to another server, whose answers are thrown away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The other server, e.g. `http://127.0.0.1:9797`: scheme, host and port, no path. gRPC is not mirrored.
    #[schemars(regex(
        pattern = r"^(http(s)?|grpc(s)?):\/\/([\da-zA-Z.-]+|\[[\da-fA-F:]+\])(:\d+)?$"
    ))]
    pub(crate) host: String,
    /// Path of the copies. Without it they have the client's.
    #[schemars(regex(pattern = r"^/[^?&]+$"))]
    pub(crate) path: Option<String>,
    /// Whether `path` replaces the client's path or goes before it.
    #[serde(default)]
    pub(crate) path_concat_mode: Concat,
    /// Which part of all requests is copied.
    #[serde(default = "all")]
    #[schemars(range(min = 0.00001, max = 1.0))]
    pub(crate) sample_ratio: f64,
}

/// What becomes of the client's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(crate) enum Concat {
    /// `path` stands in its place; the query stays.
    #[default]
    Replace,
    /// `path` goes before it.
    Prefix,
}

fn all() -> f64 {
    1.0
}

/// `plugin_attr.proxy-mirror`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attributes {
    timeout: Timeout,
}

/// As nginx writes times: `60s`, `500ms`, `1m`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Timeout {
    connect: Option<String>,
    read: Option<String>,
    send: Option<String>,
}

/// How long a copy may take from beginning to end: the longest of the times in `plugin_attr.proxy-mirror.timeout`.
///
/// # Errors
/// They cannot be read.
pub(crate) fn timeout(attributes: Option<&Value>) -> Result<Duration, String> {
    let attributes = match attributes {
        None => Attributes::default(),
        Some(value) => Attributes::deserialize(value)
            .map_err(|e| format!("in plugin_attr.proxy-mirror: {e}"))?,
    };
    let Timeout {
        connect,
        read,
        send,
    } = attributes.timeout;
    let mut longest = None;
    for text in [connect, read, send].into_iter().flatten() {
        let time = time(&text).ok_or_else(|| {
            format!("in plugin_attr.proxy-mirror: timeout: {text:?} is not a time such as 60s")
        })?;
        longest = longest.max(Some(time));
    }
    Ok(longest.unwrap_or(Duration::from_secs(60)))
}

fn time(text: &str) -> Option<Duration> {
    let at = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at_checked(at.unwrap_or(text.len()))?;
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    let millis = digits.parse::<u64>().ok()?.checked_mul(unit)?;
    (millis > 0).then(|| Duration::from_millis(millis))
}
