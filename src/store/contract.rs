//! What every writable store promises, run against each of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use tempfile::TempDir;
use tokio::time::timeout;

use super::embedded::EmbeddedOptions;
use super::*;

/// Longer than anything takes unless it is broken.
const DEADLINE: Duration = Duration::from_secs(20);

type Groups = Box<dyn Fn(&str) -> Arc<dyn Store>>;

/// A store with no documents.
struct Empty {
    group: Groups,
    _directory: Option<TempDir>,
}

impl Empty {
    fn memory(history: HistoryLimit) -> Self {
        let memory = Memory::new(history);
        Self {
            group: Box::new(move |prefix| Arc::new(memory.group(prefix))),
            _directory: None,
        }
    }

    fn embedded(history: HistoryLimit) -> Self {
        let directory = TempDir::new().unwrap();
        let options = EmbeddedOptions {
            history,
            ..EmbeddedOptions::default()
        };
        let database = Embedded::open(directory.path(), options).unwrap();
        Self {
            group: Box::new(move |prefix| Arc::new(database.group(prefix))),
            _directory: Some(directory),
        }
    }

    fn open(&self) -> Arc<dyn Store> {
        (self.group)("/apisix")
    }
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory_keeps {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Empty::memory).await; })*
        }
        mod embedded_keeps {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(super::Empty::embedded).await; })*
        }
    };
}

contract!(
    a_document_is_read_as_it_was_written,
    an_expectation_that_does_not_hold_refuses_all_writes,
    several_documents_change_together_in_one_revision,
    a_transaction_that_changes_nothing_has_no_revision,
    a_list_is_in_key_order_and_ends_with_its_prefix,
    a_large_store_is_read_in_portions,
    groups_are_isolated_and_share_the_revisions,
    a_watch_starts_in_the_past_and_goes_on,
    a_watch_that_is_too_old_is_told_to_load_again,
    an_event_above_the_limit_sends_its_watchers_to_load,
    events_of_another_group_do_not_compact_a_quiet_watch,
    a_watch_ends_with_its_store,
    a_document_expires_with_an_event,
    a_second_write_replaces_the_time_to_live,
    of_parallel_writers_one_wins_each_revision,
);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn put(name: &str, value: &str) -> Transaction {
    Transaction::put(key(name), value.to_owned())
}

fn put_for(name: &str, ttl: Duration) -> Transaction {
    let write = Write::Put {
        key: key(name),
        value: Bytes::from_static(b"{}"),
        ttl: Some(ttl),
    };
    Transaction::of(vec![write])
}

fn names(contents: &Contents) -> Vec<&str> {
    contents
        .entries
        .iter()
        .map(|entry| entry.key.as_str())
        .collect()
}

async fn next(
    events: &mut futures::stream::BoxStream<'static, Result<Event, WatchError>>,
) -> Option<Result<Event, WatchError>> {
    timeout(DEADLINE, events.next()).await.expect("an event")
}

type Maker = fn(HistoryLimit) -> Empty;

async fn a_document_is_read_as_it_was_written(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    assert_eq!(store.revision().await.unwrap(), Revision(0));
    assert_eq!(store.get(&key("routes/1")).await.unwrap(), None);
    let committed = store.commit(put("routes/1", "{\"a\":1}")).await.unwrap();
    assert_eq!(committed.revision, Revision(1));
    assert_eq!(committed.created, [key("routes/1")]);
    let committed = store.commit(put("routes/1", "{\"a\":2}")).await.unwrap();
    assert_eq!(
        (committed.revision, committed.created),
        (Revision(2), vec![])
    );
    let expected = Entry {
        key: key("routes/1"),
        value: Bytes::from_static(b"{\"a\":2}"),
        created: Revision(1),
        modified: Revision(2),
        expires: None,
    };
    assert_eq!(
        store.get(&key("routes/1")).await.unwrap(),
        Some(expected.clone())
    );
    let contents = store.load().await.unwrap();
    assert_eq!(
        contents,
        Contents {
            revision: Revision(2),
            entries: vec![expected]
        }
    );

    let committed = store
        .commit(Transaction::delete(key("routes/1")))
        .await
        .unwrap();
    assert_eq!(
        (committed.revision, committed.deleted),
        (Revision(3), vec![key("routes/1")])
    );
    let committed = store.commit(put("routes/1", "{}")).await.unwrap();
    assert_eq!(committed.created, [key("routes/1")]);
    let entry = store.get(&key("routes/1")).await.unwrap().unwrap();
    assert_eq!((entry.created, entry.modified), (Revision(4), Revision(4)));
}

