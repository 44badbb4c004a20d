//! What became of each request, and when the soak itself was in the way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::gateway::DRAIN;

/// What was under way when a node or the gateway was ended may fail until so long after.
const SETTLE: Duration = Duration::from_secs(2);

/// How many losses are told in full.
const TOLD: usize = 50;

/// How something ended.
pub(crate) enum Outcome {
    /// As it should.
    Answered,
    /// As it should, at the second attempt, which HTTP allows the client.
    Retried,
    /// There was no whole answer, or one that says that the gateway or the node has failed.
    Failed(String),
    /// The answer was another one.
    Wrong(String),
}

impl Outcome {
    /// Where a failure is an error.
    pub(crate) fn of<E: std::fmt::Display>(done: Result<(), E>) -> Self {
        match done {
            Ok(()) => Self::Answered,
            Err(error) => Self::Failed(error.to_string()),
        }
    }
}

/// What became of the requests of one kind.
#[derive(Clone, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Answered at the second attempt; not among `answered`.
    pub(crate) retried: u64,
    /// Failed while a node or the gateway was being ended.
    pub(crate) interrupted: u64,
    /// Ended by a process that was replaced, after its drain timeout.
    pub(crate) drained: u64,
    /// Failed at any other time.
    pub(crate) lost: u64,
    /// Answered otherwise than they should, whatever went on.
    pub(crate) wrong: u64,
    /// Microseconds.
    pub(crate) latencies: Vec<f64>,
}

/// One process takes the place of another.
struct Upgrade {
    asked: Instant,
    served: Option<Instant>,
}

/// The book that all workers write into.
pub(crate) struct Ledger {
    started: Instant,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    kinds: BTreeMap<&'static str, Tally>,
    /// Microseconds, of all kinds, by minute since the start.
    minutes: BTreeMap<u64, Vec<f64>>,
    disturbances: Vec<(Instant, Option<Instant>)>,
    upgrades: Vec<Upgrade>,
    losses: Vec<String>,
    excused: Vec<String>,
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

    /// Another process is about to take over. Requests may not fail.
    pub(crate) fn upgrading(&self) {
        self.entries().upgrades.push(Upgrade {
            asked: Instant::now(),
            served: None,
        });
    }

    /// The other process serves.
    pub(crate) fn upgraded(&self) {
        if let Some(last) = self.entries().upgrades.last_mut() {
            last.served = Some(Instant::now());
        }
    }

    /// Whether a process was taking over at some time since `begun`, or has been for a moment.
    pub(crate) fn upgraded_since(&self, begun: Instant) -> bool {
        let entries = self.entries();
        let upgrades = &mut entries.upgrades.iter();
        upgrades.any(|upgrade| upgrade.served.is_none_or(|served| served + SETTLE >= begun))
    }

    /// Writes down how a request ended that began at `begun`.
    pub(crate) fn note(&self, kind: &'static str, begun: Instant, outcome: Outcome) {
        self.write(kind, begun, None, outcome);
    }

    /// The same of a session, whose length says nothing of the gateway, on a connection that was opened at `opened`. What is
    /// asked on an old connection meets the process that it belongs to.
    pub(crate) fn note_session(
        &self,
        kind: &'static str,
        begun: Instant,
        opened: Instant,
        outcome: Outcome,
    ) {
        self.write(kind, begun, Some(opened), outcome);
    }

