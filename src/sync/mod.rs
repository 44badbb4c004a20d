//! The authority over what serves: follows the store, compiles, swaps. Whatever goes wrong, the last good configuration serves on.

mod follow;
mod secrets;
mod status;

pub(crate) use follow::change_of;
pub use status::{Refused, RefusedDocument, Status};

use crate::{
    compile::{Refusal, State, Unresolved},
    model::ResourceKey,
    snapshot::{Conduct, Current},
    store::{Revision, Store},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How documents that are refused are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Each for itself: what is good serves. For stores in which every write was judged before.
    EachForItself,
    /// All or nothing: a file is one document, and half of it is not what its author meant.
    AllOrNothing,
}

/// Holds the state that follows the store, and the snapshot that serves.
pub struct Authority {
    store: Arc<dyn Store>,
    policy: Policy,
    state: ArcSwap<State>,
    current: Arc<Current>,
    status: watch::Sender<Status>,
    /// Held by who changes the state: changes of documents and of secrets come one after the other.
    changing: tokio::sync::Mutex<()>,
    /// References without a value that the log knows of.
    told: parking_lot::Mutex<BTreeSet<Unresolved>>,
}

impl Authority {
    /// An authority over `store` that starts from an empty state. Nothing is read before [`Authority::follow`] runs.
    pub fn new(store: Arc<dyn Store>, state: State) -> Arc<Self> {
        let policy = if store.writable() {
            Policy::EachForItself
        } else {
            Policy::AllOrNothing
        };
        let current = Arc::new(Current::new(Arc::new(state.snapshot())));
        let (status, _) = watch::channel(Status::default());
        Arc::new(Self {
            store,
            policy,
            state: ArcSwap::from_pointee(state),
            current,
            status,
            changing: Default::default(),
            told: Default::default(),
        })
    }

    /// What serves.
    pub fn current(&self) -> Arc<Current> {
        self.current.clone()
    }

    /// Where the documents live.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The state that was compiled last.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// How it stands.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Has traffic treated in another way from now on, in one swap. Documents stay as they are, and what is in flight ends as it
    /// began.
    pub async fn conduct(&self, conduct: Arc<Conduct>) {
        let _changing = self.changing.lock().await;
        let mut next = State::clone(&self.state.load());
        let before = next.conduct().clone();
        next.set_conduct(conduct);
        let snapshot = Arc::new(next.snapshot());
        drop(self.state.swap(Arc::new(next)));
        self.current.store(snapshot);
        before.connections.supersede();
    }

    /// Whether a document would be taken: what is asked before a write is stored.
    ///
    /// # Errors
    /// Why not.
    pub fn trial(&self, key: &ResourceKey, content: Bytes) -> Result<(), Refusal> {
        self.state.load().trial(key, content)
    }

    /// Waits until a revision serves, or was refused; `false` when `limit` ran out before.
    pub async fn wait_for(&self, revision: Revision, limit: Duration) -> bool {
        let mut status = self.status.subscribe();
        let reached = status.wait_for(|s| s.seen >= revision.0);
        matches!(tokio::time::timeout(limit, reached).await, Ok(Ok(_)))
    }
}
