//! Documents in one redb file, `<data_dir>/crossway.redb`: durable when acknowledged, several
//! gateway groups in one file, one process at a time.

mod disk;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{mpsc, oneshot, watch};

use super::history::History;
use super::{
    CommitError, Committed, Entry, Event, Group, HistoryLimit, Key, Reading, Revision, Store,
    StoreError, Transaction, Trouble, WatchError,
};
use disk::{Disk, Opener};
use writer::Writer;

/// Documents in one portion of a [`Reading`].
const PORTION: usize = 256;

/// How the database is kept.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedOptions {
    /// Bytes of pages that are kept in memory.
    pub cache_bytes: usize,
    /// What watchers can catch up with. It is in memory: after a restart they load again.
    pub history: HistoryLimit,
}

impl Default for EmbeddedOptions {
    /// A cache of 4 MiB.
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 20,
            history: HistoryLimit::default(),
        }
    }
}

/// Why the database could not be opened. It is never overwritten.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A second gateway on the same directory.
    #[error(
        "{} is in use by another process; each gateway needs a data directory of its own",
        .0.display()
    )]
    InUse(PathBuf),
    /// The file is damaged, empty, or no database at all.
    #[error(
        "{} is damaged and was left as it is ({why}); restore it from a backup, or move it away \
         to start empty",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Written by another version or program.
    #[error("{} cannot be used and was left as it is: {why}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it is.
        why: String,
    },
    /// The file system refused.
    #[error("cannot open {}: {error}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Its answer.
        error: io::Error,
    },
}

/// The open database. Clones share it; it closes when they and all stores from it are gone.
#[derive(Clone)]
pub struct Embedded {
    core: Arc<Core>,
}

/// The documents of one group.
#[derive(Clone)]
pub struct EmbeddedStore {
    core: Arc<Core>,
    group: Group,
}

struct Core {
    disk: Arc<Disk>,
    history: Arc<History>,
    writer: Writer,
}

impl Drop for Core {
    fn drop(&mut self) {
        // The last batch is written and the file is free for another process when this returns.
        self.writer.stop();
        self.history.close();
    }
}

impl Embedded {
    /// Opens the database in `directory`, creating both if need be (the directory with mode 0700).
    /// Documents that expired meanwhile are deleted first. Blocks on the disk: call it at start, or
    /// from `spawn_blocking`.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(directory: &Path, options: EmbeddedOptions) -> Result<Self, OpenError> {
        Self::open_with(directory, options, disk::opener(options.cache_bytes))
    }

    fn open_with(
        directory: &Path,
        options: EmbeddedOptions,
        opener: Opener,
    ) -> Result<Self, OpenError> {
        let disk = Arc::new(Disk::open(directory, opener)?);
        let head = disk.head().map_err(|error| disk.open_error(error))?;
        let history = Arc::new(History::new(head, options.history));
        let writer =
            Writer::start(Arc::clone(&disk), Arc::clone(&history), head).map_err(|error| {
                OpenError::Io {
                    path: directory.to_owned(),
                    error,
                }
            })?;
        Ok(Self {
            core: Arc::new(Core {
                disk,
                history,
                writer,
            }),
        })
    }

    /// The documents below `prefix`, such as `/apisix`.
    pub fn group(&self, prefix: &str) -> EmbeddedStore {
        EmbeddedStore {
            core: Arc::clone(&self.core),
            group: prefix.into(),
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn read(&self, prefix: &str) -> Result<Reading, StoreError> {
        let disk = Arc::clone(&self.core.disk);
        let (group, prefix) = (Group::clone(&self.group), prefix.to_owned());
        let (begun, head) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(2);
        tokio::task::spawn_blocking(move || scan(disk, &group, &prefix, begun, &sender));
        let revision = head.await.map_err(|_| stopped())??;
        let portions = stream::unfold(Some(receiver), |receiver| async move {
            let mut receiver = receiver?;
            match receiver.recv().await {
                Some(Portion::Entries(entries)) => Some((Ok(entries), Some(receiver))),
                Some(Portion::Failed(error)) => Some((Err(error), None)),
                Some(Portion::End) => None,
                // Without its end mark a reading is not complete.
                None => Some((Err(stopped()), None)),
            }
        });
        Ok(Reading {
            revision,
            portions: portions.boxed(),
        })
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let disk = Arc::clone(&self.core.disk);
        let (group, key) = (Group::clone(&self.group), key.clone());
        blocking(move || disk.reading(|open| tables::entry(open, &group, &key))).await
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        let disk = Arc::clone(&self.core.disk);
        blocking(move || disk.reading(tables::head)).await
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        transaction.check()?;
        self.core
            .writer
            .commit(Group::clone(&self.group), transaction)
            .await
    }

    fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>> {
        self.core.history.watch(Group::clone(&self.group), from)
    }

    fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.core.disk.trouble()
    }

    fn name(&self) -> &'static str {
        "embedded"
    }

    fn writable(&self) -> bool {
        true
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.core.writer.release().await
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        self.core.writer.reclaim().await
    }
}

enum Portion {
    Entries(Vec<Entry>),
    Failed(StoreError),
    End,
}

/// Sends the revision, then all documents in one read transaction, then the end mark; stops early
/// when nobody listens.
fn scan(
    disk: Arc<Disk>,
    group: &str,
    prefix: &str,
    begun: oneshot::Sender<Result<Revision, StoreError>>,
    portions: &mpsc::Sender<Portion>,
) {
    let mut begun = Some(begun);
    let done = disk.reading(|open| {
        let head = tables::head(open)?;
        if let Some(begun) = begun.take() {
            let listening = begun.send(Ok(head)).is_ok();
            if !listening {
                return Ok(());
            }
        }
        tables::portions(open, group, prefix, PORTION, |entries| {
            portions.blocking_send(Portion::Entries(entries)).is_ok()
        })
    });
    // Who has seen the end may close the store and open it again.
    drop(disk);
    // A listener that has gone is no error.
    match (done, begun) {
        (Ok(()), _) => drop(portions.blocking_send(Portion::End)),
        (Err(error), Some(begun)) => drop(begun.send(Err(error))),
        (Err(error), None) => drop(portions.blocking_send(Portion::Failed(error))),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the reading stopped half-way, see the log".to_owned())
}
