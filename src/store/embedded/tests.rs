//! What only a database on a disk can get wrong: restarts, other processes, damage, a full disk,
//! fsyncs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::ops::Bound;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{BackendError, Builder, StorageBackend};
use tempfile::TempDir;

use super::*;
use crate::store::{Change, Expect, Write};

fn open(directory: &TempDir) -> Result<Embedded, OpenError> {
    Embedded::open(directory.path(), EmbeddedOptions::default())
}

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(name: &str) -> Transaction {
    Transaction::put(key(name), "{}")
}

#[tokio::test]
async fn documents_and_revisions_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).unwrap().group("/apisix");
    store.commit(put("routes/1")).await.unwrap();
    store.commit(put("routes/2")).await.unwrap();
    store
        .commit(Transaction::delete(key("routes/1")))
        .await
        .unwrap();
    let before = store.load().await.unwrap();
    drop(store);

    let store = open(&directory).unwrap().group("/apisix");
    assert_eq!(store.load().await.unwrap(), before);
    let mut old = store.watch(Revision(2));
    let compacted = WatchError::Compacted {
        from: Revision(2),
        kept: Revision(3),
    };
    assert_eq!(old.next().await, Some(Err(compacted)));
    let mut events = store.watch(before.revision);
    let conditional = put("routes/2").expecting(key("routes/2"), Expect::Modified(Revision(2)));
    assert_eq!(
        store.commit(conditional).await.unwrap().revision,
        Revision(4)
    );
    assert_eq!(events.next().await.unwrap().unwrap().revision, Revision(4));
}

#[tokio::test]
async fn a_time_to_live_goes_on_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).unwrap().group("/apisix");
    let put_for = |name: &str, ttl| {
        let ttl = Some(Duration::from_millis(ttl));
        Transaction::of(vec![Write::Put {
            key: key(name),
            value: Bytes::new(),
            ttl,
        }])
    };
    store.commit(put_for("routes/over", 1)).await.unwrap();
    store.commit(put_for("routes/soon", 3000)).await.unwrap();
    let expires = store
        .get(&key("routes/soon"))
        .await
        .unwrap()
        .unwrap()
        .expires;
    drop(store);

    let store = open(&directory).unwrap().group("/apisix");
    let contents = store.load().await.unwrap();
    assert_eq!(
        contents.entries.len(),
        1,
        "what was over is gone before anybody reads"
    );
    assert_eq!(contents.entries[0].expires, expires);
    assert_eq!(contents.revision, Revision(3));
    let mut events = store.watch(contents.revision);
    let event = tokio::time::timeout(Duration::from_secs(20), events.next())
        .await
        .unwrap();
    let changes = vec![Change::Delete {
        key: key("routes/soon"),
    }];
    assert_eq!(
        event,
        Some(Ok(Event {
            revision: Revision(4),
            changes
        }))
    );
}

#[tokio::test]
async fn a_second_opening_is_refused_and_a_later_one_is_not() {
    let directory = TempDir::new().unwrap();
    let first = open(&directory).unwrap();
    let error = open(&directory).err().unwrap();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(
        error.to_string().contains("in use by another process"),
        "{error}"
    );
    first
        .group("/apisix")
        .commit(put("routes/1"))
        .await
        .unwrap();
    drop(first);
    open(&directory).unwrap();
}

#[test]
fn the_directory_and_its_files_are_for_the_owner_alone() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("a/data");
    let database = Embedded::open(&directory, EmbeddedOptions::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("crossway.redb")), 0o600);
    assert!(!directory.join("crossway.redb.new").exists());
    drop(database);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("crossway.redb");
    let store = open(&directory).unwrap().group("/apisix");
    for n in 0..100 {
        store.commit(put(&format!("routes/{n}"))).await.unwrap();
    }
    drop(store);
    let good = fs::read(&path).unwrap();

    let mut no_magic = good.clone();
    no_magic[..64].fill(0);
    let mut no_roots = good.clone();
    no_roots[64..320].fill(0xff);
    let half = good[..good.len() / 2].to_vec();
    let damages: [(&str, Vec<u8>); 6] = [
        ("empty", Vec::new()),
        ("short", b"redb".to_vec()),
        ("text", b"routes: []\n".repeat(4000)),
        ("no magic number", no_magic),
        ("no roots", no_roots),
        ("cut", half),
    ];
    for (damage, bytes) in damages {
        fs::write(&path, &bytes).unwrap();
        let error = open(&directory)
            .err()
            .unwrap_or_else(|| panic!("{damage} was accepted"));
        assert!(
            matches!(error, OpenError::Corrupt { .. }),
            "{damage}: {error:?}"
        );
        assert!(error.to_string().contains("crossway.redb"), "{error}");
        assert_eq!(
            fs::read(&path).unwrap(),
            bytes,
            "{damage}: the file was changed"
        );
    }
    fs::write(&path, &good).unwrap();
    let store = open(&directory).unwrap().group("/apisix");
    assert_eq!(store.load().await.unwrap().entries.len(), 100);
}

