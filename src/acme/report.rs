//! How the certificates stand: for the status page and for metrics.

use super::{Outcome, Time, Wanted};
use parking_lot::Mutex;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How the certificates stand. The keeper writes it, others read it.
pub struct Report {
    directory: String,
    certificates: Mutex<Vec<Standing>>,
    orders: [AtomicU64; Outcome::ALL.len()],
}

/// The page of it. All times are seconds since 1970.
#[derive(Serialize)]
pub struct Page {
    directory: String,
    certificates: Vec<Standing>,
}

/// How one certificate stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The id of the `ssls` document.
    pub ssl: String,
    /// The names that it is for.
    pub domains: Vec<String>,
    /// How they are proven.
    pub challenge: &'static str,
    /// What is being done.
    pub state: State,
    /// When the one that serves ends; `None`: there is none.
    pub expires: Option<Time>,
    /// When it is to be renewed.
    pub renews: Option<Time>,
    /// When the next order may be placed, after failures.
    pub next_attempt: Option<Time>,
    /// Orders that failed in a row.
    pub failures: u32,
    /// Why the last one failed.
    pub error: Option<String>,
    /// The document of an operator that has one of the names.
    pub held_by: Option<String>,
}

/// What is being done about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has been looked at yet.
    Unknown,
    /// Nothing: it is there, and not due.
    Valid,
    /// This gateway orders it.
    Ordering,
    /// Another gateway orders it.
    OrderedElsewhere,
    /// The last order failed, and the next one may not be placed yet.
    Waiting,
    /// Nothing: an operator's own document has one of the names.
    Held,
}

impl Standing {
    pub(super) fn new(wanted: &Wanted) -> Self {
        Self {
            ssl: wanted.id.clone(),
            domains: wanted.names.clone(),
            challenge: wanted.challenge.as_str(),
            state: State::Unknown,
            expires: None,
            renews: None,
            next_attempt: None,
            failures: 0,
            error: None,
            held_by: None,
        }
    }
}

impl Report {
    /// Of certificates that nobody has looked at yet.
    pub fn new(directory: &str, wanted: &[Wanted]) -> Self {
        Self {
            directory: directory.to_owned(),
            certificates: Mutex::new(wanted.iter().map(Standing::new).collect()),
            orders: Default::default(),
        }
    }

    /// The page as it stands.
    pub fn page(&self) -> Page {
        Page {
            directory: self.directory.clone(),
            certificates: self.certificates(),
        }
    }

    /// The certificates, in the order of the settings.
    pub fn certificates(&self) -> Vec<Standing> {
        self.certificates.lock().clone()
    }

    /// How many orders ended so.
    pub fn orders(&self, outcome: Outcome) -> u64 {
        let count = self.orders.get(outcome as usize);
        count.map_or(0, |count| count.load(Relaxed))
    }

    pub(super) fn count(&self, outcome: Outcome) {
        if let Some(count) = self.orders.get(outcome as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn set(&self, standing: Standing) {
        let mut all = self.certificates.lock();
        if let Some(place) = all.iter_mut().find(|s| s.ssl == standing.ssl) {
            *place = standing;
        }
    }
}
