//! What became of each request, and when the soak itself was in the way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Answers to what was under way when a node or the gateway was ended may fail until so long after.
const SETTLE: Duration = Duration::from_secs(2);

/// How many losses are told in full.
const TOLD: usize = 20;

/// What became of the requests of one kind.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Failed while a node or the gateway was being ended.
    pub(crate) interrupted: u64,
    /// Failed at any other time.
    pub(crate) lost: u64,
}

/// The book that all workers write into.
pub(crate) struct Ledger {
    started: Instant,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    kinds: BTreeMap<&'static str, Tally>,
    /// Microseconds, by minute since the start.
    latencies: BTreeMap<u64, Vec<f64>>,
    disturbances: Vec<(Instant, Option<Instant>)>,
    losses: Vec<String>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            entries: Mutex::default(),
        }
    }

    /// From now on requests may fail, until [`Ledger::calm`].
    pub(crate) fn disturb(&self) {
        self.entries().disturbances.push((Instant::now(), None));
    }

    /// Requests may fail for a moment longer, and then no more.
    pub(crate) fn calm(&self) {
        if let Some((_, until)) = self.entries().disturbances.last_mut() {
            *until = Some(Instant::now() + SETTLE);
        }
    }

    /// Writes down what became of something that began at `begun`.
    pub(crate) fn note(&self, kind: &'static str, begun: Instant, outcome: Result<(), String>) {
        let ended = Instant::now();
        let at = begun.duration_since(self.started);
        let mut entries = self.entries();
        let disturbed = entries
            .disturbances
            .iter()
            .any(|(from, until)| *from <= ended && until.is_none_or(|until| begun <= until));
        let tally = entries.kinds.entry(kind).or_default();
        match outcome {
            Ok(()) => {
                tally.answered += 1;
                let micros = (ended - begun).as_secs_f64() * 1e6;
                entries
                    .latencies
                    .entry(at.as_secs() / 60)
                    .or_default()
                    .push(micros);
            }
            Err(_) if disturbed => tally.interrupted += 1,
            Err(why) => {
                tally.lost += 1;
                if entries.losses.len() < TOLD {
                    let (at, took) = (at.as_secs_f64(), (ended - begun).as_secs_f64());
                    entries.losses.push(format!(
                        "{kind}, from {at:.3} s of the soak, for {took:.3} s: {why}"
                    ));
                }
            }
        }
    }

    pub(crate) fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        self.entries().kinds.clone()
    }

    pub(crate) fn latencies(&self) -> BTreeMap<u64, Vec<f64>> {
        self.entries().latencies.clone()
    }

    /// The first losses, in words.
    pub(crate) fn losses(&self) -> Vec<String> {
        self.entries().losses.clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;
    use std::time::Instant;

    #[test]
    fn a_failure_counts_as_lost_only_outside_disturbances() {
        let ledger = Ledger::new();
        ledger.note("get", Instant::now(), Err("502".to_owned()));
        let before = Instant::now();
        ledger.disturb();
        ledger.note("get", before, Err("502".to_owned()));
        ledger.calm();
        ledger.note("get", Instant::now(), Ok(()));
        let tallies = ledger.tallies();
        let get = &tallies["get"];
        assert_eq!((get.answered, get.interrupted, get.lost), (1, 1, 1));
        assert_eq!(ledger.losses().len(), 1);
    }
}
