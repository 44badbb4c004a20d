//! Bodies in files: written and removed by a thread of their own, never by one that serves requests.
//!
//! A process keeps its files in a folder of its own, which goes with it: what a process left that was killed is removed
//! by the next one. Nothing is read that this process has not written.

use super::entry::Response;
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Bytes that may wait to be written. What is more is not kept.
const BACKLOG: u64 = 64 * 1024 * 1024;

/// Files that may wait to be written.
const WAITING: usize = 1024;

/// A body in a file; the file goes with it.
pub(crate) struct File {
    path: PathBuf,
    pub(crate) length: u64,
    writer: Arc<Writer>,
}

impl Drop for File {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        self.writer.remove(path);
    }
}

impl File {
    /// The whole body, which is no longer than the plugin let it be when it was stored.
    pub(crate) async fn read(&self) -> io::Result<Bytes> {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || fs::read(path));
        let bytes = read.await.map_err(io::Error::other)??;
        if bytes.len() as u64 != self.length {
            return Err(io::Error::other(
                "the file has another length than was written",
            ));
        }
        Ok(Bytes::from(bytes))
    }
}

/// What becomes of a response whose body is in a file now.
type Done = Box<dyn FnOnce(Response) + Send>;

enum Job {
    Write {
        body: Bytes,
        response: Box<dyn FnOnce(File) -> Response + Send>,
        done: Done,
    },
    /// There are files to remove.
    Remove,
}

/// The thread that writes, and the way to it.
pub(crate) struct Writer {
    folder: PathBuf,
    /// `None` until the first response is to be stored; the thread ends when this is dropped.
    jobs: Mutex<Option<Sender<Job>>>,
    bytes: AtomicU64,
    /// Files to remove: no more than there were responses.
    gone: Mutex<Vec<PathBuf>>,
    failing: AtomicBool,
}

impl Writer {
    /// A writer below `folder`, which is made when there is something to write.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            jobs: Mutex::new(None),
            bytes: AtomicU64::new(0),
            gone: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Has a body written and calls `done` with the response that `response` makes of its file. Nothing happens when too
    /// much waits already, or writing fails.
    pub(crate) fn store(
        self: &Arc<Self>,
        body: Bytes,
        response: impl FnOnce(File) -> Response + Send + 'static,
        done: impl FnOnce(Response) + Send + 'static,
    ) {
        let length = body.len() as u64;
        if self.bytes.load(Relaxed) + length > BACKLOG {
            tracing::debug!("a response was not stored: the disk does not keep up");
            return;
        }
        self.bytes.fetch_add(length, Relaxed);
        self.start();
        let job = Job::Write {
            body,
            response: Box::new(response),
            done: Box::new(done),
        };
        if !self.send(job) {
            self.bytes.fetch_sub(length, Relaxed);
            tracing::debug!("a response was not stored: the disk does not keep up");
        }
    }

    /// Has a file removed. When too much waits already, the thread comes to it all the same.
    fn remove(&self, path: PathBuf) {
        self.gone.lock().push(path);
        self.send(Job::Remove);
    }

    fn start(self: &Arc<Self>) {
        let mut jobs = self.jobs.lock();
        if jobs.is_some() {
            return;
        }
        let (sender, receiver) = channel(WAITING);
        let (folder, writer) = (self.folder.clone(), Arc::downgrade(self));
        let thread = std::thread::Builder::new().name("proxy-cache".into());
        let started = thread.spawn(move || {
            let own = Own::make(&folder);
            work(receiver, own.as_ref(), &writer);
        });
        match started {
            Ok(_) => *jobs = Some(sender),
            Err(error) => tracing::error!(%error, "proxy-cache could not start its thread"),
        }
    }

    /// Whether the job waits now; false when too many do.
    fn send(&self, job: Job) -> bool {
        let jobs = self.jobs.lock();
        jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }

    /// Logs the first of several failures in a row.
    fn failed(&self, error: &io::Error) {
        if !self.failing.swap(true, Relaxed) {
            tracing::warn!(folder = %self.folder.display(), %error, "proxy-cache cannot write");
        }
    }
}

/// The folder of this process, locked as long as it runs.
struct Own {
    folder: PathBuf,
    _lock: fs::File,
}

impl Own {
    fn make(zone: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(zone)?;
        sweep(zone);
        let folder = zone.join(format!("p-{}", uuid::Uuid::now_v7().simple()));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let lock = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(folder.join("lock.new"))?;
        lock.lock()?;
        // Under its name only when it is locked: another process that starts looks at that one.
        fs::rename(folder.join("lock.new"), folder.join("lock"))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Removes what processes left that are no more: their locks are free.
fn sweep(zone: &Path) {
    let Ok(folders) = fs::read_dir(zone) else {
        return;
    };
    for folder in folders.flatten() {
        let ours = folder.file_name().to_string_lossy().starts_with("p-");
        let is_folder = folder.file_type().is_ok_and(|kind| kind.is_dir());
        if !(ours && is_folder) {
            continue;
        }
        let free =
            fs::File::open(folder.path().join("lock")).is_ok_and(|lock| lock.try_lock().is_ok());
        if free && let Err(error) = fs::remove_dir_all(folder.path()) {
            tracing::warn!(folder = %folder.path().display(), %error, "old files of proxy-cache stay");
        }
    }
}

fn work(mut jobs: Receiver<Job>, own: Result<&Own, &io::Error>, writer: &std::sync::Weak<Writer>) {
    let mut number = 0u64;
    while let Some(job) = jobs.blocking_recv() {
        let Some(writer) = writer.upgrade() else {
            return;
        };
        if let Job::Write {
            body,
            response,
            done,
        } = job
        {
            number += 1;
            let written = match own {
                Ok(own) => write(&own.folder, number, &body),
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            let length = body.len() as u64;
            writer.bytes.fetch_sub(length, Relaxed);
            match written {
                Ok(path) => {
                    writer.failing.store(false, Relaxed);
                    done(response(File {
                        path,
                        length,
                        writer: writer.clone(),
                    }));
                }
                Err(error) => writer.failed(&error),
            }
        }
        let gone = std::mem::take(&mut *writer.gone.lock());
        for path in gone {
            fs::remove_file(path).ok();
        }
    }
}

/// A file under a name that was not used before, so that nobody sees half of one.
fn write(folder: &Path, number: u64, body: &Bytes) -> io::Result<PathBuf> {
    let folder = folder.join(format!("{:02x}", number % 256));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    let path = folder.join(format!("{number:x}"));
    let mut options = OpenOptions::new();
    let mut file = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&path)?;
    if let Err(error) = file.write_all(body) {
        fs::remove_file(&path).ok();
        return Err(error);
    }
    Ok(path)
}
