//! Where configuration documents live: one trait over an embedded database, a declarative file and
//! plain memory, in the terms of etcd (revisions, compare-and-swap, watches, a prefix for each
//! gateway group) so that etcd fits the same trait. Keys are strings such as `routes/1`, values are
//! JSON; what they mean is decided above this floor.

pub mod document;
pub mod embedded;
pub mod file;
mod history;
pub mod memory;
mod reading;
pub mod transaction;
mod trouble;

#[cfg(test)]
mod contract;
#[cfg(test)]
mod property;

use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::watch;

pub use document::{Change, Contents, Entry, Event, Key, KeyError, Revision};
pub use embedded::{Embedded, EmbeddedStore};
pub use file::FileStore;
pub use history::HistoryLimit;
pub use memory::{Memory, MemoryStore};
pub use reading::Reading;
pub use transaction::{CommitError, Committed, Expect, Transaction, Write};
pub use trouble::{Position, Trouble};

/// The documents below one prefix: a handle is opened for one gateway group and neither sees nor
/// changes another's.
///
/// Revisions count the transactions of the *whole* store, other groups included, so a handle sees
/// gaps.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The documents whose key starts with `prefix` ("" for all), as of one revision, in key order
    /// and in portions: for a start with many documents, which should not be held twice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; later portions can still fail, a stream that ends without an
    /// error is complete.
    async fn read(&self, prefix: &str) -> Result<Reading, StoreError>;

    /// The document under `key`, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError>;

    /// The newest revision of the store.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Applies all writes as one, if all expectations hold. `Ok` means that the writes are durable
    /// where the store is, and that every `load` from now on sees them.
    ///
    /// The writes may happen even if the caller no longer waits for them.
    ///
    /// A transaction that changes nothing (it deletes what is not there) succeeds with the revision
    /// that was.
    ///
    /// # Errors
    /// See [`CommitError`]. Nothing is written unless the answer is `Ok` — except that after
    /// [`CommitError::Unavailable`] the outcome is unknown, as with any store.
    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError>;

    /// What happens after `from`, in order, one event for each transaction that touched this group.
    /// Start with the revision that [`Store::load`] gave.
    ///
    /// Each event is the difference to the one before, *whether or not the watcher could use it*:
    /// the store holds the documents, not opinions on them. A watcher that refuses an event keeps
    /// serving what it has and applies the next event to all it has seen, refused or not — or
    /// simply calls [`Store::load`] again and skips events up to that revision.
    ///
    /// The stream ends when the store is closed. [`WatchError::Compacted`] is its last item: load
    /// again, then watch from there.
    fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>>;

    /// What is wrong with the store at the moment, for the status page: a file that does not parse,
    /// a full disk. `None` when all is well. Closed (`changed` fails) when the store is.
    fn trouble(&self) -> watch::Receiver<Option<Trouble>>;

    /// `embedded`, `file`, `memory`.
    fn name(&self) -> &'static str;

    /// Whether [`Store::commit`] can succeed at all.
    fn writable(&self) -> bool;

    /// Lets go of what keeps other processes out, for one that is about to take this one's place. All that was acknowledged is
    /// durable then; until [`reclaim`](Self::reclaim) nothing can be read or written. Does nothing where nothing keeps others out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the store is then as before.
    async fn release(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Takes back what was [released](Self::release). What another process wrote meanwhile, watchers are told.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; the store is then still released.
    async fn reclaim(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// All documents of the group.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn load(&self) -> Result<Contents, StoreError> {
        self.list("").await
    }

    /// All documents whose key starts with `prefix`, in key order.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]
    async fn list(&self, prefix: &str) -> Result<Contents, StoreError> {
        self.read(prefix).await?.collect().await
    }
}

/// Why documents could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum StoreError {
    /// The store does not answer; what it holds is not lost.
    #[error("the store cannot be read: {0}")]
    Unavailable(String),
}

/// Why a watch ended.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum WatchError {
    /// The store no longer knows all that happened since the revision asked for.
    #[error(
        "changes since revision {from} are no longer kept, the oldest known is after {kept}; load again"
    )]
    Compacted {
        /// Where the watcher was.
        from: Revision,
        /// Changes after this revision are kept.
        kept: Revision,
    },
}

/// The name of a gateway group's key space, such as `/apisix`.
type Group = Arc<str>;
