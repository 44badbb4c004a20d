//! A document and its place in the order of changes. Plain data without behaviour.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The longest key in bytes.
const KEY_LIMIT: usize = 1024;

/// The count of transactions that changed a store, over all its groups: etcd's header revision. 0
/// before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of the next transaction.
    pub(super) fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a document below its group's prefix: `routes/1`, `consumers/jack/credentials/a`.
///
/// Segments are separated by `/`, none is empty, and no character is a control character. At most
/// 1,024 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Key(Arc<str>);

/// Why a string is no key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    /// Nothing at all.
    #[error("a key is empty")]
    Empty,
    /// `/a`, `a/`, `a//b`.
    #[error("the key {0:?} has an empty segment")]
    Segment(String),
    /// A character that would damage logs and listings.
    #[error("the key {0:?} has a control character")]
    Character(String),
    /// Above the limit.
    #[error("a key of {0} bytes is longer than {KEY_LIMIT}")]
    Length(usize),
}

impl Key {
    /// Checks and takes a key.
    ///
    /// # Errors
    /// [`KeyError`]
    pub fn new(key: &str) -> Result<Self, KeyError> {
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        if key.len() > KEY_LIMIT {
            return Err(KeyError::Length(key.len()));
        }
        if key.split('/').any(str::is_empty) {
            return Err(KeyError::Segment(key.to_owned()));
        }
        if key.chars().any(char::is_control) {
            return Err(KeyError::Character(key.to_owned()));
        }
        Ok(Self(key.into()))
    }

    /// A key that a store has checked when it was written.
    pub(super) fn stored(key: &str) -> Self {
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `consumers`, `jack`, `credentials`, `a`.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;

    fn try_from(key: &str) -> Result<Self, KeyError> {
        Self::new(key)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A document as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: Key,
    /// JSON, as it was written: the store does not look into it.
    pub value: Bytes,
    /// When the key came to be; an overwritten document keeps it, one that was deleted and written
    /// again does not.
    pub created: Revision,
    /// The last write.
    pub modified: Revision,
    /// When the store will delete it, in whole milliseconds. It is there until the event says
    /// otherwise.
    pub expires: Option<SystemTime>,
}

/// Documents as of one revision, in key order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The newest revision of the store when they were read: watch from here.
    pub revision: Revision,
    /// In key order.
    pub entries: Vec<Entry>,
}

/// What happened to one document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Created or overwritten.
    Put(Entry),
    /// Deleted, by a transaction or because its time was over.
    Delete {
        /// What is gone.
        key: Key,
    },
}

impl Change {
    /// The document that changed.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put(entry) => &entry.key,
            Self::Delete { key } => key,
        }
    }
}

/// One transaction as its watchers see it. No key occurs twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of the transaction.
    pub revision: Revision,
    /// At least one.
    pub changes: Vec<Change>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_has_no_empty_segment_and_no_control_character() {
        for bad in [
            "",
            "/routes",
            "routes/",
            "routes//1",
            "routes/1\n",
            "routes/\0",
        ] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
        assert!(Key::new(&"a".repeat(1025)).is_err());
        let key = Key::new("consumers/jack/credentials/a").unwrap();
        assert_eq!(key.segments().next_back(), Some("a"));
    }
}
