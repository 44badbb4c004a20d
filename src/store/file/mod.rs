//! Documents from one declarative YAML or JSON file in the shape of APISIX's standalone mode,
//! followed while it changes. Read only. It checks the file's syntax and ids; what the documents
//! mean is for the watcher to accept or refuse.

mod environment;
mod json;
mod outline;
mod parse;
mod poll;
mod yaml;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::{
    CommitError, Committed, Entry, Event, HistoryLimit, Key, Memory, MemoryStore, Reading,
    Revision, Store, StoreError, Transaction, Trouble, WatchError,
};
pub use parse::{FileError, Format, Item, SECTIONS, parse};
use poll::{Look, Poller};

/// How often the file is looked at. A change is seen after one look, or two if the file has no
/// `#END`.
const PERIOD: Duration = Duration::from_millis(250);

/// Why the file could not be used at start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct OpenError {
    /// With the file, the line and the column.
    pub what: String,
}

/// The documents of a file, for one group.
///
/// Each change of the file is one event: the difference to the contents before. A file that cannot
/// be read or parsed changes nothing and is reported by [`Store::trouble`]. Revisions start anew with
/// each start.
pub struct FileStore {
    path: PathBuf,
    documents: MemoryStore,
    trouble: watch::Receiver<Option<Trouble>>,
    poll: JoinHandle<()>,
}

impl FileStore {
    /// Reads the file and follows it from now on. `${{NAME}}` is taken from the environment of the
    /// process. Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be read, or is not well-formed.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        let mut poller = Poller::new(path);
        let path = path.to_owned();
        let gone = || OpenError {
            what: format!("{} could not be parsed", path.display()),
        };
        let (poller, look) = tokio::task::spawn_blocking(move || {
            let look = poller.first();
            (poller, look)
        })
        .await
        .map_err(|_| gone())?;
        let documents = Memory::new(HistoryLimit::default()).group("");
        match look {
            Look::Contents(wanted) => take(&documents, wanted).map_err(|error| OpenError {
                what: format!("{}: {error}", path.display()),
            })?,
            Look::Broken { what, .. } => return Err(OpenError { what }),
            Look::Same => return Err(gone()),
        }
        let (sender, trouble) = watch::channel(None);
        let poll = tokio::spawn(follow(poller, documents.clone(), sender));
        Ok(Self {
            path,
            documents,
            trouble,
            poll,
        })
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.poll.abort();
    }
}

#[async_trait]
impl Store for FileStore {
    async fn read(&self, prefix: &str) -> Result<Reading, StoreError> {
        self.documents.read(prefix).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        self.documents.get(key).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.documents.revision().await
    }

    async fn commit(&self, _: Transaction) -> Result<Committed, CommitError> {
        Err(CommitError::ReadOnly {
            why: format!(
                "the configuration is the file {}; edit it, changes are picked up within a second",
                self.path.display()
            ),
        })
    }

    fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>> {
        self.documents.watch(from)
    }

    fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.clone()
    }

    fn name(&self) -> &'static str {
        "file"
    }

    fn writable(&self) -> bool {
        false
    }
}

/// Makes `wanted` the contents, in one transaction.
fn take(documents: &MemoryStore, wanted: Vec<(Key, Bytes)>) -> Result<(), CommitError> {
    let current = documents.contents("");
    documents
        .commit_now(&Transaction::difference(&current.entries, wanted).packed())
        .map(|_| ())
}

async fn follow(poller: Poller, documents: MemoryStore, trouble: watch::Sender<Option<Trouble>>) {
    let poller = Arc::new(Mutex::new(poller));
    let mut period = tokio::time::interval(PERIOD);
    period.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        period.tick().await;
        let looking = Arc::clone(&poller);
        let look = tokio::task::spawn_blocking(move || looking.lock().look()).await;
        let found = match look {
            Ok(Look::Same) => continue,
            Ok(Look::Contents(wanted)) => take(&documents, wanted).err().map(|error| Trouble {
                what: error.to_string(),
                at: None,
                since: SystemTime::now(),
            }),
            Ok(Look::Broken { what, at }) => Some(Trouble {
                what,
                at,
                since: SystemTime::now(),
            }),
            Err(error) => Some(Trouble {
                what: format!("the configuration file could not be parsed: {error}"),
                at: None,
                since: SystemTime::now(),
            }),
        };
        if let Some(found) = &found {
            log::error!("{}; the last good configuration stays in use", found.what);
        }
        trouble.send_replace(found);
    }
}
