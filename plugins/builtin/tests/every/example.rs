//! The examples in `tests/examples/`, one for each plugin: what the reference pages show, and what the tests of all plugins start from.

use crossway_plugins::registry;
use crossway_sdk::{
    consumer::{AuthSlot, Consumer, Identity},
    definition::{Definition, Registry},
    testing::{Bench, Consumers},
};
use http::HeaderValue;
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, LazyLock},
};

/// All plugins, with their schemas compiled once.
pub(crate) static REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry().unwrap());

/// A configuration, and a request that meets it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Example {
    /// What it is for.
    pub(crate) says: String,
    pub(crate) config: Value,
    pub(crate) metadata: Option<Value>,
    /// Documents that it refers to, by `collection/id`.
    #[serde(default)]
    pub(crate) documents: BTreeMap<String, Value>,
    pub(crate) consumer: Option<Person>,
    /// The lines of a request's head. Without it, the configuration is all.
    pub(crate) request: Option<Vec<String>>,
    pub(crate) body: Option<String>,
    /// The response, where the request goes on.
    pub(crate) response: Option<Response>,
}

/// A consumer. One without credentials is known already, by a plugin that ran before.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) plugins: BTreeMap<String, Value>,
}

/// What a plugin finds after the request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Response {
    pub(crate) status: u16,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) source: Source,
}

/// Who made it.
#[derive(Deserialize, Default, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    #[default]
    Upstream,
    Gateway,
}

impl Example {
    /// The example of a plugin.
    pub(crate) fn of(plugin: &str) -> Self {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/examples/{plugin}.json"));
        let text = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// Whether plugins run inside of this one. To make all of them each time takes long.
    fn nests(&self) -> bool {
        ["auth_plugins", "rules"]
            .iter()
            .any(|name| self.config.get(name).is_some())
    }

    /// What it is built on.
    pub(crate) fn bench(&self) -> Bench {
        Bench {
            metadata: self.metadata.clone(),
            documents: self.documents.clone().into_iter().collect(),
            plugins: match self.nests() {
                true => registry().unwrap(),
                false => Registry::default(),
            },
            ..Bench::default()
        }
    }

    /// The consumers: those of the plugin itself are in the first table, those of plugins inside of it in their own.
    pub(crate) fn consumers(&self, definition: &Definition) -> Consumers {
        let mut consumers = Consumers::default();
        let Some(person) = &self.consumer else {
            return consumers;
        };
        for (name, credential) in &person.plugins {
            let owner = REGISTRY.get(name).unwrap();
            let slot = match name == definition.name {
                true => AuthSlot(0),
                false => REGISTRY.auth_slot(name).unwrap(),
            };
            consumers = consumers
                .with_in(slot, &person.username, owner, credential.clone())
                .unwrap();
        }
        consumers
    }

    /// Who is known already.
    pub(crate) fn identity(&self) -> Option<Identity> {
        let known = self
            .consumer
            .as_ref()
            .filter(|person| person.plugins.is_empty())?;
        Some(Identity {
            consumer: Arc::new(Consumer {
                serial: 0,
                username: known.username.as_str().into(),
                group_id: None,
                labels: known.labels.clone(),
                username_header: HeaderValue::from_str(&known.username).unwrap(),
                custom_id: None,
            }),
            credential: None,
        })
    }

    /// The bytes of the request.
    pub(crate) fn raw(&self) -> Option<Vec<u8>> {
        let mut head = self.request.as_ref()?.join("\r\n");
        let body = self.body.as_deref().unwrap_or_default();
        if !body.is_empty() {
            head.push_str(&format!("\r\nContent-Length: {}", body.len()));
        }
        Some(format!("{head}\r\n\r\n{body}").into_bytes())
    }
}
