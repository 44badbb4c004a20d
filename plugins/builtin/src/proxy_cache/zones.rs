//! The zones that responses are kept in, as `plugin_attr.proxy-cache` lists them.

use super::config::Strategy;
use serde::Deserialize;
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// `plugin_attr.proxy-cache`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Attributes {
    /// All zones.
    zones: Vec<Zone>,
    /// How long a response stays on disk when the upstream does not say, e.g. `10s`.
    cache_ttl: String,
    /// Where zones on disk lie that name no `disk_path`. The gateway sets it to a folder of its data directory.
    directory: Option<PathBuf>,
}

impl Default for Attributes {
    fn default() -> Self {
        let zone = |name: &str, disk: Option<&str>| Zone {
            name: name.into(),
            memory_size: "50m".into(),
            disk_size: disk.map(str::to_owned),
            disk_path: None,
            cache_levels: None,
        };
        Self {
            zones: vec![
                zone("disk_cache_one", Some("1G")),
                zone("memory_cache", None),
            ],
            cache_ttl: "10s".into(),
            directory: None,
        }
    }
}

/// One zone, as written; a `disk_size` or a `disk_path` makes it one on disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Zone {
    name: String,
    memory_size: String,
    disk_size: Option<String>,
    disk_path: Option<PathBuf>,
    /// How nginx spreads files over folders.
    #[expect(
        dead_code,
        reason = "files are spread over 256 folders whatever it says"
    )]
    cache_levels: Option<String>,
}

/// A zone that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// So many bytes of memory.
    Memory(u64),
    /// So many bytes of files below a folder, and at most so many files.
    Disk {
        folder: PathBuf,
        bytes: u64,
        files: u64,
        /// How long a response stays when the upstream does not say.
        ttl: Duration,
    },
}

/// Memory that nginx takes for one key, in bytes: what `memory_size` of a zone on disk is divided by.
const BYTES_OF_KEY: u64 = 1024;

/// The zone of that name and kind.
///
/// # Errors
/// There is none, it is of another kind, or `plugin_attr.proxy-cache` cannot be read.
pub(crate) fn find(
    attributes: Option<&Value>,
    name: &str,
    strategy: Strategy,
) -> Result<Place, String> {
    let written = match attributes {
        None => Attributes::default(),
        Some(value) => Attributes::deserialize(value)
            .map_err(|e| format!("in plugin_attr.proxy-cache: {e}"))?,
    };
    let zone = written
        .zones
        .iter()
        .find(|zone| zone.name == name)
        .ok_or_else(|| format!("cache_zone {name} not found"))?;
    let on_disk = zone.disk_size.is_some() || zone.disk_path.is_some();
    if on_disk != (strategy == Strategy::Disk) {
        let strategy = match strategy {
            Strategy::Disk => "disk",
            Strategy::Memory => "memory",
        };
        return Err(format!(
            "invalid or empty cache_zone for cache_strategy: {strategy}"
        ));
    }
    let sized = |text: &str| {
        bytes(text).ok_or_else(|| {
            format!("in plugin_attr.proxy-cache: zone {name}: {text:?} is not a size such as 50m")
        })
    };
    let memory = sized(&zone.memory_size)?;
    if !on_disk {
        return Ok(Place::Memory(memory));
    }
    let ttl = seconds(&written.cache_ttl).ok_or_else(|| {
        let text = &written.cache_ttl;
        format!("in plugin_attr.proxy-cache: cache_ttl: {text:?} is not a time such as 10s")
    })?;
    let folder = match (&zone.disk_path, &written.directory) {
        (Some(path), _) => path.clone(),
        (None, Some(directory)) => directory.join(name),
        (None, None) => {
            return Err(format!(
                "in plugin_attr.proxy-cache: zone {name} needs a disk_path"
            ));
        }
    };
    if name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(format!(
            "cache_zone {name:?} cannot be the name of a folder"
        ));
    }
    Ok(Place::Disk {
        folder,
        bytes: sized(zone.disk_size.as_deref().unwrap_or("1G"))?,
        files: (memory / BYTES_OF_KEY).max(1),
        ttl,
    })
}

/// `50m` and the like, as nginx reads sizes.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = split(text)?;
    let unit = match unit {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.checked_mul(unit).filter(|bytes| *bytes > 0)
}

/// `10s` and the like, as nginx reads times.
fn seconds(text: &str) -> Option<Duration> {
    let (digits, unit) = split(text)?;
    let unit = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    digits.checked_mul(unit).map(Duration::from_secs)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let at = text.find(|c: char| !c.is_ascii_digit());
    let (digits, unit) = text.split_at_checked(at.unwrap_or(text.len()))?;
    Some((digits.parse().ok()?, unit))
}
