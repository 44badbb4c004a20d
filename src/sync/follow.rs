//! Follows the store: load once, then every event; after a gap, load again.

use super::{
    Authority, Policy, Status,
    status::{Refused, RefusedDocument},
};
use crate::{
    compile::{Change, Refusal, State},
    model::ResourceKey,
    store::{self, Contents, Revision, WatchError},
};
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashSet},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

/// How long a change waits for the first answer of the name service. Without one the upstream starts unresolved.
pub(super) const RESOLVE: Duration = Duration::from_secs(2);
/// So many events at most are compiled as one.
const BATCH: usize = 1024;
/// Between two attempts to read a store that does not answer.
const RETRY: Duration = Duration::from_millis(500);
/// Problems that the status keeps of one refused change.
const PROBLEMS: usize = 20;

/// Changes that were refused as a whole and are tried again with the next ones.
type Pending = BTreeMap<ResourceKey, Option<bytes::Bytes>>;

impl Authority {
    /// Follows the store until it is closed.
    pub async fn follow(self: Arc<Self>) {
        let mut pending = Pending::new();
        loop {
            let contents = match self.store.load().await {
                Ok(contents) => contents,
                Err(error) => {
                    tracing::error!(%error, "the store cannot be read; what serves, serves on");
                    self.status
                        .send_modify(|s| s.store_error = Some(error.to_string()));
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            let from = contents.revision;
            let changes = self.difference(contents);
            pending.clear();
            self.take(from, changes, &mut pending).await;
            if !self.watch(from, &mut pending).await {
                return;
            }
        }
    }

    /// Follows events from a revision on; `true` when the store has to be loaded again.
    async fn watch(&self, from: Revision, pending: &mut Pending) -> bool {
        let mut events = self.store.watch(from).ready_chunks(BATCH);
        while let Some(chunk) = events.next().await {
            let mut changes = Vec::new();
            let mut revision = None;
            for event in chunk {
                match event {
                    Ok(event) => {
                        revision = Some(event.revision);
                        changes.extend(event.changes.into_iter().filter_map(change_of));
                    }
                    Err(error @ WatchError::Compacted { .. }) => {
                        tracing::warn!(%error, "too far behind the store; loading it again");
                        return true;
                    }
                }
            }
            if let Some(revision) = revision {
                self.take(revision, changes, pending).await;
            }
        }
        false
    }

    /// What has to change to get from the state to the store's contents.
    fn difference(&self, contents: Contents) -> Vec<Change> {
        let state = self.state.load();
        let mut kept = HashSet::with_capacity(contents.entries.len());
        let mut changes = Vec::new();
        for entry in contents.entries {
            let Some((key, content)) = change_of(store::Change::Put(entry)) else {
                continue;
            };
            kept.insert(key.clone());
            if state.document(&key) != content.as_ref() {
                changes.push((key, content));
            }
        }
        changes.extend(
            state
                .documents()
                .map(|(k, _)| k)
                .filter(|k| !kept.contains(k))
                .map(|k| (k.clone(), None)),
        );
        changes
    }

    /// Compiles changes and, if they are good, lets them serve.
    async fn take(&self, revision: Revision, changes: Vec<Change>, pending: &mut Pending) {
        let _changing = self.changing.lock().await;
        pending.extend(changes);
        let batch: Vec<Change> = std::mem::take(pending).into_iter().collect();
        let whole = self.policy == Policy::AllOrNothing;
        let retry = whole.then(|| batch.clone());
        let mut next = State::clone(&self.state.load());
        // Many documents are much work, and this runtime also answers the Admin API.
        let compiled = tokio::task::spawn_blocking(move || {
            let mut refusals = next.apply(revision.0, batch);
            if whole {
                refusals.extend(next.dangling());
            }
            (next, refusals)
        });
        let Ok((next, refusals)) = compiled.await else {
            tracing::error!(%revision, "a change could not be compiled; what serves, serves on");
            self.refuse(revision, &[], true);
            return;
        };
        for refusal in &refusals {
            tracing::error!(key = %refusal.key, path = refusal.path, error = refusal.message, %revision, "a document was refused");
        }
        if let (false, Some(batch)) = (refusals.is_empty(), retry) {
            pending.extend(batch);
            self.refuse(revision, &refusals, true);
            return;
        }
        let until = Instant::now() + RESOLVE;
        let Some(next) = self.first_secrets(next, RESOLVE).await else {
            tracing::error!(%revision, "a change could not be compiled; what serves, serves on");
            self.refuse(revision, &[], true);
            return;
        };
        self.install(next, until.saturating_duration_since(Instant::now()))
            .await;
        match refusals.is_empty() {
            true => self.status.send_modify(|s| serve(s, revision)),
            false => self.refuse(revision, &refusals, false),
        }
    }

    /// Lets a state serve. Names of new upstreams have so long to be resolved.
    pub(super) async fn install(&self, mut next: State, limit: Duration) {
        let (fresh, retired) = (next.take_fresh(), next.take_retired());
        let waits = fresh
            .iter()
            .map(|fresh| fresh.upstream.resolve_first(limit));
        futures::future::join_all(waits).await;
        let snapshot = Arc::new(next.snapshot());
        let workshop = next.workshop().clone();
        let before = self.state.swap(Arc::new(next));
        self.current.store(snapshot);
        for fresh in &fresh {
            workshop.live.keep(fresh);
            fresh.upstream.start();
        }
        for upstream in retired {
            upstream.stop();
        }
        self.say_unresolved();
        // What nothing refers to any more goes here, after the swap.
        drop(before);
    }

    /// Puts down a refusal: of the whole change, or of a part of it while the rest serves.
    fn refuse(&self, revision: Revision, refusals: &[Refusal], whole: bool) {
        let state = self.state.load();
        let problems = refusals.iter().take(PROBLEMS).map(|r| RefusedDocument {
            key: r.key.to_string(),
            path: r.path.clone(),
            error: r.message.clone(),
        });
        let refused = Refused {
            revision: revision.0,
            at: SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            problems: problems.collect(),
            serving_older: whole || refusals.iter().all(|r| state.document(&r.key).is_some()),
        };
        // In one step: a start that is told of a refusal and of nothing that serves would give up.
        self.status.send_modify(|s| {
            if !whole {
                serve(s, revision);
            }
            s.seen = revision.0;
            s.refused_total += refusals.len().max(1) as u64;
            s.refused = Some(refused);
        });
    }
}

fn serve(status: &mut Status, revision: Revision) {
    status.ready = true;
    status.seen = revision.0;
    status.serving = revision.0;
    status.since = Some(SystemTime::now());
    status.store_error = None;
}

/// A change in terms of resources; a key that is none of ours is logged and left alone.
pub(crate) fn change_of(change: store::Change) -> Option<Change> {
    if change.key().as_str() == "plugins" {
        tracing::warn!(
            "the list `plugins` of the resources is not used: `plugins` of the settings says which are on"
        );
        return None;
    }
    let key = match ResourceKey::from_str(change.key().as_str()) {
        Ok(key) => key,
        Err(error) => {
            tracing::warn!(%error, "the store holds something that is no resource");
            return None;
        }
    };
    Some(match change {
        store::Change::Put(entry) => (key, Some(entry.value)),
        store::Change::Delete { .. } => (key, None),
    })
}