    fn write(&self, kind: &'static str, begun: Instant, opened: Option<Instant>, outcome: Outcome) {
        let ended = Instant::now();
        let timed = opened.is_none();
        let at = begun.duration_since(self.started);
        let mut entries = self.entries();
        let disturbed = entries.disturbed(ended);
        let drained = entries.drained(opened.unwrap_or(begun), ended);
        let tally = entries.kinds.entry(kind).or_default();
        let (word, why, is_excused) = match outcome {
            Outcome::Answered | Outcome::Retried => {
                match outcome {
                    Outcome::Retried => tally.retried += 1,
                    _ => tally.answered += 1,
                }
                if timed {
                    let micros = (ended - begun).as_secs_f64() * 1e6;
                    tally.latencies.push(micros);
                    let minute = entries.minutes.entry(at.as_secs() / 60);
                    minute.or_default().push(micros);
                }
                return;
            }
            Outcome::Failed(why) if disturbed => {
                tally.interrupted += 1;
                ("interrupted", why, true)
            }
            Outcome::Failed(why) if drained => {
                tally.drained += 1;
                ("drained", why, true)
            }
            Outcome::Failed(why) => {
                tally.lost += 1;
                ("lost", why, false)
            }
            Outcome::Wrong(why) => {
                tally.wrong += 1;
                ("wrong", why, false)
            }
        };
        let since = entries.upgrades.last().map_or_else(String::new, |last| {
            let since = (ended - last.asked).as_secs_f64();
            format!("; the last upgrade was asked for {since:.3} s before the end")
        });
        let told = match is_excused {
            true => &mut entries.excused,
            false => &mut entries.losses,
        };
        if told.len() < TOLD {
            let (at, took) = (at.as_secs_f64(), (ended - begun).as_secs_f64());
            told.push(format!(
                "{kind}, from {at:.3} s of the soak, for {took:.3} s{since}: {word}: {why}"
            ));
        }
    }

    pub(crate) fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        self.entries().kinds.clone()
    }

    /// Latencies in microseconds by minute.
    pub(crate) fn minutes(&self) -> BTreeMap<u64, Vec<f64>> {
        self.entries().minutes.clone()
    }

    /// The first losses, in words.
    pub(crate) fn losses(&self) -> Vec<String> {
        self.entries().losses.clone()
    }

    /// The first failures that were to be expected, in words.
    pub(crate) fn excused(&self) -> Vec<String> {
        self.entries().excused.clone()
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Whether a node or the gateway was being ended at this moment.
    fn disturbed(&self, at: Instant) -> bool {
        let mut disturbances = self.disturbances.iter();
        disturbances.any(|(from, until)| *from <= at && until.is_none_or(|until| at <= until))
    }

    /// Whether a connection that was opened at `opened` belonged to a process that was replaced, until its time was over.
    fn drained(&self, opened: Instant, ended: Instant) -> bool {
        self.upgrades.iter().any(|upgrade| {
            let served = upgrade.served.unwrap_or(ended);
            opened <= served && (upgrade.asked + DRAIN..=served + DRAIN + SETTLE).contains(&ended)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Outcome, Upgrade};
    use crate::gateway::DRAIN;
    use std::time::{Duration, Instant};

    fn failed() -> Outcome {
        Outcome::Failed("502".to_owned())
    }

    #[test]
    fn a_failure_counts_as_lost_only_outside_disturbances() {
        let ledger = Ledger::new();
        let before = Instant::now();
        ledger.note("get", before, failed());
        ledger.disturb();
        ledger.note("get", before, failed());
        ledger.note("get", before, Outcome::Wrong("another body".to_owned()));
        ledger.calm();
        ledger.note("get", before, Outcome::Answered);
        ledger.note("get", before, Outcome::Retried);
        let tallies = ledger.tallies();
        let get = &tallies["get"];
        assert_eq!((get.answered, get.retried), (1, 1));
        assert_eq!((get.interrupted, get.lost, get.wrong), (1, 1, 1));
        assert_eq!(ledger.losses().len(), 2);
    }

    #[test]
    fn an_upgrade_excuses_only_what_outlives_the_drain_timeout() {
        let ledger = Ledger::new();
        let asked = Instant::now();
        let served = asked + Duration::from_millis(200);
        ledger.entries().upgrades.push(Upgrade {
            asked,
            served: Some(served),
        });
        let drained = |begun, ended| ledger.entries().drained(begun, ended);
        assert!(drained(asked, asked + DRAIN));
        assert!(!drained(asked, asked + DRAIN / 2), "cut too early");
        let later = served + Duration::from_millis(1);
        assert!(!drained(later, later + DRAIN), "of the new process");
        assert!(!drained(asked, served + 2 * DRAIN), "cut too late");
        assert!(ledger.upgraded_since(asked));
        assert!(!ledger.upgraded_since(asked + DRAIN));
    }
}
