//! How the settings were read: at the start, and again on SIGHUP.

use parking_lot::Mutex;
use serde::Serialize;
use std::{path::PathBuf, time::SystemTime};

/// Tells of the readings of the settings. Those that read them write it down here.
#[derive(Default)]
pub struct Readings(Mutex<Standing>);

/// How it stands. Times are seconds since 1970.
#[derive(Clone, Default, Serialize)]
pub(super) struct Standing {
    /// The file; `None`: environment and defaults alone.
    file: Option<PathBuf>,
    /// When the settings were read that the gateway runs with.
    read: u64,
    /// How often they were read again since the start, refused readings among them.
    reloads: u64,
    refused_total: u64,
    /// Why the last reading was refused; `None` when it was not.
    refused: Option<Refused>,
    /// Keys that are written in another way than they are in force, and need a restart.
    awaiting_restart: Vec<Awaiting>,
}

#[derive(Clone, Serialize)]
struct Refused {
    at: u64,
    error: String,
}

/// A key that awaits a restart. Values of secret keys are not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Awaiting {
    /// Its path, e.g. `listen.http`.
    pub key: String,
    /// What the process runs with, as JSON.
    pub running: String,
    /// What is written now.
    pub written: String,
}

impl Readings {
    /// The process starts with what it has read just now.
    pub fn of(file: Option<PathBuf>) -> Self {
        Self(Mutex::new(Standing {
            file,
            read: now(),
            ..Standing::default()
        }))
    }

    /// The settings were read again and are in force, but for what awaits a restart.
    pub fn taken(&self, awaiting: Vec<Awaiting>) {
        let mut standing = self.0.lock();
        standing.read = now();
        standing.reloads += 1;
        standing.refused = None;
        standing.awaiting_restart = awaiting;
    }

    /// They were read again and changed nothing.
    pub fn refused(&self, error: String) {
        let mut standing = self.0.lock();
        standing.reloads += 1;
        standing.refused_total += 1;
        standing.refused = Some(Refused { at: now(), error });
    }

    /// How often they were read again, and how often that was refused.
    pub fn counts(&self) -> (u64, u64) {
        let standing = self.0.lock();
        (standing.reloads, standing.refused_total)
    }

    /// How many keys await a restart.
    pub fn awaiting(&self) -> usize {
        self.0.lock().awaiting_restart.len()
    }

    pub(super) fn standing(&self) -> Standing {
        self.0.lock().clone()
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
