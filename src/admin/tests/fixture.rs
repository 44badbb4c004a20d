//! A few small plugins, and an empty state with them.

use std::sync::Arc;

use crossway_sdk::prelude::*;

use crate::{
    compile::{State, Workshop},
    matcher::Mode,
    upstream::{
        Environment,
        names::{Answer, Resolve, ResolveError},
    },
};

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Names a consumer by a key.
struct KeyAuth;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Held {
    key: String,
}

#[phases]
impl Plugin for KeyAuth {
    const NAME: &'static str = "key-auth";
    const PRIORITY: i32 = 2500;
    type Config = Nothing;
    fn build(_: Nothing, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

impl Authenticator for KeyAuth {
    type Credential = Held;
    fn index(credential: &Held) -> Option<String> {
        Some(credential.key.clone())
    }
}

/// Has bounds.
struct LimitCount;

#[derive(serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct Limit {
    #[schemars(range(min = 1))]
    count: u32,
    time_window: u32,
}

#[phases]
impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    type Config = Limit;
    fn build(_: Limit, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

/// Takes part in one phase, and has metadata.
struct RequestId;

#[phases]
impl Plugin for RequestId {
    const NAME: &'static str = "request-id";
    const PRIORITY: i32 = 12015;
    type Config = Nothing;
    fn build(_: Nothing, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn metadata_schema() -> Option<Value> {
        Some(serde_json::json!({
            "type": "object", "properties": {"length": {"type": "integer"}}, "additionalProperties": false
        }))
    }
    fn rewrite<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
    }
}

/// Refers to upstreams and to none.
struct TrafficSplit;

#[derive(serde::Deserialize, JsonSchema)]
#[allow(dead_code)]
struct Split {
    rules: Value,
}

#[phases]
impl Plugin for TrafficSplit {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    type Config = Split;
    fn build(_: Split, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }
    fn access<'a>(&'a self, _: &'a mut Exchange<'_>) -> Step<'a> {
        Step::next()
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
pub(super) fn state() -> State {
    let registry = Registry::default()
        .plugin(Definition::auth::<KeyAuth>())
        .and_then(|r| r.plugin(Definition::of::<LimitCount>()))
        .and_then(|r| r.plugin(Definition::of::<RequestId>()))
        .and_then(|r| r.plugin(Definition::of::<TrafficSplit>()))
        .unwrap();
    let runtime = tokio::runtime::Handle::current();
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