async fn an_expectation_that_does_not_hold_refuses_all_writes(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    store.commit(put("routes/1", "1")).await.unwrap();
    store.commit(put("routes/2", "1")).await.unwrap();
    let refused = [
        ("routes/1", Expect::Absent, Some(Revision(1))),
        ("routes/9", Expect::Present, None),
        ("routes/1", Expect::Modified(Revision(2)), Some(Revision(1))),
        ("routes/9", Expect::Modified(Revision(1)), None),
    ];
    for (name, expect, found) in refused {
        let transaction = put("routes/3", "1")
            .expecting(key("routes/2"), Expect::Present)
            .expecting(key(name), expect);
        let error = store.commit(transaction).await.unwrap_err();
        assert_eq!(
            error,
            CommitError::Conflict {
                key: key(name),
                found
            },
            "{name} {expect:?}"
        );
    }
    assert_eq!(store.get(&key("routes/3")).await.unwrap(), None);
    assert_eq!(store.revision().await.unwrap(), Revision(2));

    let transaction = put("routes/1", "2")
        .expecting(key("routes/1"), Expect::Modified(Revision(1)))
        .expecting(key("routes/2"), Expect::Present)
        .expecting(key("routes/9"), Expect::Absent);
    assert_eq!(
        store.commit(transaction).await.unwrap().revision,
        Revision(3)
    );
}

async fn several_documents_change_together_in_one_revision(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    store.commit(put("consumers/jack", "1")).await.unwrap();
    let mut events = store.watch(Revision(1));
    let transaction = Transaction::of(vec![
        Write::Put {
            key: key("services/1"),
            value: Bytes::from_static(b"1"),
            ttl: None,
        },
        Write::Delete {
            key: key("consumers/jack"),
        },
        Write::Delete {
            key: key("consumers/none"),
        },
        Write::Put {
            key: key("routes/1"),
            value: Bytes::from_static(b"1"),
            ttl: None,
        },
    ]);
    let committed = store.commit(transaction).await.unwrap();
    assert_eq!(committed.created, [key("services/1"), key("routes/1")]);
    assert_eq!(committed.deleted, [key("consumers/jack")]);
    let contents = store.load().await.unwrap();
    assert_eq!(names(&contents), ["routes/1", "services/1"]);
    assert!(
        contents
            .entries
            .iter()
            .all(|entry| entry.modified == Revision(2))
    );
    let event = next(&mut events).await.unwrap().unwrap();
    assert_eq!(event.revision, Revision(2));
    let touched: Vec<_> = event
        .changes
        .iter()
        .map(|change| change.key().as_str())
        .collect();
    assert_eq!(touched, ["services/1", "consumers/jack", "routes/1"]);

    let twice = Transaction::of(vec![
        Write::Delete {
            key: key("routes/1"),
        },
        Write::Delete {
            key: key("routes/1"),
        },
    ]);
    assert!(matches!(
        store.commit(twice).await,
        Err(CommitError::Invalid(_))
    ));
}

async fn a_transaction_that_changes_nothing_has_no_revision(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    store.commit(put("routes/1", "1")).await.unwrap();
    let mut events = store.watch(Revision(1));
    for nothing in [Transaction::default(), Transaction::delete(key("routes/9"))] {
        let committed = store.commit(nothing).await.unwrap();
        assert_eq!(
            committed,
            Committed {
                revision: Revision(1),
                created: vec![],
                deleted: vec![]
            }
        );
    }
    store.commit(put("routes/2", "1")).await.unwrap();
    assert_eq!(
        next(&mut events).await.unwrap().unwrap().revision,
        Revision(2)
    );
}

async fn a_list_is_in_key_order_and_ends_with_its_prefix(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    for name in [
        "routes/b",
        "services/1",
        "routes/10",
        "routes/a",
        "route/1",
        "routes/2",
    ] {
        store.commit(put(name, "1")).await.unwrap();
    }
    let routes = store.list("routes/").await.unwrap();
    assert_eq!(
        names(&routes),
        ["routes/10", "routes/2", "routes/a", "routes/b"]
    );
    assert_eq!(routes.revision, Revision(6));
    assert_eq!(store.list("zzz").await.unwrap().entries, []);
    assert_eq!(store.list("routes/b").await.unwrap().entries.len(), 1);
    assert_eq!(store.load().await.unwrap().entries.len(), 6);
}

async fn a_large_store_is_read_in_portions(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    let writes = (0..2000).map(|n| Write::Put {
        key: key(&format!("routes/{n:05}")),
        value: Bytes::from(format!("{n}")),
        ttl: None,
    });
    store
        .commit(Transaction::of(writes.collect()))
        .await
        .unwrap();
    let contents = store.load().await.unwrap();
    assert_eq!(contents.entries.len(), 2000);
    assert!(contents.entries.is_sorted_by_key(|entry| entry.key.clone()));
    // Who stops early holds nothing up.
    drop(store.read("").await.unwrap().portions.next().await);
    store.commit(put("routes/last", "1")).await.unwrap();
}

