//! Consumers, their groups and their credentials.

use super::{Refusal, State, Workshop, plugins::UNFIT};
use crate::{
    chain::{Entry, Level},
    model::{self, Kind, Plugins, ResourceKey, unknown_plugin},
    snapshot::{ConsumerEntry, Consumers},
};
use crossway_sdk::{
    build::BuildError,
    consumer::{AuthSlot, Consumer, Credential, CredentialTable, Identity},
    definition::DecodedCredential,
};
use http::HeaderValue;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A compiled consumer with its credentials.
pub(super) struct ConsumerPart {
    consumer: Arc<Consumer>,
    plugins: Vec<Entry>,
    credentials: Vec<OneCredential>,
}

#[cfg(test)]
impl ConsumerPart {
    pub(super) fn credentials(&self) -> &[OneCredential] {
        &self.credentials
    }
}

pub(super) struct OneCredential {
    plugin: &'static str,
    slot: AuthSlot,
    /// The document that it stands in.
    from: ResourceKey,
    id: Option<HeaderValue>,
    decoded: DecodedCredential,
}

/// An empty table for each authenticator.
pub(super) fn tables(workshop: &Workshop) -> Vec<CredentialTable> {
    (0..workshop.registry.auth_slots())
        .map(|_| CredentialTable::default())
        .collect()
}

fn serial() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl State {
    pub(super) fn compile_consumer_group(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        let id: Arc<str> = key.id.to_shared();
        match self.decode::<model::ConsumerGroup>(key)? {
            Some((group, _)) => {
                let entries = self.entries(key, &group.plugins, Level::ConsumerGroup)?;
                self.consumer_groups.insert(id, Arc::new(entries));
            }
            None => {
                self.consumer_groups.remove(&id);
                self.instances.forget(key);
            }
        }
        Ok(())
    }

    /// Compiles the consumer that `key` is, or that the credential `key` belongs to.
    pub(super) fn compile_consumer(&mut self, key: &ResourceKey) -> Result<(), Refusal> {
        if key.kind == Kind::Credential {
            // Its consumer is compiled, too, and brings the credential along; here only the credential itself is judged.
            return self.credentials_of(key).map(drop);
        }
        let username: Arc<str> = key.id.to_shared();
        let Some((consumer, _)) = self.decode::<model::Consumer>(key)? else {
            self.consumer_parts.remove(&username);
            self.instances.forget(key);
            return Ok(());
        };
        let registry = &self.workshop.registry;
        let is_auth = |name: &String| registry.get(name).is_some_and(|d| d.is_auth());
        let (auth, other): (Plugins, Plugins) = consumer
            .plugins
            .into_iter()
            .partition(|(name, _)| is_auth(name));
        let mut credentials = self.decode_credentials(key, &auth)?;
        for credential in self.credential_keys(key) {
            // A refused credential is reported where it is judged by itself; the others still count.
            credentials.extend(self.credentials_of(&credential).unwrap_or_default());
        }
        let mut plugins = self.entries(key, &other, Level::Consumer)?;
        if let Some(group) = &consumer.group_id {
            plugins.extend(
                self.consumer_groups
                    .get(group.as_str())
                    .into_iter()
                    .flat_map(|g| g.iter().cloned()),
            );
        }
        let header = |text: &str| HeaderValue::from_str(text).ok();
        let part = ConsumerPart {
            consumer: Arc::new(Consumer {
                serial: serial(),
                username: username.clone(),
                group_id: consumer.group_id.as_ref().map(|g| g.as_str().into()),
                username_header: header(&username).unwrap_or(HeaderValue::from_static("")),
                custom_id: consumer.labels.get("custom_id").and_then(|id| header(id)),
                labels: consumer.labels,
            }),
            plugins,
            credentials,
        };
        self.consumer_parts.insert(username, Arc::new(part));
        Ok(())
    }

    fn credential_keys(&self, consumer: &ResourceKey) -> Vec<ResourceKey> {
        self.referrers(consumer)
            .into_iter()
            .filter(|k| k.kind == Kind::Credential)
            .collect()
    }

    fn credentials_of(&self, key: &ResourceKey) -> Result<Vec<OneCredential>, Refusal> {
        match self.decode::<model::Credential>(key)? {
            Some((credential, _)) => {
                let id = HeaderValue::from_str(key.id.leaf()).ok();
                let decoded = self.decode_credentials(key, &credential.plugins)?;
                Ok(decoded
                    .into_iter()
                    .map(|c| OneCredential {
                        id: id.clone(),
                        ..c
                    })
                    .collect())
            }
            None => Ok(Vec::new()),
        }
    }

    fn decode_credentials(
        &self,
        key: &ResourceKey,
        plugins: &Plugins,
    ) -> Result<Vec<OneCredential>, Refusal> {
        let mut credentials = Vec::new();
        for (name, config) in plugins {
            let refuse = |e: BuildError| {
                let path = format!("/plugins/{name}{}", e.path);
                Refusal::new(key, &path, format!("invalid plugins configuration: {e}"))
            };
            let Some(definition) = self.workshop.registry.get(name) else {
                return Err(Refusal::new(
                    key,
                    &format!("/plugins/{name}"),
                    unknown_plugin(name),
                ));
            };
            let mut bare = serde_json::Value::clone(config);
            if let Some(object) = bare.as_object_mut() {
                object.remove("_meta");
            }
            let resolved = self.resolve(&mut bare);
            if resolved.missing.is_some() {
                // Without its secret it is nobody's. Which reference it is, the status and the log say.
                continue;
            }
            let decoded = match definition.credential(&bare) {
                Ok(decoded) => decoded,
                Err(error) if resolved.used.is_empty() => return Err(refuse(error)),
                // The message may say the value.
                Err(error) if !resolved.managed => {
                    return Err(refuse(BuildError::new(error.path, UNFIT)));
                }
                Err(error) => {
                    let path = format!("/plugins/{name}{}", error.path);
                    tracing::error!(%key, path, "a fetched secret is not taken: {UNFIT}");
                    continue;
                }
            };
            if let Some(slot) = self.workshop.registry.auth_slot(name) {
                let from = key.clone();
                credentials.push(OneCredential {
                    plugin: definition.name,
                    slot,
                    from,
                    id: None,
                    decoded,
                });
            }
        }
        Ok(credentials)
    }

    /// Fills the tables that authenticators look into. A key that two consumers have names the one that comes first by name.
    pub(super) fn gather_consumers(&mut self) -> Vec<Refusal> {
        let mut refusals = Vec::new();
        let mut tables = tables(&self.workshop);
        let mut entries = Vec::with_capacity(self.consumer_parts.len());
        for part in self.consumer_parts.values() {
            for one in &part.credentials {
                let Some(table) = tables.get_mut(one.slot.0) else {
                    continue;
                };
                let (lookup, value) = one.decoded.clone();
                let identity = Identity {
                    consumer: part.consumer.clone(),
                    credential: one.id.clone(),
                };
                if let Err(e) = table.insert(one.plugin, lookup, Credential { identity, value }) {
                    refusals.push(Refusal::new(
                        &one.from,
                        &format!("/plugins/{}", one.plugin),
                        e.message,
                    ));
                }
            }
            entries.push(ConsumerEntry {
                consumer: part.consumer.clone(),
                plugins: part.plugins.clone(),
            });
        }
        self.consumers = Arc::new(Consumers::new(entries, tables));
        refusals
    }
}
