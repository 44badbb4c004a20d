//! A plugin as the gateway sees it: its definition, its erased instances, and the registry of all of them.

use crate::{
    build::{BuildCx, BuildError},
    consumer::AuthSlot,
    endpoint::Endpoint,
    exchange::Exchange,
    flow::{Error, Step},
    plugin::{Authenticator, Phases, Plugin, Scopes},
    schema::{Schema, decode},
    stream::StreamExchange,
};
use bytes::Bytes;
use pingora_http::{RequestHeader, ResponseHeader};
use schemars::JsonSchema;
use serde_json::Value;
use std::{
    any::Any,
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

/// Object-safe face of a plugin; every [`Plugin`] has it, none writes it. A stand-in for a plugin that is not one implements it
/// itself, and what it leaves out does nothing.
pub trait Instance: Send + Sync {
    /// See [`Plugin::rewrite`].
    fn rewrite<'a>(&'a self, _ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
    /// See [`Plugin::access`].
    fn access<'a>(&'a self, _ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
    /// See [`Plugin::before_proxy`].
    ///
    /// # Errors
    /// The plugin's.
    fn before_proxy(&self, _ex: &mut Exchange<'_>, _head: &mut RequestHeader) -> Result<(), Error> {
        Ok(())
    }
    /// See [`Plugin::request_body`].
    ///
    /// # Errors
    /// The plugin's.
    fn request_body(
        &self,
        _ex: &mut Exchange<'_>,
        _chunk: &mut Option<Bytes>,
        _end: bool,
    ) -> Result<(), Error> {
        Ok(())
    }
    /// See [`Plugin::header_filter`].
    ///
    /// # Errors
    /// The plugin's.
    fn header_filter(
        &self,
        _ex: &mut Exchange<'_>,
        _head: &mut ResponseHeader,
    ) -> Result<(), Error> {
        Ok(())
    }
    /// See [`Plugin::body_filter`].
    ///
    /// # Errors
    /// The plugin's.
    fn body_filter(
        &self,
        _ex: &mut Exchange<'_>,
        _chunk: &mut Option<Bytes>,
        _end: bool,
    ) -> Result<(), Error> {
        Ok(())
    }
    /// See [`Plugin::log`].
    fn log(&self, _ex: &mut Exchange<'_>) {}
    /// See [`Plugin::stream_access`].
    fn stream_access<'a>(&'a self, _ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        Step::next()
    }
    /// See [`Plugin::stream_log`].
    fn stream_log(&self, _ex: &mut StreamExchange<'_>) {}
}

impl<P: Plugin> Instance for P {
    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Plugin::rewrite(self, ex)
    }
    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Plugin::access(self, ex)
    }
    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        Plugin::before_proxy(self, ex, head)
    }
    fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        Plugin::request_body(self, ex, chunk, end)
    }
    fn header_filter(&self, ex: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        Plugin::header_filter(self, ex, head)
    }
    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        Plugin::body_filter(self, ex, chunk, end)
    }
    fn log(&self, ex: &mut Exchange<'_>) {
        Plugin::log(self, ex);
    }
    fn stream_access<'a>(&'a self, ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        Plugin::stream_access(self, ex)
    }
    fn stream_log(&self, ex: &mut StreamExchange<'_>) {
        Plugin::stream_log(self, ex);
    }
}

/// A credential that was decoded: the key under which it is found, and the value in the authenticator's own type.
pub type DecodedCredential = (Option<String>, Arc<dyn Any + Send + Sync>);

/// The credential half of an authenticator.
struct CredentialDefinition {
    schema: Schema,
    decode: fn(&Value) -> Result<DecodedCredential, BuildError>,
}

type Build = fn(&Value, &BuildCx<'_>) -> Result<Arc<dyn Instance>, BuildError>;

/// Everything the registry, the Admin API and the compiler need to know about a plugin.
pub struct Definition {
    /// Its name.
    pub name: &'static str,
    /// Its priority; `_meta.priority` overrides it in one place of use.
    pub priority: i32,
    /// The phases that it takes part in.
    pub phases: Phases,
    /// Where it may be configured.
    pub scopes: Scopes,
    /// Whether a global rule's copy is skipped when the route has one.
    pub prefer_route: bool,
    /// Secret fields of its configuration and metadata: [`Plugin::ENCRYPTED`].
    pub encrypted: &'static [&'static str],
    /// Where configurations of other plugins stand in its own: [`Plugin::NESTED`].
    pub nested: &'static [&'static str],
    /// Secret fields of its credentials: [`Authenticator::ENCRYPTED_CREDENTIAL`].
    pub encrypted_credential: &'static [&'static str],
    schema: Schema,
    metadata: Option<Schema>,
    credential: Option<CredentialDefinition>,
    build: Build,
    endpoints: fn() -> Vec<Endpoint>,
}