async fn groups_are_isolated_and_share_the_revisions(make: Maker) {
    let empty = make(HistoryLimit::default());
    let (left, right) = ((empty.group)("/a"), (empty.group)("/a/b"));
    let mut events = right.watch(Revision(0));
    left.commit(put("b/routes/1", "left")).await.unwrap();
    let committed = right.commit(put("routes/1", "right")).await.unwrap();
    assert_eq!(
        (committed.revision, committed.created.len()),
        (Revision(2), 1)
    );
    assert_eq!(names(&left.load().await.unwrap()), ["b/routes/1"]);
    let contents = right.load().await.unwrap();
    assert_eq!(
        (names(&contents), contents.revision),
        (vec!["routes/1"], Revision(2))
    );
    left.commit(Transaction::delete(key("b/routes/1")))
        .await
        .unwrap();
    right.commit(put("routes/2", "1")).await.unwrap();
    assert_eq!(
        next(&mut events).await.unwrap().unwrap().revision,
        Revision(2)
    );
    assert_eq!(
        next(&mut events).await.unwrap().unwrap().revision,
        Revision(4)
    );
}

async fn a_watch_starts_in_the_past_and_goes_on(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    for name in ["routes/1", "routes/2", "routes/3"] {
        store.commit(put(name, "1")).await.unwrap();
    }
    let mut events = store.watch(Revision(1));
    for revision in 2..=3 {
        let event = next(&mut events).await.unwrap().unwrap();
        assert_eq!(event.revision, Revision(revision));
    }
    let waiting = tokio::spawn(async move { next(&mut events).await });
    store
        .commit(Transaction::delete(key("routes/1")))
        .await
        .unwrap();
    let event = waiting.await.unwrap().unwrap().unwrap();
    let changes = vec![Change::Delete {
        key: key("routes/1"),
    }];
    assert_eq!(
        event,
        Event {
            revision: Revision(4),
            changes
        }
    );
}

async fn a_watch_that_is_too_old_is_told_to_load_again(make: Maker) {
    for limit in [
        HistoryLimit {
            events: 2,
            bytes: usize::MAX,
        },
        HistoryLimit {
            events: usize::MAX,
            bytes: 25,
        },
    ] {
        let empty = make(limit);
        let store = empty.open();
        for _ in 0..5 {
            store.commit(put("routes/1", "1234")).await.unwrap();
        }
        let mut old = store.watch(Revision(2));
        let compacted = WatchError::Compacted {
            from: Revision(2),
            kept: Revision(3),
        };
        assert_eq!(next(&mut old).await, Some(Err(compacted)));
        assert_eq!(next(&mut old).await, None);
        let mut young = store.watch(Revision(3));
        assert_eq!(
            next(&mut young).await.unwrap().unwrap().revision,
            Revision(4)
        );
        assert_eq!(
            next(&mut young).await.unwrap().unwrap().revision,
            Revision(5)
        );
    }
}

async fn an_event_above_the_limit_sends_its_watchers_to_load(make: Maker) {
    let empty = make(HistoryLimit {
        events: 10,
        bytes: 25,
    });
    let store = empty.open();
    let mut events = store.watch(Revision(0));
    store.commit(put("routes/1", "1234")).await.unwrap();
    assert!(next(&mut events).await.unwrap().is_ok());
    store
        .commit(put("routes/2", &"a".repeat(100)))
        .await
        .unwrap();
    let compacted = WatchError::Compacted {
        from: Revision(1),
        kept: Revision(2),
    };
    assert_eq!(next(&mut events).await, Some(Err(compacted)));
    let contents = store.load().await.unwrap();
    let mut events = store.watch(contents.revision);
    store.commit(put("routes/1", "1234")).await.unwrap();
    assert_eq!(
        next(&mut events).await.unwrap().unwrap().revision,
        Revision(3)
    );
}

async fn events_of_another_group_do_not_compact_a_quiet_watch(make: Maker) {
    let empty = make(HistoryLimit {
        events: 2,
        bytes: usize::MAX,
    });
    let (quiet, busy) = ((empty.group)("/quiet"), (empty.group)("/busy"));
    let mut events = quiet.watch(Revision(0));
    for n in 0..50 {
        busy.commit(put("routes/1", &n.to_string())).await.unwrap();
        // The watcher is awake, but nothing is for it.
        assert_eq!(events.next().now_or_never(), None);
    }
    quiet.commit(put("routes/1", "1")).await.unwrap();
    assert_eq!(
        next(&mut events).await.unwrap().unwrap().revision,
        Revision(51)
    );
}

