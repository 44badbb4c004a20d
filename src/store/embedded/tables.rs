//! The layout of the database file and the queries on it. Groups are a part of each key, so they
//! cannot see one another.

use std::time::SystemTime;

use bytes::Bytes;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition,
    TableHandle, WriteTransaction,
};

use crate::store::transaction::{Documents, Stamp, from_millis, to_millis};
use crate::store::{Change, Entry, Event, Group, Key, Revision};

/// The layout below; another number is refused.
const FORMAT: u64 = 1;
/// Expired documents that one transaction deletes.
const EXPIRED_AT_ONCE: usize = 1024;

/// Created, modified, expires (milliseconds since 1970, 0 for never), JSON.
type Record = (u64, u64, u64, &'static [u8]);

/// By group and key.
const DOCUMENTS: TableDefinition<'_, (&str, &str), Record> = TableDefinition::new("documents");
/// When (milliseconds since 1970), group, key.
const EXPIRIES: TableDefinition<'_, (u64, &str, &str), ()> = TableDefinition::new("expiries");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");

/// Fills a new file.
pub(super) fn create(database: &Database) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut meta = write.open_table(META)?;
        meta.insert("format", FORMAT)?;
        meta.insert("revision", 0)?;
        write.open_table(DOCUMENTS)?;
        write.open_table(EXPIRIES)?;
    }
    Ok(write.commit()?)
}

/// Says what the file is if it is none of ours.
pub(super) fn recognise(database: &Database) -> Result<Result<(), String>, redb::Error> {
    let read = database.begin_read()?;
    if !read.list_tables()?.any(|table| table.name() == META.name()) {
        return Ok(Err("it is the database of another program".to_owned()));
    }
    let format = read
        .open_table(META)?
        .get("format")?
        .map(|format| format.value());
    Ok(match format {
        Some(FORMAT) => Ok(()),
        Some(other) => Err(format!(
            "it has layout {other}, this version reads {FORMAT}"
        )),
        None => Err("it does not say which layout it has".to_owned()),
    })
}

pub(super) fn head(read: &ReadTransaction) -> Result<Revision, redb::Error> {
    let revision = read
        .open_table(META)?
        .get("revision")?
        .map(|revision| revision.value());
    revision
        .map(Revision)
        .ok_or_else(|| redb::Error::Corrupted("it does not say which revision it has".to_owned()))
}

pub(super) fn entry(
    read: &ReadTransaction,
    group: &str,
    key: &Key,
) -> Result<Option<Entry>, redb::Error> {
    let documents = read.open_table(DOCUMENTS)?;
    let record = documents.get((group, key.as_str()))?;
    Ok(record.map(|record| decode(key.clone(), record.value())))
}

/// Hands the documents below `prefix` out in key order, `size` at a time, until `take` says no.
pub(super) fn portions(
    read: &ReadTransaction,
    group: &str,
    prefix: &str,
    size: usize,
    mut take: impl FnMut(Vec<Entry>) -> bool,
) -> Result<(), redb::Error> {
    let documents = read.open_table(DOCUMENTS)?;
    let mut portion = Vec::new();
    for row in documents.range((group, prefix)..)? {
        let (key, record) = row?;
        let (of, key) = key.value();
        if of != group || !key.starts_with(prefix) {
            break;
        }
        portion.push(decode(Key::stored(key), record.value()));
        if portion.len() == size && !take(std::mem::take(&mut portion)) {
            return Ok(());
        }
    }
    if !portion.is_empty() {
        take(portion);
    }
    Ok(())
}

fn decode(key: Key, (created, modified, expires, value): (u64, u64, u64, &[u8])) -> Entry {
    Entry {
        key,
        value: Bytes::copy_from_slice(value),
        created: Revision(created),
        modified: Revision(modified),
        expires: from_millis(expires),
    }
}

/// The tables of one write transaction.
pub(super) struct Tables<'txn> {
    documents: Table<'txn, (&'static str, &'static str), Record>,
    expiries: Table<'txn, (u64, &'static str, &'static str), ()>,
    meta: Table<'txn, &'static str, u64>,
}

