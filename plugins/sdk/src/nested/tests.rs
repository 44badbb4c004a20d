#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::Nested;
use crate::{
    build::{BuildCx, BuildError},
    consumer::Credentials,
    definition::{Definition, Registry},
    exchange::Exchange,
    flow::{Error, Flow, Reply, Step},
    plugin::{Authenticator, Phases, Plugin},
    testing::{Bench, Consumers, Scene},
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Counts its turns in each request.
struct Counter {
    resource: String,
    credentials: Credentials<Key>,
    answer_at: u32,
}

#[derive(Default)]
struct Turns(u32);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CounterConfig {
    #[serde(default)]
    #[schemars(range(max = 9))]
    answer_at: u32,
    #[serde(default)]
    waits: bool,
}

impl Plugin for Counter {
    const NAME: &'static str = "counter";
    const PRIORITY: i32 = 1;
    const PHASES: Phases = Phases::REWRITE.union(Phases::LOG);
    type Config = CounterConfig;
    fn build(config: CounterConfig, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.waits && config.answer_at == 0 {
            return Err(cx.error("/waits", "nothing to wait for"));
        }
        Ok(Self {
            resource: cx.resource().to_owned(),
            credentials: cx.credentials(),
            answer_at: config.answer_at,
        })
    }
    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            tokio::task::yield_now().await;
            let turns = ex.state::<Turns>();
            turns.0 += 1;
            let turns = turns.0;
            if turns == self.answer_at {
                let found = self.credentials.find(ex, "k").is_some();
                let said = format!("{} {turns} {found}", self.resource);
                return Ok(Flow::Respond(Reply::bytes(200, said)));
            }
            Ok(Flow::Next)
        })
    }
    fn log(&self, ex: &mut Exchange<'_>) {
        ex.state::<Turns>().0 += 100;
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Key {}

impl Authenticator for Counter {
    type Credential = Key;
    fn index(_: &Key) -> Option<String> {
        Some("k".to_owned())
    }
}

/// Runs several inside, each twice.
struct Outer {
    inner: Vec<Nested>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OuterConfig {
    plugins: Vec<(String, Value)>,
}

impl Plugin for Outer {
    const NAME: &'static str = "outer";
    const PRIORITY: i32 = 2;
    const PHASES: Phases = Phases::REWRITE;
    type Config = OuterConfig;
    fn build(config: OuterConfig, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let one = |(i, (name, config)): (usize, &(String, Value))| {
            cx.nested(&format!("/plugins/{i}/1"), name, config)
        };
        let inner = config.plugins.iter().enumerate().map(one);
        Ok(Self {
            inner: inner.collect::<Result<_, _>>()?,
        })
    }
    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        Step::wait(async move {
            ex.state::<Turns>().0 = 50;
            for _ in 0..2 {
                for inner in &self.inner {
                    if let Flow::Respond(reply) = inner.rewrite(ex).await? {
                        return Ok(Flow::Respond(reply));
                    }
                }
            }
            match ex.state::<Turns>().0 {
                50 => Ok(Flow::Next),
                other => Err(Error::new(format!("my state became {other}"))),
            }
        })
    }
}

fn bench() -> Bench {
    let registry = Registry::default()
        .plugin(Definition::auth::<Counter>())
        .and_then(|r| r.plugin(Definition::of::<Outer>()));
    Bench {
        plugins: registry.unwrap(),
        ..Bench::default()
    }
}

async fn run(plugins: Value) -> Result<Flow, Error> {
    let outer = bench().build(&Definition::of::<Outer>(), json!({ "plugins": plugins }));
    let raw = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let consumers = Consumers::default().with("ann", &Definition::auth::<Counter>(), json!({}));
    let consumers = Arc::new(consumers.unwrap());
    let mut scene = Scene::with(raw, consumers).await.unwrap();
    scene.rewrite(&*outer.unwrap()).await
}

fn said(flow: Result<Flow, Error>) -> String {
    match flow.unwrap() {
        Flow::Next => "next".to_owned(),
        Flow::Respond(reply) => match reply.body {
            crate::flow::ReplyBody::Bytes(b) => String::from_utf8(b.to_vec()).unwrap(),
            crate::flow::ReplyBody::Default => String::new(),
        },
    }
}

#[tokio::test]
async fn each_keeps_its_own_state() {
    let plugins =
        json!([["counter", {}], ["counter", {"answer_at": 3}], ["counter", {"answer_at": 2}]]);
    assert_eq!(
        said(run(plugins).await),
        "routes/1#outer/plugins/2/1 2 true"
    );
    assert_eq!(said(run(json!([["counter", {}]])).await), "next");
}

#[tokio::test]
async fn nesting_goes_deep_and_states_stay_apart() {
    let inner = json!([["counter", {}], ["counter", {"answer_at": 4}]]);
    let plugins = json!([["outer", {"plugins": inner}], ["counter", {"answer_at": 3}]]);
    assert_eq!(
        said(run(plugins).await),
        "routes/1#outer/plugins/0/1#outer/plugins/1/1 4 true"
    );
}

#[test]
fn a_refusal_says_where_it_stands_in_the_outer_configuration() {
    let refused = |plugins: Value| {
        let config = json!({ "plugins": plugins });
        let error = bench().build(&Definition::of::<Outer>(), config);
        error.err().unwrap()
    };
    let unknown = refused(json!([["counter", {}], ["gone", {}]]));
    assert_eq!(
        (unknown.path.as_str(), unknown.message.as_str()),
        ("/plugins/1/1", "unknown plugin [gone]")
    );
    assert_eq!(
        refused(json!([["counter", {"answer_at": 10}]])).path,
        "/plugins/0/1/answer_at"
    );
    let built = refused(json!([["counter", {"waits": true}]]));
    assert_eq!(built.path, "/plugins/0/1/waits");
    assert_eq!(
        built.message,
        "failed to check the configuration of plugin counter err: nothing to wait for"
    );
    let deep = json!([["outer", {"plugins": [["counter", {"x": 1}]]}]]);
    assert_eq!(refused(deep).path, "/plugins/0/1/plugins/0/1/x");
}

#[test]
fn what_is_nested_is_known_afterwards() {
    let bench = bench();
    let cx = BuildCx::new("routes/1", "outer", None, None, &bench);
    assert_eq!(cx.definition("counter").map(|d| d.is_auth()), Some(true));
    assert!(cx.definition("gone").is_none());
    let config = json!({"plugins": [["counter", {}]]});
    let nested = cx.nested("/a", "outer", &config).unwrap();
    assert_eq!((nested.name(), nested.phases()), ("outer", Phases::REWRITE));
    assert_eq!(cx.into_asked().nested, ["outer", "counter"]);
}
