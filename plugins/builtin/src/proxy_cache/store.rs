//! A zone: responses by key, bounded, the least used make room.

use super::{
    directives,
    disk::Writer,
    entry::{Body, Item, Response, Variants},
    key::Key,
    zones::Place,
};
use bytes::Bytes;
use http::HeaderName;
use parking_lot::Mutex;
use quick_cache::{OptionsBuilder, Weighter, sync::Cache};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// Parts that are locked one by one. No response may be larger than one of them.
const SHARDS: usize = 4;

/// Variants of one response; with more the oldest goes.
const MOST_VARIANTS: usize = 64;

/// Keys that are remembered because their responses are not kept, and for how many seconds.
const PASSED: usize = 16_384;
const PASSED_FOR: i64 = 10;

/// See the module.
pub(crate) struct Zone {
    items: Cache<Key, Item, Weight>,
    /// For bodies in files.
    writer: Option<Arc<Writer>>,
    /// Who fetches a response that others wait for.
    fetching: Mutex<HashMap<Key, watch::Receiver<()>>>,
    /// Until when nobody waits for a response, since it was not kept before.
    passed: Cache<Key, i64>,
}

#[derive(Clone)]
struct Weight {
    on_disk: bool,
    /// What an item takes at least, so that there are not too many.
    least: u64,
}

impl Weighter<Key, Item> for Weight {
    fn weight(&self, _: &Key, item: &Item) -> u64 {
        let taken = match item {
            Item::Response(response) if self.on_disk => response.body.length(),
            _ if self.on_disk => 0,
            item => item.memory(),
        };
        taken.max(self.least)
    }
}

/// The one that fetches a response; when it is dropped, whoever waits goes on.
pub(crate) struct Lead {
    zone: Arc<Zone>,
    key: Key,
    _done: watch::Sender<()>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.zone.fetching.lock().remove(&self.key);
    }
}

/// What to do about a response that is not there.
pub(crate) enum Fetch {
    /// Fetch it; others wait.
    Lead(Lead),
    /// Another one fetches it: wait until this says so.
    Wait(watch::Receiver<()>),
    /// Fetch it; nobody waits, because it was not kept before.
    Alone,
}

impl Zone {
    pub(crate) fn new(place: &Place) -> Self {
        let (capacity, weight, folder) = match place {
            Place::Memory(bytes) => {
                let weight = Weight {
                    on_disk: false,
                    least: 1,
                };
                (*bytes, weight, None)
            }
            Place::Disk {
                folder,
                bytes,
                files,
                ..
            } => {
                let weight = Weight {
                    on_disk: true,
                    least: (bytes / files).max(1),
                };
                (*bytes, weight, Some(folder.clone()))
            }
        };
        let estimated = usize::try_from(capacity / 16_384)
            .unwrap_or(1024)
            .clamp(64, 65_536);
        let items = match OptionsBuilder::new()
            .shards(SHARDS)
            .estimated_items_capacity(estimated)
            .weight_capacity(capacity)
            .build()
        {
            Ok(options) => {
                Cache::with_options(options, weight, Default::default(), Default::default())
            }
            Err(_) => Cache::with_weighter(estimated, capacity, weight),
        };
        Self {
            items,
            writer: folder.map(|folder| Arc::new(Writer::new(folder))),
            fetching: Mutex::default(),
            passed: Cache::new(PASSED),
        }
    }

    /// What is kept for a request: `variant` makes the key of the one among several that fits it.
    pub(crate) fn find(
        &self,
        base: &Key,
        variant: impl FnOnce(&[HeaderName]) -> Key,
    ) -> Option<Arc<Response>> {
        let item = match self.items.get(base)? {
            Item::Variants(variants) => self.items.get(&variant(&variants.names))?,
            response => response,
        };
        match item {
            Item::Response(response) => Some(response),
            Item::Variants(_) => None,
        }
    }

    /// Who is to fetch a response.
    pub(crate) fn fetch(self: &Arc<Self>, key: Key, now: i64) -> Fetch {
        if self.passed.get(&key).is_some_and(|until| now < until) {
            return Fetch::Alone;
        }
        let mut fetching = self.fetching.lock();
        if let Some(done) = fetching.get(&key) {
            return Fetch::Wait(done.clone());
        }
        let (sender, receiver) = watch::channel(());
        fetching.insert(key, receiver);
        Fetch::Lead(Lead {
            zone: self.clone(),
            key,
            _done: sender,
        })
    }

    /// Remembers that responses under this key are not kept.
    pub(crate) fn pass(&self, key: Key) {
        self.passed.insert(key, directives::now() + PASSED_FOR);
    }

    /// Keeps a response; `names` are the headers that it varies by, `variant` its key then. `lead` is let go when it can be
    /// found.
    pub(crate) fn keep(
        self: &Arc<Self>,
        base: Key,
        (names, variant): (Vec<HeaderName>, Key),
        body: Bytes,
        head: impl FnOnce(Body) -> Response + Send + 'static,
        lead: Option<Lead>,
    ) {
        let zone = self.clone();
        let settle = move |response: Response| {
            if names.is_empty() {
                zone.items.insert(base, Item::Response(Arc::new(response)));
            } else {
                zone.items
                    .insert(variant, Item::Response(Arc::new(response)));
                zone.list(base, names, variant);
            }
            drop(lead);
        };
        match &self.writer {
            None => settle(head(Body::Memory(body))),
            Some(writer) => writer.store(body, move |file| head(Body::File(file)), settle),
        }
    }

    /// Adds a variant to those of a response. Variants by other headers than these are of no use any more.
    fn list(&self, base: Key, names: Vec<HeaderName>, variant: Key) {
        // One at a time, so that none gets lost.
        let _alone = self.fetching.lock();
        let mut keys = match self.items.get(&base) {
            Some(Item::Variants(known)) if known.names == names => known.keys.clone(),
            Some(Item::Variants(known)) => {
                known
                    .keys
                    .iter()
                    .for_each(|key| drop(self.items.remove(key)));
                Vec::new()
            }
            _ => Vec::new(),
        };
        if !keys.contains(&variant) {
            if keys.len() >= MOST_VARIANTS {
                self.items.remove(&keys.remove(0));
            }
            keys.push(variant);
        }
        let variants = Arc::new(Variants { names, keys });
        self.items.insert(base, Item::Variants(variants));
    }

    /// Removes a response with all of its variants; false when there was none.
    pub(crate) fn purge(&self, base: &Key) -> bool {
        match self.items.remove(base) {
            Some((_, Item::Variants(variants))) => {
                variants
                    .keys
                    .iter()
                    .for_each(|key| drop(self.items.remove(key)));
                true
            }
            found => found.is_some(),
        }
    }
}

/// Waits until whoever fetches a response has stored it or given up, but no longer than this.
pub(crate) async fn wait(mut done: watch::Receiver<()>, most: Duration) {
    // It never says anything; it ends.
    if tokio::time::timeout(most, done.changed()).await.is_err() {
        tracing::debug!("a response took too long for those who wait for it");
    }
}
