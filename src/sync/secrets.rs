//! Values of secret managers: fetched before a configuration serves that is the first to refer to them, and again as time goes by.

use super::Authority;
use crate::{
    compile::{Refusal, State, Unresolved},
    secret::Wanted,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

/// So often it is looked whether a value is due.
const LOOK: Duration = Duration::from_millis(250);

impl Authority {
    /// Keeps the values that the configuration refers to fresh, for as long as the process lives.
    pub async fn follow_secrets(self: Arc<Self>) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let state = self.state.load_full();
            let secrets = &state.workshop().secrets;
            let wanted = state.wanted_secrets();
            let due = secrets.due(wanted.clone(), Instant::now());
            // Each manager by itself: one that hangs must not hold up the others.
            let mut by_manager: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
            for wanted in due {
                let of_it = by_manager.entry(wanted.manager.clone()).or_default();
                of_it.insert(wanted);
            }
            let rounds = by_manager.into_values().map(|due| async {
                let changed = secrets.fetch(due, None).await;
                if !changed.is_empty() {
                    self.secrets_changed(changed).await;
                }
            });
            futures::future::join_all(rounds).await;
            // What nobody refers to any more must not open when somebody refers to it again. Under the lock: what a change that is
            // under way has fetched is not referred to yet.
            if secrets.holds_more_than(&wanted) {
                let _changing = self.changing.lock().await;
                secrets.keep_only(&self.state.load().wanted_secrets());
            }
        }
    }

    async fn secrets_changed(&self, changed: BTreeSet<Wanted>) {
        let _changing = self.changing.lock().await;
        let next = State::clone(&self.state.load());
        match rebuilt(next, changed).await {
            Some(next) => {
                self.install(next, super::follow::RESOLVE).await;
                // Metadata may be another one now, and somebody waits for that.
                self.status.send_modify(|_| ());
            }
            None => tracing::error!("a secret that changed could not be compiled"),
        }
    }

    /// Fetches what nobody asked for before, within this time, and builds anew what refers to it. `None` when that broke.
    pub(super) async fn first_secrets(&self, next: State, limit: Duration) -> Option<State> {
        let secrets = &next.workshop().clone().secrets;
        let unknown = secrets.unknown(next.wanted_secrets());
        if unknown.is_empty() {
            return Some(next);
        }
        let changed = secrets.fetch(unknown, Some(limit)).await;
        if changed.is_empty() {
            return Some(next);
        }
        rebuilt(next, changed).await
    }

    /// Says which references have no value now and had one when this was last asked, or were not there; and the other way round.
    pub(super) fn say_unresolved(&self) {
        let now = self.state.load().unresolved_secrets();
        let mut told = self.told.lock();
        let knows = |all: &BTreeSet<Unresolved>, one: &Unresolved| {
            all.iter()
                .any(|o| (&o.key, &o.path) == (&one.key, &one.path))
        };
        for one in now.iter().filter(|one| !knows(&told, one)) {
            tracing::error!(key = %one.key, path = one.path, reference = one.reference, why = one.why, "a secret is not to be had; what refers to it is shut");
        }
        for one in told.iter().filter(|one| !knows(&now, one)) {
            tracing::info!(key = %one.key, path = one.path, "nothing waits for this secret any more");
        }
        *told = now;
    }
}

/// Compiling is work for a thread that may be kept busy.
async fn rebuilt(mut next: State, changed: BTreeSet<Wanted>) -> Option<State> {
    let compiled = tokio::task::spawn_blocking(move || {
        let refusals: Vec<Refusal> = next.secrets_changed(&changed);
        (next, refusals)
    });
    let (next, refusals) = compiled.await.ok()?;
    for refusal in refusals {
        tracing::error!(key = %refusal.key, path = refusal.path, error = refusal.message, "a document was refused with its new secret");
    }
    Some(next)
}