impl<'txn> Tables<'txn> {
    pub(super) fn open(write: &'txn WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            documents: write.open_table(DOCUMENTS)?,
            expiries: write.open_table(EXPIRIES)?,
            meta: write.open_table(META)?,
        })
    }

    pub(super) fn head(&self) -> Result<Revision, redb::Error> {
        let revision = self.meta.get("revision")?.map(|revision| revision.value());
        revision.map(Revision).ok_or_else(|| {
            redb::Error::Corrupted("it does not say which revision it has".to_owned())
        })
    }

    pub(super) fn set_head(&mut self, head: Revision) -> Result<(), redb::Error> {
        self.meta.insert("revision", head.0)?;
        Ok(())
    }

    /// When the first document expires.
    pub(super) fn next_expiry(&self) -> Result<Option<SystemTime>, redb::Error> {
        let first = self.expiries.first()?;
        Ok(first.and_then(|(row, _)| from_millis(row.value().0)))
    }

    /// Deletes what is over, one event for each group; not all at once if there is very much.
    pub(super) fn expire(
        &mut self,
        now: SystemTime,
        mut head: Revision,
    ) -> Result<Vec<(Group, Event)>, redb::Error> {
        let mut due: Vec<(Group, Key, u64)> = Vec::new();
        for row in self
            .expiries
            .range(..=(to_millis(now), LAST, LAST))?
            .take(EXPIRED_AT_ONCE)
        {
            let (row, _) = row?;
            let (at, group, key) = row.value();
            due.push((group.into(), Key::stored(key), at));
        }
        due.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        let mut events = Vec::new();
        for of_group in due.chunk_by(|a, b| a.0 == b.0) {
            let mut changes = Vec::with_capacity(of_group.len());
            for (group, key, at) in of_group {
                self.documents.remove((&**group, key.as_str()))?;
                self.expiries.remove((*at, &**group, key.as_str()))?;
                changes.push(Change::Delete { key: key.clone() });
            }
            if let Some((group, _, _)) = of_group.first() {
                head = head.next();
                events.push((
                    Group::clone(group),
                    Event {
                        revision: head,
                        changes,
                    },
                ));
            }
        }
        Ok(events)
    }
}

/// Above every group and key.
const LAST: &str = "\u{10ffff}\u{10ffff}";

/// One group within a write transaction.
pub(super) struct InGroup<'a, 'txn> {
    pub(super) tables: &'a mut Tables<'txn>,
    pub(super) group: &'a str,
}

impl InGroup<'_, '_> {
    fn forget_expiry(&mut self, key: &Key, old: Option<Stamp>) -> Result<(), redb::Error> {
        if let Some(at) = old.and_then(|old| old.expires) {
            self.tables
                .expiries
                .remove((to_millis(at), self.group, key.as_str()))?;
        }
        Ok(())
    }
}

impl Documents for InGroup<'_, '_> {
    type Error = redb::Error;

    fn stamp(&self, key: &Key) -> Result<Option<Stamp>, redb::Error> {
        let record = self.tables.documents.get((self.group, key.as_str()))?;
        Ok(record.map(|record| {
            let (created, modified, expires, _) = record.value();
            Stamp {
                created: Revision(created),
                modified: Revision(modified),
                expires: from_millis(expires),
            }
        }))
    }

    fn put(&mut self, entry: &Entry, old: Option<Stamp>) -> Result<(), redb::Error> {
        self.forget_expiry(&entry.key, old)?;
        let (group, key) = (self.group, entry.key.as_str());
        let expires = entry.expires.map_or(0, to_millis);
        if expires != 0 {
            self.tables.expiries.insert((expires, group, key), ())?;
        }
        let record = (entry.created.0, entry.modified.0, expires, &*entry.value);
        self.tables.documents.insert((group, key), record)?;
        Ok(())
    }

    fn delete(&mut self, key: &Key, old: Stamp) -> Result<(), redb::Error> {
        self.forget_expiry(key, Some(old))?;
        self.tables.documents.remove((self.group, key.as_str()))?;
        Ok(())
    }
}
