//! What a transaction asks for, and the one place where its meaning is written: every store applies
//! it through `apply`.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};

use super::{Change, Entry, Event, Key, Revision};

/// The longest time to live: a hundred years.
const TTL_LIMIT: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// All must hold before the first write.
    pub expect: Vec<(Key, Expect)>,
    /// No key twice.
    pub writes: Vec<Write>,
}

/// What must be true of a document before the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// There is one.
    Present,
    /// There is one, last written in this revision.
    Modified(Revision),
}

/// One write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates or overwrites.
    Put {
        /// Where.
        key: Key,
        /// JSON.
        value: Bytes,
        /// Deletes the document after this time: more than 0, at most a hundred years. `None` keeps
        /// it, also when what it overwrites had a time to live.
        ttl: Option<Duration>,
    },
    /// Deletes; nothing happens when there is none.
    Delete {
        /// What.
        key: Key,
    },
}

impl Write {
    /// The document it touches.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// What a transaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its revision; the store's newest if it changed nothing.
    pub revision: Revision,
    /// The documents that were not there before.
    pub created: Vec<Key>,
    /// The documents that were there and are no more.
    pub deleted: Vec<Key>,
}

/// Why a transaction did nothing.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CommitError {
    /// An expectation did not hold: somebody else was faster.
    #[error("{key} is not as expected: {}", state(*found))]
    Conflict {
        /// The first one that did not hold.
        key: Key,
        /// Its last write; `None` if it does not exist.
        found: Option<Revision>,
    },
    /// The transaction itself makes no sense.
    #[error("not a valid transaction: {0}")]
    Invalid(String),
    /// The store takes no writes; the reason says where to make the change instead.
    #[error("{why}")]
    ReadOnly {
        /// What to do instead.
        why: String,
    },
    /// The store could not write, or cannot tell whether it did.
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
}

fn state(found: Option<Revision>) -> String {
    match found {
        Some(revision) => format!("it was last changed in revision {revision}"),
        None => "it does not exist".to_owned(),
    }
}

impl Transaction {
    /// Writes without expectations.
    pub fn of(writes: Vec<Write>) -> Self {
        Self {
            expect: Vec::new(),
            writes,
        }
    }

    /// One document, created or overwritten.
    pub fn put(key: Key, value: impl Into<Bytes>) -> Self {
        Self::of(vec![Write::Put {
            key,
            value: value.into(),
            ttl: None,
        }])
    }

    /// One document, deleted.
    pub fn delete(key: Key) -> Self {
        Self::of(vec![Write::Delete { key }])
    }

    /// The same under one more condition.
    #[must_use]
    pub fn expecting(mut self, key: Key, expect: Expect) -> Self {
        self.expect.push((key, expect));
        self
    }

    /// The writes that turn `current` into `wanted`: documents with equal bytes are left alone. Of
    /// a key that occurs twice in `wanted` the last one counts.
    pub fn difference(current: &[Entry], wanted: impl IntoIterator<Item = (Key, Bytes)>) -> Self {
        let mut wanted: BTreeMap<Key, Bytes> = wanted.into_iter().collect();
        let mut writes = Vec::new();
        for entry in current {
            match wanted.get(&entry.key) {
                None => writes.push(Write::Delete {
                    key: entry.key.clone(),
                }),
                Some(value) if *value == entry.value && entry.expires.is_none() => {
                    wanted.remove(&entry.key);
                }
                Some(_) => {}
            }
        }
        let puts = wanted.into_iter().map(|(key, value)| Write::Put {
            key,
            value,
            ttl: None,
        });
        writes.extend(puts);
        Self::of(writes)
    }

    /// The same writes with all values in one allocation, which lives as long as one of them does. A file is many small
    /// documents; on its own, each would take half as much again.
    #[must_use]
    pub(super) fn packed(mut self) -> Self {
        let values = self.writes.iter_mut().filter_map(|write| match write {
            Write::Put { value, .. } => Some(value),
            Write::Delete { .. } => None,
        });
        let mut values: Vec<&mut Bytes> = values.collect();
        let mut all = BytesMut::with_capacity(values.iter().map(|value| value.len()).sum());
        for value in &mut values {
            all.extend_from_slice(value);
            **value = all.split().freeze();
        }
        drop(values);
        self
    }

    /// Refuses what no store can do, before any store is asked.
    pub(super) fn check(&self) -> Result<(), CommitError> {
        let mut keys = HashSet::with_capacity(self.writes.len());
        for write in &self.writes {
            if !keys.insert(write.key()) {
                return Err(CommitError::Invalid(format!(
                    "{} is written twice",
                    write.key()
                )));
            }
            if let Write::Put {
                key,
                ttl: Some(ttl),
                ..
            } = write
                && (ttl.as_millis() == 0 || *ttl > TTL_LIMIT)
            {
                return Err(CommitError::Invalid(format!(
                    "{key} has a time to live of {ttl:?}; it must be between a millisecond and a hundred years"
                )));
            }
        }
        Ok(())
    }
}

/// What a store knows of a document without its value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    pub(super) created: Revision,
    pub(super) modified: Revision,
    pub(super) expires: Option<SystemTime>,
}

