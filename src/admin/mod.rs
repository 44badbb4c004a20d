//! The Admin API in the shape of APISIX: generic CRUD over [`model::Kind`](crate::model::Kind), validation, plugins,
//! schemas, and the standalone dialect. It writes to the store and asks the [`Authority`] what it would take; it never
//! touches what serves.

mod answer;
mod auth;
mod body;
mod configs;
mod delete;
mod dispatch;
mod error;
mod judge;
mod list;
mod openapi;
mod patch;
mod path;
mod plugins;
mod query;
mod read;
mod references;
mod schema;
mod sections;
mod stamp;
mod validate;
mod write;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use auth::{AdminKeys, EmptyKey, Role};
pub use dispatch::router;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::http::HeaderValue;
use crossway_sdk::expr::IpSet;
use tokio::sync::{Mutex, RwLock};

use crate::{
    model::ResourceKey,
    store::{CommitError, Committed, Key, Revision, Transaction},
    sync::Authority,
};
use configs::Standalone;
use error::Failure;

/// How long a write waits until it serves. Names that do not resolve may take longer than that.
const LIVE: Duration = Duration::from_secs(2);
/// How long a request waits until the configuration has caught up with what it builds on.
const CAUGHT_UP: Duration = Duration::from_secs(5);

/// What the operator decides about the Admin API.
#[derive(Clone)]
pub struct Options {
    /// Largest request body in bytes, but for whole configurations. Default 1.5 MiB.
    pub max_body: usize,
    /// Whether web pages of other origins may call. Default true.
    pub cors: bool,
    /// The `Server` header; clients read the version that they talk to out of it: `APISIX/3.18.0`.
    pub server_header: HeaderValue,
    /// Whether a key is needed at all. Default true.
    pub key_required: bool,
    /// The addresses that may connect; empty for all. Default 127.0.0.0/24 and ::1.
    pub allow: IpSet,
    /// Whether there are listeners for stream routes; without one, stream routes cannot be written. Default true.
    pub stream: bool,
    /// What keys begin with when they are shown: the prefix of the store's group. Default `/apisix`.
    pub prefix: String,
}

impl Options {
    /// The defaults, with this `Server` header.
    pub fn new(server_header: HeaderValue) -> Self {
        Self {
            max_body: 3 << 19,
            cors: true,
            server_header,
            key_required: true,
            stream: true,
            // These are networks, so the set is never the empty one, which would let everybody in.
            allow: IpSet::parse(["127.0.0.0/24", "::1"]).unwrap_or_default(),
            prefix: "/apisix".to_owned(),
        }
    }
}

/// Who may call, and what the operator decided. A call is judged by one of these from its beginning to its end.
struct Rules {
    keys: AdminKeys,
    options: Options,
}

/// The Admin API over one authority.
pub struct Admin {
    authority: Arc<Authority>,
    rules: ArcSwap<Rules>,
    /// Writes that no other one can contradict hold it together; those whose rules span documents hold it alone.
    turn: RwLock<()>,
    /// The newest revision that was written here.
    written: AtomicU64,
    /// The number in the newest id that was given out.
    numbered: AtomicU64,
    standalone: Mutex<Standalone>,
}

impl Admin {
    /// An Admin API. Answers come once [`router`] is served.
    pub fn new(authority: Arc<Authority>, keys: AdminKeys, options: Options) -> Self {
        Self {
            authority,
            rules: ArcSwap::from_pointee(Rules { keys, options }),
            turn: RwLock::new(()),
            written: AtomicU64::new(0),
            numbered: AtomicU64::new(0),
            standalone: Mutex::default(),
        }
    }

    /// Takes other keys and options for the calls that come from now on.
    pub fn renew(&self, keys: AdminKeys, options: Options) {
        self.rules.store(Arc::new(Rules { keys, options }));
    }

    /// Waits until everything that was written here serves, as far as that can be waited for.
    async fn catch_up(&self) {
        let written = Revision(self.written.load(Ordering::Acquire));
        if !self.authority.wait_for(written, CAUGHT_UP).await {
            tracing::warn!(revision = %written, "a write is judged although an earlier one does not serve yet");
        }
    }

    /// Stores a transaction.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        let committed = self.authority.store().commit(transaction).await?;
        self.written
            .fetch_max(committed.revision.0, Ordering::AcqRel);
        Ok(committed)
    }

    /// Waits until a revision serves, so that a write which was answered is live.
    async fn settle(&self, revision: Revision) {
        if !self.authority.wait_for(revision, LIVE).await {
            tracing::warn!(%revision, "a write was answered before it serves");
        }
    }

    /// Refuses a write at once when the store takes none.
    async fn writable(&self) -> Result<(), Failure> {
        let store = self.authority.store();
        if store.writable() {
            return Ok(());
        }
        // An empty transaction changes nothing, and a store that cannot be written says where to write instead.
        let refused = store.commit(Transaction::default()).await;
        refused.map(drop).map_err(Failure::from)
    }
}

/// The store's key of a document.
fn store_key(key: &ResourceKey) -> Result<Key, Failure> {
    Ok(Key::new(&key.to_string())?)
}
