//! The database file: created in one step, locked against other processes, opened again after the
//! disk has failed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, RwLock};
use redb::{Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase, StorageError};
use tokio::sync::watch;

use super::{OpenError, tables};
use crate::store::{Revision, StoreError, Trouble};

const FILE: &str = "crossway.redb";
/// Holds the lock: redb's own ends whenever the database has to be opened again.
const LOCK: &str = "crossway.lock";
/// A database in the making; worthless until it has its final name.
const UNFINISHED: &str = "crossway.redb.new";

/// How long readings that are under way have to end when the database is released.
const READINGS: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What is said of a database that another process may have.
pub(super) const RELEASED: &str = "another process is taking over the store";

/// How a database is opened: a parameter, so that tests can have a disk that fails.
pub(super) type Opener = Box<dyn Fn(&Path) -> Result<Database, DatabaseError> + Send + Sync>;

pub(super) fn opener(cache_bytes: usize) -> Opener {
    Box::new(move |path| Builder::new().set_cache_size(cache_bytes).open(path))
}

pub(super) struct Disk {
    path: PathBuf,
    opener: Opener,
    /// None between a failure and the next successful attempt to open it.
    database: RwLock<Option<Arc<Database>>>,
    trouble: watch::Sender<Option<Trouble>>,
    /// None while another process may have the database.
    lock: Mutex<Option<File>>,
}

impl Disk {
    pub(super) fn open(directory: &Path, opener: Opener) -> Result<Self, OpenError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| OpenError::Io { path, error }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed(directory))?;
        let path = directory.join(FILE);
        let lock = lock(&directory.join(LOCK), &path)?;
        if !path.try_exists().map_err(failed(&path))? {
            create(directory, &path)?;
        }
        let disk = Self {
            path,
            opener,
            database: RwLock::new(None),
            trouble: watch::Sender::new(None),
            lock: Mutex::new(Some(lock)),
        };
        let database = disk
            .database_again()
            .map_err(|error| disk.open_error(error))?;
        if let Err(why) = tables::recognise(&database).map_err(|error| disk.open_error(error))? {
            return Err(OpenError::Format {
                path: disk.path,
                why,
            });
        }
        Ok(disk)
    }

    pub(super) fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.trouble.subscribe()
    }

    /// The newest revision on disk.
    pub(super) fn head(&self) -> Result<Revision, redb::Error> {
        let database = self.database_again()?;
        guarded(|| tables::head(&database.begin_read()?))
    }

    /// Runs `work` in a read transaction; it is closed when this returns.
    pub(super) fn reading<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let Some(database) = self.database.read().clone() else {
            let why = self
                .trouble
                .borrow()
                .as_ref()
                .map(|trouble| trouble.what.clone());
            return Err(StoreError::Unavailable(why.unwrap_or_default()));
        };
        guarded(|| work(&database.begin_read()?))
            .map_err(|error| StoreError::Unavailable(format!("{}: {error}", self.path.display())))
    }

    /// The database, opened again if the last use of it failed. For the writer.
    pub(super) fn database_again(&self) -> Result<Arc<Database>, redb::Error> {
        if let Some(database) = &*self.database.read() {
            return Ok(Arc::clone(database));
        }
        let database = guarded(|| Ok(Arc::new((self.opener)(&self.path)?)))?;
        *self.database.write() = Some(Arc::clone(&database));
        Ok(database)
    }

    /// Closes the database, since redb does not write again after an error.
    pub(super) fn failed(&self, error: &redb::Error) {
        *self.database.write() = None;
        if matches!(error, redb::Error::DatabaseAlreadyOpen) {
            // A reading that began before still holds it; what went wrong first is the news.
            return;
        }
        let what = format!("{}: {error}", self.path.display());
        self.trouble.send_if_modified(|trouble| {
            if trouble.as_ref().is_some_and(|trouble| trouble.what == what) {
                return false;
            }
            log::error!("the embedded store failed: {what}");
            *trouble = Some(Trouble {
                what,
                at: None,
                since: SystemTime::now(),
            });
            true
        });
    }

    /// All is well (again).
    pub(super) fn recovered(&self) {
        self.trouble.send_if_modified(|trouble| {
            let was = trouble.take().is_some();
            if was {
                log::info!("the embedded store works again: {}", self.path.display());
            }
            was
        });
    }

    /// Closes the database and lets other processes have it, once readings have ended. For the writer.
    pub(super) fn release(&self) -> Result<(), StoreError> {
        if let Some(mut database) = self.database.write().take() {
            let deadline = Instant::now() + READINGS;
            // Dropped here and nowhere else: redb's own lock has to be gone when this returns.
            while let Err(still) = Arc::try_unwrap(database) {
                database = still;
                if Instant::now() >= deadline {
                    *self.database.write() = Some(database);
                    let why = format!("{}: it is still being read", self.path.display());
                    return Err(StoreError::Unavailable(why));
                }
                std::thread::park_timeout(LOOK_AGAIN);
            }
        }
        *self.lock.lock() = None;
        self.trouble.send_replace(Some(Trouble {
            what: RELEASED.to_owned(),
            at: None,
            since: SystemTime::now(),
        }));
        Ok(())
    }

    /// Takes the database back from other processes. For the writer.
    pub(super) fn reclaim(&self) -> Result<(), StoreError> {
        let unavailable = |error: &dyn std::fmt::Display| {
            StoreError::Unavailable(format!("{}: {error}", self.path.display()))
        };
        {
            let mut held = self.lock.lock();
            if held.is_none() {
                let file = self.path.with_file_name(LOCK);
                *held = Some(lock(&file, &self.path).map_err(|error| unavailable(&error))?);
            }
        }
        match self.database_again() {
            Ok(_) => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    pub(super) fn open_error(&self, error: redb::Error) -> OpenError {
        let path = self.path.clone();
        let damaged = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            )
        };
        match error {
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse(path),
            redb::Error::UpgradeRequired(version) => OpenError::Format {
                path,
                why: format!("it has file format {version}, which needs an older version"),
            },
            redb::Error::Io(error) if !damaged(&error) => OpenError::Io { path, error },
            error => OpenError::Corrupt {
                path,
                why: error.to_string(),
            },
        }
    }
}

fn lock(lock: &Path, database: &Path) -> Result<File, OpenError> {
    let failed = |error| OpenError::Io {
        path: lock.to_owned(),
        error,
    };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(lock)
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(database.to_owned())),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes an empty database under another name and renames it: a crash leaves either none or a whole
/// one, so that an empty or broken file can always be taken for damage.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let unfinished = directory.join(UNFINISHED);
    let failed = |error| OpenError::Io {
        path: unfinished.clone(),
        error,
    };
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)
        .map_err(failed)?;
    let made = guarded(|| tables::create(&Builder::new().create_file(file)?));
    made.map_err(|error| failed(io::Error::other(error.to_string())))?;
    fs::rename(&unfinished, path).map_err(failed)?;
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// redb panics on some damaged files; a damaged file must not take the gateway down.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("redb panicked");
        Err(StorageError::Corrupted(why.to_owned()).into())
    })
}