#[test]
fn the_database_of_another_program_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("crossway.redb");
    let table: redb::TableDefinition<'_, &str, u64> = redb::TableDefinition::new("scores");
    let other = Builder::new().create(&path).unwrap();
    let write = other.begin_write().unwrap();
    write.open_table(table).unwrap().insert("a", 1).unwrap();
    write.commit().unwrap();
    drop(other);
    let error = open(&directory).err().unwrap();
    assert!(matches!(error, OpenError::Format { .. }), "{error:?}");
}

#[test]
fn an_unfinished_creation_is_done_again() {
    let directory = TempDir::new().unwrap();
    fs::write(
        directory.path().join("crossway.redb.new"),
        b"half a database",
    )
    .unwrap();
    open(&directory).unwrap();
}

/// A disk whose writes fail on demand, and that counts its fsyncs.
#[derive(Debug)]
struct Flaky {
    file: FileBackend,
    full: Arc<AtomicBool>,
    /// The next fsync writes and then says that it did not.
    lie: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl Flaky {
    fn check(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        Ok(())
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()?;
        if self.lie.swap(false, Ordering::SeqCst) {
            return Err(io::Error::other("the disk went away"));
        }
        Ok(())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.file.write(offset, data)
    }
    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}

struct FlakyDisk {
    directory: TempDir,
    full: Arc<AtomicBool>,
    lie: Arc<AtomicBool>,
    syncs: Arc<AtomicUsize>,
}

impl FlakyDisk {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        Self {
            directory,
            full: Arc::default(),
            lie: Arc::default(),
            syncs: Arc::default(),
        }
    }

