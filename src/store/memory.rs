//! Documents in memory: for tests, for the standalone dialect, and beneath the file store. The
//! embedded store without a disk.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::stream::BoxStream;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::history::History;
use super::transaction::{Documents, Stamp, Stopped, apply};
use super::{
    Change, CommitError, Committed, Contents, Entry, Event, Group, HistoryLimit, Key, Reading,
    Revision, Store, StoreError, Transaction, Trouble, WatchError,
};

/// How long the clock is trusted while a document waits to expire: it may be set meanwhile.
const CLOCK: Duration = Duration::from_secs(1);

/// A store without a disk, for any number of groups.
#[derive(Clone)]
pub struct Memory {
    shared: Arc<Shared>,
}

/// The documents of one group. Dropping the last handle of a [`Memory`] ends its watches.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    group: Group,
}

struct Shared {
    state: Mutex<State>,
    history: Arc<History>,
    /// The first document to expire is another one.
    expiry: Arc<Notify>,
    trouble: watch::Sender<Option<Trouble>>,
}

/// A transaction of so many changes repacks its group. A tree that grew in the order of its keys is half empty, and a large
/// file is read in that order.
const REPACKED: usize = 1024;

#[derive(Default)]
struct State {
    head: Revision,
    groups: HashMap<Group, BTreeSet<ByKey>>,
    expiries: BTreeSet<(SystemTime, Group, Key)>,
    /// Whether a task waits for the first expiry.
    reaping: bool,
}

/// A document, in the order of keys.
struct ByKey(Entry);

impl Borrow<str> for ByKey {
    fn borrow(&self) -> &str {
        self.0.key.as_str()
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for ByKey {}

impl State {
    /// Fills the nodes of a group's tree.
    fn repack(&mut self, group: &Group) {
        if let Some(documents) = self.groups.get_mut(group) {
            *documents = std::mem::take(documents).into_iter().collect();
        }
    }
}

impl Memory {
    /// Empty, at revision 0.
    pub fn new(history: HistoryLimit) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                history: Arc::new(History::new(Revision::default(), history)),
                expiry: Arc::new(Notify::new()),
                trouble: watch::Sender::new(None),
            }),
        }
    }

    /// The documents below `prefix`, such as `/apisix`.
    pub fn group(&self, prefix: &str) -> MemoryStore {
        MemoryStore {
            shared: Arc::clone(&self.shared),
            group: prefix.into(),
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(HistoryLimit::default())
    }
}

impl MemoryStore {
    /// The documents whose key starts with `prefix`.
    pub(super) fn contents(&self, prefix: &str) -> Contents {
        let state = self.shared.state.lock();
        let entries = state
            .groups
            .get(&self.group)
            .map_or_else(Vec::new, |documents| {
                documents
                    .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
                    .map(|ByKey(entry)| entry)
                    .take_while(|entry| entry.key.as_str().starts_with(prefix))
                    .cloned()
                    .collect()
            });
        Contents {
            revision: state.head,
            entries,
        }
    }