fn schema_of<T: JsonSchema>() -> Value {
    schemars::generate::SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

fn build_of<P: Plugin>(config: &Value, cx: &BuildCx<'_>) -> Result<Arc<dyn Instance>, BuildError> {
    Ok(Arc::new(P::build(decode(config)?, cx)?))
}

fn credential_of<P: Authenticator>(config: &Value) -> Result<DecodedCredential, BuildError> {
    let credential: P::Credential = decode(config)?;
    P::check(&credential)?;
    Ok((P::index(&credential), Arc::new(credential)))
}

impl Definition {
    /// A plugin.
    pub fn of<P: Plugin>() -> Self {
        Self {
            name: P::NAME,
            priority: P::PRIORITY,
            phases: P::PHASES,
            scopes: P::SCOPES,
            prefer_route: P::PREFER_ROUTE,
            encrypted: P::ENCRYPTED,
            nested: P::NESTED,
            encrypted_credential: &[],
            schema: Schema::lazy(schema_of::<P::Config>),
            metadata: P::metadata_schema().map(Schema::new),
            credential: None,
            build: build_of::<P>,
            endpoints: P::endpoints,
        }
    }

    /// A plugin that names consumers.
    pub fn auth<P: Authenticator>() -> Self {
        let credential = CredentialDefinition {
            schema: Schema::lazy(schema_of::<P::Credential>),
            decode: credential_of::<P>,
        };
        Self {
            credential: Some(credential),
            encrypted_credential: P::ENCRYPTED_CREDENTIAL,
            ..Self::of::<P>()
        }
    }

    /// The JSON Schema of the configuration.
    pub fn schema(&self) -> &Value {
        self.schema.document()
    }

    /// The JSON Schema of a consumer's credential, for authenticators.
    pub fn credential_schema(&self) -> Option<&Value> {
        self.credential.as_ref().map(|c| c.schema.document())
    }

    /// The JSON Schema of the metadata, when the plugin states one.
    pub fn metadata_schema(&self) -> Option<&Value> {
        self.metadata.as_ref().map(Schema::document)
    }

    /// Whether it may stand on a stream route.
    pub fn has_stream(&self) -> bool {
        self.scopes.contains(Scopes::STREAM)
    }

    /// Whether it is an authenticator.
    pub fn is_auth(&self) -> bool {
        self.credential.is_some()
    }

    /// Checks a configuration against the schema and builds an instance of it. `config` comes without `_meta`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn build(&self, config: &Value, cx: &BuildCx<'_>) -> Result<Arc<dyn Instance>, BuildError> {
        self.schema.check(config)?;
        (self.build)(config, cx)
    }

    /// Checks and decodes a credential.
    ///
    /// # Errors
    /// What is wrong, and where; or the plugin is not an authenticator.
    pub fn credential(&self, config: &Value) -> Result<DecodedCredential, BuildError> {
        let Some(credential) = &self.credential else {
            return Err(BuildError::new(
                "",
                "only supports auth type plugins in consumer credential",
            ));
        };
        credential.schema.check(config)?;
        (credential.decode)(config)
    }

    /// Checks a metadata document (without its `id`).
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn check_metadata(&self, metadata: &Value) -> Result<(), BuildError> {
        self.metadata
            .as_ref()
            .map_or(Ok(()), |schema| schema.check(metadata))
    }
}

/// Two plugins have one name.
#[derive(Debug, thiserror::Error)]
#[error("plugin {0} is registered twice")]
pub struct Doubled(pub &'static str);

/// All plugins of a gateway, by name.
#[derive(Default)]
pub struct Registry {
    by_name: BTreeMap<&'static str, Definition>,
    slots: OnceLock<BTreeMap<&'static str, AuthSlot>>,
    endpoints: OnceLock<Vec<Endpoint>>,
}

impl Registry {
    /// Adds a plugin.
    ///
    /// # Errors
    /// Its name is taken.
    pub fn plugin(mut self, definition: Definition) -> Result<Self, Doubled> {
        let name = definition.name;
        if self.by_name.insert(name, definition).is_some() {
            return Err(Doubled(name));
        }
        self.slots = OnceLock::new();
        self.endpoints = OnceLock::new();
        Ok(self)
    }

    /// The definition of that name.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }

    /// All definitions, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.by_name.values()
    }

    /// Keeps only the named plugins (APISIX's `plugins` list); names that are unknown are returned.
    pub fn retain(&mut self, enabled: &[String]) -> Vec<String> {
        let unknown = enabled
            .iter()
            .filter(|n| !self.by_name.contains_key(n.as_str()))
            .cloned()
            .collect();
        self.by_name
            .retain(|name, _| enabled.iter().any(|e| e == name));
        self.slots = OnceLock::new();
        self.endpoints = OnceLock::new();
        unknown
    }

    /// What plugins answer themselves.
    pub fn endpoints(&self) -> &[Endpoint] {
        self.endpoints
            .get_or_init(|| self.iter().flat_map(|d| (d.endpoints)()).collect())
    }

    fn slots(&self) -> &BTreeMap<&'static str, AuthSlot> {
        self.slots.get_or_init(|| {
            let names = self.iter().filter(|d| d.is_auth()).map(|d| d.name);
            names
                .enumerate()
                .map(|(i, name)| (name, AuthSlot(i)))
                .collect()
        })
    }

    /// The position of an authenticator's credential table.
    pub fn auth_slot(&self, name: &str) -> Option<AuthSlot> {
        self.slots().get(name).copied()
    }

    /// How many credential tables there are.
    pub fn auth_slots(&self) -> usize {
        self.slots().len()
    }
}
