//! A store whose secret fields are encrypted where they lie. Above it they are in the clear, below it they never are.

use crate::{
    model::ResourceKey,
    secret::Sealer,
    store::{
        Change, CommitError, Committed, Entry, Event, Key, Reading, Revision, Store, StoreError,
        Transaction, Trouble, WatchError, Write,
    },
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;

/// Seals what is written and opens what is read.
pub(super) struct Sealed {
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
}

impl Sealed {
    /// Over this store; the store itself when there is nothing to encrypt with.
    pub(super) fn over(store: Arc<dyn Store>, sealer: &Arc<Sealer>) -> Arc<dyn Store> {
        match sealer.is_on() {
            true => Arc::new(Self {
                store,
                sealer: sealer.clone(),
            }),
            false => store,
        }
    }

    fn seal(&self, key: &Key, value: Bytes) -> Result<Bytes, CommitError> {
        let Ok(resource) = key.as_str().parse::<ResourceKey>() else {
            return Ok(value);
        };
        let Ok(mut document) = serde_json::from_slice::<Value>(&value) else {
            return Ok(value);
        };
        match self.sealer.seal(&resource, &mut document) {
            true => Ok(document.to_string().into()),
            false => Err(CommitError::Invalid("it cannot be encrypted".to_owned())),
        }
    }
}

fn open(sealer: &Sealer, entry: &mut Entry) {
    let key = entry.key.as_str().parse::<ResourceKey>();
    if let Some(document) = key.ok().and_then(|key| sealer.opened(&key, &entry.value)) {
        entry.value = document.to_string().into();
    }
}

#[async_trait]
impl Store for Sealed {
    async fn read(&self, prefix: &str) -> Result<Reading, StoreError> {
        let reading = self.store.read(prefix).await?;
        let sealer = self.sealer.clone();
        let portions = reading.portions.map_ok(move |mut portion| {
            portion.iter_mut().for_each(|entry| open(&sealer, entry));
            portion
        });
        Ok(Reading {
            revision: reading.revision,
            portions: portions.boxed(),
        })
    }

    async fn get(&self, key: &Key) -> Result<Option<Entry>, StoreError> {
        let mut entry = self.store.get(key).await?;
        if let Some(entry) = &mut entry {
            open(&self.sealer, entry);
        }
        Ok(entry)
    }

    async fn revision(&self) -> Result<Revision, StoreError> {
        self.store.revision().await
    }

    async fn commit(&self, mut transaction: Transaction) -> Result<Committed, CommitError> {
        for write in &mut transaction.writes {
            if let Write::Put { key, value, .. } = write {
                *value = self.seal(key, value.clone())?;
            }
        }
        self.store.commit(transaction).await
    }

    fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>> {
        let sealer = self.sealer.clone();
        let events = self.store.watch(from).map_ok(move |mut event| {
            for change in &mut event.changes {
                if let Change::Put(entry) = change {
                    open(&sealer, entry);
                }
            }
            event
        });
        events.boxed()
    }

    fn trouble(&self) -> watch::Receiver<Option<Trouble>> {
        self.store.trouble()
    }

    fn name(&self) -> &'static str {
        self.store.name()
    }

    fn writable(&self) -> bool {
        self.store.writable()
    }

    async fn release(&self) -> Result<(), StoreError> {
        self.store.release().await
    }

    async fn reclaim(&self) -> Result<(), StoreError> {
        self.store.reclaim().await
    }
}