/// The documents of one group as `apply` needs them.
pub(super) trait Documents {
    type Error;

    fn stamp(&self, key: &Key) -> Result<Option<Stamp>, Self::Error>;
    fn put(&mut self, entry: &Entry, old: Option<Stamp>) -> Result<(), Self::Error>;
    fn delete(&mut self, key: &Key, old: Stamp) -> Result<(), Self::Error>;
}

/// A refusal leaves the documents untouched; a failure may not, and the store must roll back.
pub(super) enum Stopped<E> {
    Refused(CommitError),
    Failed(E),
}

impl<E> From<E> for Stopped<E> {
    fn from(error: E) -> Self {
        Self::Failed(error)
    }
}

/// Applies a checked transaction on top of revision `head`. The event is there if anything changed.
pub(super) fn apply<D: Documents>(
    documents: &mut D,
    transaction: &Transaction,
    head: Revision,
    now: SystemTime,
) -> Result<(Committed, Option<Event>), Stopped<D::Error>> {
    for (key, expect) in &transaction.expect {
        let found = documents.stamp(key)?.map(|stamp| stamp.modified);
        let holds = match expect {
            Expect::Absent => found.is_none(),
            Expect::Present => found.is_some(),
            Expect::Modified(revision) => found == Some(*revision),
        };
        if !holds {
            return Err(Stopped::Refused(CommitError::Conflict {
                key: key.clone(),
                found,
            }));
        }
    }
    let revision = head.next();
    let mut committed = Committed {
        revision,
        created: Vec::new(),
        deleted: Vec::new(),
    };
    let mut changes = Vec::with_capacity(transaction.writes.len());
    for write in &transaction.writes {
        let old = documents.stamp(write.key())?;
        match (write, old) {
            (Write::Put { key, value, ttl }, old) => {
                let entry = Entry {
                    key: key.clone(),
                    value: value.clone(),
                    created: old.map_or(revision, |stamp| stamp.created),
                    modified: revision,
                    expires: ttl.and_then(|ttl| from_millis(to_millis(now.checked_add(ttl)?))),
                };
                documents.put(&entry, old)?;
                if old.is_none() {
                    committed.created.push(key.clone());
                }
                changes.push(Change::Put(entry));
            }
            (Write::Delete { key }, Some(old)) => {
                documents.delete(key, old)?;
                committed.deleted.push(key.clone());
                changes.push(Change::Delete { key: key.clone() });
            }
            (Write::Delete { .. }, None) => {}
        }
    }
    if changes.is_empty() {
        committed.revision = head;
        return Ok((committed, None));
    }
    Ok((committed, Some(Event { revision, changes })))
}

/// Milliseconds since 1970; 0 for what is before.
pub(super) fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The inverse of [`to_millis`]; `None` for 0, which stands for "never" where expiry is stored.
pub(super) fn from_millis(millis: u64) -> Option<SystemTime> {
    if millis == 0 {
        return None;
    }
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(key: &str) -> Key {
        Key::new(key).unwrap()
    }

    #[test]
    fn a_transaction_that_writes_a_key_twice_or_for_no_time_is_refused() {
        let twice = Transaction::of(vec![
            Write::Delete { key: key("a") },
            Write::Put {
                key: key("a"),
                value: Bytes::new(),
                ttl: None,
            },
        ]);
        assert!(matches!(twice.check(), Err(CommitError::Invalid(_))));
        for ttl in [Duration::ZERO, Duration::MAX] {
            let write = Write::Put {
                key: key("a"),
                value: Bytes::new(),
                ttl: Some(ttl),
            };
            assert!(matches!(
                Transaction::of(vec![write]).check(),
                Err(CommitError::Invalid(_))
            ));
        }
    }

    #[test]
    fn the_difference_leaves_equal_documents_alone() {
        let entry = |name: &str, value: &'static str| Entry {
            key: key(name),
            value: Bytes::from_static(value.as_bytes()),
            created: Revision(1),
            modified: Revision(1),
            expires: None,
        };
        let current = [entry("a", "1"), entry("b", "1"), entry("c", "1")];
        let wanted = [("b", "1"), ("c", "2"), ("d", "1")]
            .map(|(name, value)| (key(name), Bytes::from_static(value.as_bytes())));
        let writes = Transaction::difference(&current, wanted).writes;
        let touched: Vec<_> = writes
            .iter()
            .map(|write| (write.key().to_string(), matches!(write, Write::Put { .. })))
            .collect();
        assert_eq!(
            touched,
            [
                ("a".to_owned(), false),
                ("c".to_owned(), true),
                ("d".to_owned(), true)
            ]
        );
    }

    #[test]
    fn packing_changes_no_write() {
        let writes = vec![
            Write::Put {
                key: key("a"),
                value: Bytes::from_static(b"one"),
                ttl: Some(Duration::from_secs(1)),
            },
            Write::Delete { key: key("b") },
            Write::Put {
                key: key("c"),
                value: Bytes::new(),
                ttl: None,
            },
        ];
        let packed = Transaction::of(writes.clone()).packed();
        assert_eq!(packed.writes, writes);
        assert_eq!(Transaction::of(Vec::new()).packed().writes, []);
    }
}