    /// What [`Store::commit`] does, without waiting. A time to live needs a runtime around it.
    pub(super) fn commit_now(&self, transaction: &Transaction) -> Result<Committed, CommitError> {
        transaction.check()?;
        let mut state = self.shared.state.lock();
        let head = state.head;
        let mut documents = InGroup {
            state: &mut state,
            group: &self.group,
        };
        let (committed, event) = match apply(&mut documents, transaction, head, SystemTime::now()) {
            Ok(done) => done,
            Err(Stopped::Refused(error)) => return Err(error),
            Err(Stopped::Failed(never)) => match never {},
        };
        if let Some(event) = event {
            state.head = event.revision;
            if event.changes.len() >= REPACKED {
                state.repack(&self.group);
            }
            // Under the lock: the history's order is the order of revisions.
            self.shared
                .history
                .push([(Group::clone(&self.group), event)]);
        }
        if !state.expiries.is_empty() {
            if !state.reaping {
                state.reaping = true;
                tokio::spawn(reap(
                    Arc::downgrade(&self.shared),
                    Arc::clone(&self.shared.expiry),
                ));
            }
            self.shared.expiry.notify_one();
        }
        Ok(committed)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn read(&self, prefix: &str) -> Result<Reading, StoreError> {
        Ok(Reading::of(self.contents(prefix)))
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let state = self.shared.state.lock();
        Ok(state
            .groups
            .get(&self.group)
            .and_then(|documents| documents.get(key.as_str()))
            .map(|ByKey(entry)| entry.clone()))
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        Ok(self.shared.state.lock().head)
    }

    async fn commit(&self, transaction: Transaction) -> Result<Committed, CommitError> {
        self.commit_now(&transaction)
    }

    fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>> {
        self.shared.history.watch(Group::clone(&self.group), from)
    }

    fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.shared.trouble.subscribe()
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    fn writable(&self) -> bool {
        true
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.history.close();
        self.expiry.notify_one();
    }
}

struct InGroup<'a> {
    state: &'a mut State,
    group: &'a Group,
}

impl Documents for InGroup<'_> {
    type Error = Infallible;

    fn stamp(&self, key: &Key) -> Result<Option<Stamp>, Infallible> {
        let entry = self
            .state
            .groups
            .get(self.group)
            .and_then(|documents| documents.get(key.as_str()));
        Ok(entry.map(|ByKey(entry)| Stamp {
            created: entry.created,
            modified: entry.modified,
            expires: entry.expires,
        }))
    }

    fn put(&mut self, entry: &Entry, old: Option<Stamp>) -> Result<(), Infallible> {
        if let Some(at) = old.and_then(|old| old.expires) {
            self.state
                .expiries
                .remove(&(at, Group::clone(self.group), entry.key.clone()));
        }
        if let Some(at) = entry.expires {
            self.state
                .expiries
                .insert((at, Group::clone(self.group), entry.key.clone()));
        }
        let documents = self
            .state
            .groups
            .entry(Group::clone(self.group))
            .or_default();
        documents.replace(ByKey(entry.clone()));
        Ok(())
    }

    fn delete(&mut self, key: &Key, old: Stamp) -> Result<(), Infallible> {
        if let Some(at) = old.expires {
            self.state
                .expiries
                .remove(&(at, Group::clone(self.group), key.clone()));
        }
        if let Some(documents) = self.state.groups.get_mut(self.group) {
            documents.remove(key.as_str());
        }
        Ok(())
    }
}

impl State {
    /// Deletes what is over: one event for each group.
    fn expire(&mut self, now: SystemTime) -> Vec<(Group, Event)> {
        let mut due: BTreeMap<Group, Vec<Change>> = BTreeMap::new();
        while self.expiries.first().is_some_and(|(at, _, _)| *at <= now) {
            let Some((_, group, key)) = self.expiries.pop_first() else {
                break;
            };
            if let Some(documents) = self.groups.get_mut(&group) {
                documents.remove(key.as_str());
            }
            due.entry(group).or_default().push(Change::Delete { key });
        }
        let mut events = Vec::with_capacity(due.len());
        for (group, changes) in due {
            self.head = self.head.next();
            events.push((
                group,
                Event {
                    revision: self.head,
                    changes,
                },
            ));
        }
        events
    }
}

/// Runs while there is anything to expire.
async fn reap(shared: Weak<Shared>, changed: Arc<Notify>) {
    loop {
        let wait = {
            let Some(shared) = shared.upgrade() else {
                return;
            };
            let mut state = shared.state.lock();
            let now = SystemTime::now();
            let events = state.expire(now);
            if !events.is_empty() {
                shared.history.push(events);
            }
            let Some((at, _, _)) = state.expiries.first() else {
                state.reaping = false;
                return;
            };
            at.duration_since(now).unwrap_or_default().min(CLOCK)
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = changed.notified() => {}
        }
    }
}