async fn a_watch_ends_with_its_store(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    let mut events = store.watch(Revision(0));
    let mut trouble = store.trouble();
    assert_eq!(*trouble.borrow_and_update(), None);
    store.commit(put("routes/1", "1")).await.unwrap();
    drop(store);
    drop(empty);
    assert!(next(&mut events).await.unwrap().is_ok());
    assert_eq!(next(&mut events).await, None);
    assert!(timeout(DEADLINE, trouble.changed()).await.unwrap().is_err());
}

async fn a_document_expires_with_an_event(make: Maker) {
    let empty = make(HistoryLimit::default());
    let (store, other) = (empty.open(), (empty.group)("/other"));
    let mut events = store.watch(Revision(0));
    let before = SystemTime::now();
    store.commit(put("routes/1", "1")).await.unwrap();
    store
        .commit(put_for("routes/2", Duration::from_secs(3600)))
        .await
        .unwrap();
    store
        .commit(put_for("routes/3", Duration::from_secs(2)))
        .await
        .unwrap();
    other
        .commit(put_for("routes/3", Duration::from_secs(2)))
        .await
        .unwrap();
    let entry = store.get(&key("routes/3")).await.unwrap().unwrap();
    let left = entry.expires.unwrap().duration_since(before).unwrap();
    assert!(
        left >= Duration::from_millis(1999) && left < DEADLINE,
        "{left:?}"
    );
    for revision in 1..=3 {
        let event = next(&mut events).await.unwrap().unwrap();
        assert_eq!(event.revision, Revision(revision));
        if revision == 3 {
            assert_eq!(event.changes, [Change::Put(entry.clone())]);
        }
    }
    let event = next(&mut events).await.unwrap().unwrap();
    assert!(SystemTime::now() >= entry.expires.unwrap());
    assert!(
        event.revision > Revision(4),
        "a revision of its own: {}",
        event.revision
    );
    assert_eq!(
        event.changes,
        [Change::Delete {
            key: key("routes/3")
        }]
    );
    let contents = store.load().await.unwrap();
    assert_eq!(names(&contents), ["routes/1", "routes/2"]);
    let deadline = Instant::now() + DEADLINE;
    while !other.load().await.unwrap().entries.is_empty() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(other.revision().await.unwrap(), Revision(6));
}

async fn a_second_write_replaces_the_time_to_live(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    for name in [
        "routes/kept",
        "routes/longer",
        "routes/deleted",
        "routes/probe",
    ] {
        store
            .commit(put_for(name, Duration::from_millis(200)))
            .await
            .unwrap();
    }
    store.commit(put("routes/kept", "1")).await.unwrap();
    store
        .commit(put_for("routes/longer", Duration::from_secs(3600)))
        .await
        .unwrap();
    store
        .commit(Transaction::delete(key("routes/deleted")))
        .await
        .unwrap();
    store.commit(put("routes/deleted", "1")).await.unwrap();
    let deadline = Instant::now() + DEADLINE;
    while store.get(&key("routes/probe")).await.unwrap().is_some() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let contents = store.load().await.unwrap();
    assert_eq!(
        names(&contents),
        ["routes/deleted", "routes/kept", "routes/longer"]
    );
    let expiring: Vec<_> = contents
        .entries
        .iter()
        .map(|entry| entry.expires.is_some())
        .collect();
    assert_eq!(expiring, [false, false, true]);
}

async fn of_parallel_writers_one_wins_each_revision(make: Maker) {
    let empty = make(HistoryLimit::default());
    let store = empty.open();
    store.commit(put("counter", "0")).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..16 {
        let store = Arc::clone(&store);
        writers.push(tokio::spawn(async move {
            let own = store
                .commit(put(&format!("routes/{writer}"), "1"))
                .await
                .unwrap();
            let mut revisions = vec![own.revision];
            let mut done = 0;
            while done < 5 {
                let entry = store.get(&key("counter")).await.unwrap().unwrap();
                let count: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                let transaction = put("counter", &(count + 1).to_string())
                    .expecting(key("counter"), Expect::Modified(entry.modified));
                match store.commit(transaction).await {
                    Ok(committed) => {
                        revisions.push(committed.revision);
                        done += 1;
                    }
                    Err(CommitError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            revisions
        }));
    }
    let mut revisions = Vec::new();
    for writer in writers {
        revisions.extend(writer.await.unwrap());
    }
    revisions.sort();
    let expected: Vec<_> = (2..=97).map(Revision).collect();
    assert_eq!(revisions, expected);
    let entry = store.get(&key("counter")).await.unwrap().unwrap();
    assert_eq!(entry.value, Bytes::from_static(b"80"));
    let mut events = store.watch(Revision(0));
    for revision in 1..=97 {
        assert_eq!(
            next(&mut events).await.unwrap().unwrap().revision,
            Revision(revision)
        );
    }
}
