//! Consumers, and how an authenticator finds one by what the client presented.

use crate::{build::BuildError, exchange::Exchange};
use http::HeaderValue;
use std::{any::Any, collections::BTreeMap, collections::HashMap, marker::PhantomData, sync::Arc};

/// Somebody who may be known by a credential.
#[derive(Debug)]
pub struct Consumer {
    /// Unique among all consumers that this process has built; a changed consumer gets a new one.
    pub serial: u64,
    /// The user name.
    pub username: Arc<str>,
    /// Id of the consumer group.
    pub group_id: Option<Arc<str>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The user name as the upstream gets it in `X-Consumer-Username`.
    pub username_header: HeaderValue,
    /// Label `custom_id` as the upstream gets it in `X-Consumer-Custom-ID`.
    pub custom_id: Option<HeaderValue>,
}

/// The consumer of a request, and the credential that named it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// Id of the credential resource, when it was one; sent upstream in `X-Credential-Identifier`.
    pub credential: Option<HeaderValue>,
}

/// Position of an authenticator's table in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuthSlot(pub usize);

/// One credential of one consumer.
#[derive(Clone)]
pub struct Credential {
    /// Whom it names.
    pub identity: Identity,
    /// The decoded configuration, of the authenticator's own type.
    pub value: Arc<dyn Any + Send + Sync>,
}

/// All credentials of one authenticator, by their key.
#[derive(Default)]
pub struct CredentialTable {
    by_key: HashMap<Box<str>, Credential>,
    unkeyed: Vec<Credential>,
}

impl CredentialTable {
    /// Adds a credential.
    ///
    /// # Errors
    /// Another consumer already has this key; its user name is in the message, never the key.
    pub fn insert(
        &mut self,
        plugin: &str,
        key: Option<String>,
        credential: Credential,
    ) -> Result<(), BuildError> {
        let Some(key) = key else {
            self.unkeyed.push(credential);
            return Ok(());
        };
        if let Some(held) = self.by_key.get(key.as_str()) {
            let owner = &held.identity.consumer.username;
            return Err(BuildError::new(
                "",
                format!("duplicate key of plugin {plugin} found with consumer: {owner}"),
            ));
        }
        self.by_key.insert(key.into_boxed_str(), credential);
        Ok(())
    }

    /// The credential under a key.
    pub fn get(&self, key: &str) -> Option<&Credential> {
        self.by_key.get(key)
    }

    /// All credentials, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Credential> {
        self.by_key.values().chain(&self.unkeyed)
    }
}

/// A credential that was found, in the authenticator's own type.
pub struct Found<C> {
    /// Whom it names.
    pub identity: Identity,
    /// The credential's configuration.
    pub credential: Arc<C>,
}

/// An authenticator's way to its credentials; obtained while it is built, used at request time.
pub struct Credentials<C> {
    slot: Option<AuthSlot>,
    of: PhantomData<fn() -> C>,
}

impl<C: Send + Sync + 'static> Credentials<C> {
    pub(crate) fn new(slot: Option<AuthSlot>) -> Self {
        Self {
            slot,
            of: PhantomData,
        }
    }

    /// Whether nobody has a credential in the configuration that serves this request.
    pub fn are_none(&self, ex: &Exchange<'_>) -> bool {
        let table = self
            .slot
            .and_then(|slot| ex.request.configuration.credentials(slot));
        table.is_none_or(|table| table.iter().next().is_none())
    }

    /// The credential with this key in the configuration that serves this request.
    pub fn find(&self, ex: &Exchange<'_>, key: &str) -> Option<Found<C>> {
        let held = ex.request.configuration.credentials(self.slot?)?.get(key)?;
        let credential = held.value.clone().downcast::<C>().ok()?;
        Some(Found {
            identity: held.identity.clone(),
            credential,
        })
    }
}