    fn open(&self) -> EmbeddedStore {
        let (full, lie) = (Arc::clone(&self.full), Arc::clone(&self.lie));
        let syncs = Arc::clone(&self.syncs);
        let opener: Opener = Box::new(move |path| {
            let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
            Builder::new().create_with_backend(Flaky {
                file: FileBackend::new(file)?,
                full: Arc::clone(&full),
                lie: Arc::clone(&lie),
                syncs: Arc::clone(&syncs),
            })
        });
        let directory = self.directory.path();
        Embedded::open_with(directory, EmbeddedOptions::default(), opener)
            .unwrap()
            .group("/apisix")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_writes_and_loses_none_and_works_again_when_it_is_not() {
    let disk = FlakyDisk::new();
    let store = disk.open();
    store.commit(put("routes/1")).await.unwrap();
    let mut events = store.watch(Revision(1));
    let mut trouble = store.trouble();
    disk.full.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let error = store.commit(put("routes/2")).await.unwrap_err();
        assert!(matches!(error, CommitError::Unavailable(_)), "{error:?}");
    }
    let told = trouble
        .borrow_and_update()
        .clone()
        .expect("the trouble is told");
    assert!(told.what.contains("crossway.redb"), "{}", told.what);

    disk.full.store(false, Ordering::SeqCst);
    // Without a write it finds out by itself.
    tokio::time::timeout(Duration::from_secs(20), trouble.wait_for(Option::is_none))
        .await
        .unwrap()
        .unwrap();
    let committed = store.commit(put("routes/3")).await.unwrap();
    let contents = store.load().await.unwrap();
    let names: Vec<_> = contents
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect();
    assert_eq!(names, ["routes/1", "routes/3"]);
    assert_eq!(
        events.next().await.unwrap().unwrap().revision,
        committed.revision
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_wait_share_their_fsyncs() {
    let disk = FlakyDisk::new();
    let store = disk.open();
    store.commit(put("routes/alone")).await.unwrap();
    let before = disk.syncs.load(Ordering::SeqCst);
    store.commit(put("routes/alone")).await.unwrap();
    let one = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(one > 0, "a commit without an fsync");

    let commits = (0..64).map(|n| {
        let store = store.clone();
        async move {
            store
                .commit(put(&format!("routes/{n}")))
                .await
                .unwrap()
                .revision
        }
    });
    let before = disk.syncs.load(Ordering::SeqCst);
    let mut revisions = futures::future::join_all(commits).await;
    let all = disk.syncs.load(Ordering::SeqCst) - before;
    assert!(all < one * 16, "{all} fsyncs for 64 commits");
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 64, "each has its own revision");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_never_miss_a_write_whose_fsync_failed_too_late() {
    let disk = FlakyDisk::new();
    let store = disk.open();
    store.commit(put("routes/1")).await.unwrap();
    let mut events = store.watch(Revision(1));
    let mut trouble = store.trouble();
    disk.lie.store(true, Ordering::SeqCst);
    let error = store.commit(put("routes/2")).await.unwrap_err();
    assert!(matches!(error, CommitError::Unavailable(_)), "{error:?}");
    tokio::time::timeout(Duration::from_secs(20), trouble.wait_for(Option::is_none))
        .await
        .unwrap()
        .unwrap();
    assert!(
        store.get(&key("routes/2")).await.unwrap().is_some(),
        "it happened after all"
    );
    let committed = store.commit(put("routes/3")).await.unwrap();
    assert_eq!(committed.revision, Revision(3));
    let compacted = WatchError::Compacted {
        from: Revision(1),
        kept: Revision(2),
    };
    assert_eq!(events.next().await, Some(Err(compacted)));
}

#[tokio::test]
async fn another_process_may_have_it_after_all_acknowledged_writes_and_give_it_back() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).unwrap().group("/apisix");
    store.commit(put("routes/1")).await.unwrap();
    let loaded = store.load().await.unwrap();
    let mut events = store.watch(loaded.revision);
    // Writes that wait are on the disk before the database is let go of.
    let waiting: Vec<_> = (10..60)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.commit(put(&format!("routes/{n}"))).await })
        })
        .collect();
    store.release().await.unwrap();
    let mut written = 1;
    for commit in waiting {
        match commit.await.unwrap() {
            Ok(_) => written += 1,
            Err(error) => assert!(error.to_string().contains("taking over"), "{error}"),
        }
    }
    let refused = store.commit(put("routes/2")).await.unwrap_err();
    assert!(matches!(refused, CommitError::Unavailable(_)), "{refused}");
    let unread = store.load().await.unwrap_err();
    assert!(unread.to_string().contains("taking over"), "{unread}");

    let other = open(&directory).unwrap().group("/apisix");
    assert_eq!(other.load().await.unwrap().entries.len(), written);
    assert!(store.reclaim().await.is_err(), "the other one has it");
    other.commit(put("routes/3")).await.unwrap();
    drop(other);

    store.reclaim().await.unwrap();
    assert_eq!(store.load().await.unwrap().entries.len(), written + 1);
    store.commit(put("routes/4")).await.unwrap();
    assert!(store.trouble().borrow().is_none());
    // What the other one wrote cannot be told as events: watchers have to load again.
    let told = async {
        loop {
            if let Err(error) = events.next().await.unwrap() {
                return error;
            }
        }
    };
    let told = tokio::time::timeout(Duration::from_secs(10), told).await;
    assert!(matches!(told, Ok(WatchError::Compacted { .. })), "{told:?}");
}

#[tokio::test]
async fn a_store_that_was_let_go_of_and_taken_back_untouched_goes_on_as_before() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory).unwrap().group("/apisix");
    store.commit(put("routes/1")).await.unwrap();
    let mut events = store.watch(Revision(1));
    store.release().await.unwrap();
    store.reclaim().await.unwrap();
    store.commit(put("routes/2")).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().revision, Revision(2));
}
