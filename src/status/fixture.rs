//! A workshop with two small plugins, for the tests of this room.

use crate::{
    compile::{Refusal, State, Workshop},
    matcher::Mode,
    model::ResourceKey,
    upstream::{
        Environment,
        names::{Answer, Resolve, ResolveError},
    },
};
use bytes::Bytes;
use crossway_sdk::prelude::*;
use serde_json::Value;
use std::sync::Arc;

/// Takes part in two phases and does nothing there.
struct Tag;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TagConfig {
    #[allow(dead_code)]
    text: u32,
}

#[phases]
impl Plugin for Tag {
    const NAME: &'static str = "tag";
    const PRIORITY: i32 = 10;
    type Config = TagConfig;
    fn build(_: TagConfig, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
    fn log(&self, _: &mut Exchange<'_>) {}
}

/// Another one, which goes after [`Tag`].
struct Late;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LateConfig {}

#[phases]
impl Plugin for Late {
    const NAME: &'static str = "late";
    const PRIORITY: i32 = 5;
    const PREFER_ROUTE: bool = true;
    type Config = LateConfig;
    fn build(_: LateConfig, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

/// Names a consumer by a key.
struct Door;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoorConfig {}

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DoorKey {
    key: String,
}

#[phases]
impl Plugin for Door {
    const NAME: &'static str = "door";
    const PRIORITY: i32 = 20;
    type Config = DoorConfig;
    fn build(_: DoorConfig, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

impl Authenticator for Door {
    type Credential = DoorKey;
    fn index(credential: &DoorKey) -> Option<String> {
        Some(credential.key.clone())
    }
}

/// Knows no names.
struct Nobody;

#[async_trait::async_trait]
impl Resolve for Nobody {
    async fn resolve(&self, _: &str) -> Result<Answer, ResolveError> {
        Err(ResolveError::new("no names here"))
    }
}

/// An empty state; to be called within a runtime.
pub(super) fn empty() -> State {
    let runtime = tokio::runtime::Handle::current();
    let registry = Registry::default()
        .plugin(Definition::of::<Tag>())
        .and_then(|r| r.plugin(Definition::of::<Late>()))
        .and_then(|r| r.plugin(Definition::auth::<Door>()))
        .unwrap();
    State::new(Arc::new(Workshop {
        registry,
        environment: Arc::new(Environment::new(runtime, Arc::new(Nobody), None)),
        tls: Arc::new(
            crate::tls::Environment::new(Default::default(), crate::tls::Staples::none()).unwrap(),
        ),
        https_port: None,
        mode: Mode::HostThenPath,
        metrics: prometheus::Registry::new(),
        shared: Default::default(),
        attributes: Default::default(),
        live: Default::default(),
        secrets: Default::default(),
        sealer: Default::default(),
    }))
}

/// A state with these documents, all of which must be good.
pub(super) fn with(documents: &[(&str, Value)]) -> State {
    let mut state = empty();
    let changes = documents
        .iter()
        .map(|(key, value)| (key.parse().unwrap(), Some(stored(key, value))));
    let refusals: Vec<Refusal> = state.apply(7, changes.collect());
    assert_eq!(refusals, []);
    state
}

/// A document as the Admin API stores it: with its id.
pub(super) fn stored(key: &str, value: &Value) -> Bytes {
    let mut value = value.clone();
    let key: ResourceKey = key.parse().unwrap();
    let object = value.as_object_mut().unwrap();
    let id = object.entry(key.kind.id_field());
    id.or_insert_with(|| key.id.as_str().into());
    Bytes::from(value.to_string())
}
