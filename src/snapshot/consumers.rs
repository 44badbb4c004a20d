//! Consumers, their credentials, and the plugins that they bring along.

use crate::chain::Entry;
use crossway_sdk::consumer::{AuthSlot, Consumer, CredentialTable};
use std::{collections::HashMap, sync::Arc};

/// A consumer and the plugins that run when it was named.
pub struct ConsumerEntry {
    /// What plugins see of it.
    pub consumer: Arc<Consumer>,
    /// Plugins of the consumer and of its group, authenticators among them.
    pub plugins: Vec<Entry>,
}

/// All consumers of a snapshot.
#[derive(Default)]
pub struct Consumers {
    by_name: HashMap<Arc<str>, ConsumerEntry>,
    tables: Vec<CredentialTable>,
}

impl Consumers {
    /// From the consumers and one credential table for each authenticator.
    pub fn new(
        entries: impl IntoIterator<Item = ConsumerEntry>,
        tables: Vec<CredentialTable>,
    ) -> Self {
        let by_name = entries
            .into_iter()
            .map(|e| (e.consumer.username.clone(), e))
            .collect();
        Self { by_name, tables }
    }

    /// The consumer of that name.
    pub fn get(&self, username: &str) -> Option<&ConsumerEntry> {
        self.by_name.get(username)
    }

    /// The credentials of an authenticator.
    pub fn table(&self, slot: AuthSlot) -> Option<&CredentialTable> {
        self.tables.get(slot.0)
    }

    /// How many consumers there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}
