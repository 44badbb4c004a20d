#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{form, get, passes, placed, refused, request};
use crossway_sdk::testing::{Bench, Scene};
use serde_json::json;
use std::sync::Arc;

fn bench() -> Bench {
    let upstream = |id: &str| (id.to_owned(), UpstreamHandle::new(Arc::new(json!(id))));
    Bench {
        upstreams: [upstream("blue"), upstream("2")].into(),
        ..Bench::default()
    }
}

fn plugin(config: Value) -> TrafficSplit {
    placed(&bench(), "routes/1", config).unwrap()
}

/// Where the request goes: an upstream's id, an inline upstream's document, or `own`.
fn goal(scene: &Scene) -> String {
    match &scene.request.upstream_override {
        Some(handle) => match &*handle.get::<Value>().unwrap() {
            Value::String(id) => id.clone(),
            document => document.to_string(),
        },
        None => "own".to_owned(),
    }
}

async fn sent(plugin: &TrafficSplit, head: &str) -> String {
    let mut scene = request(head).await;
    assert!(passes(scene.access(plugin).await));
    goal(&scene)
}

#[tokio::test]
async fn traffic_is_split_by_weight() {
    let plugin = plugin(json!({"rules": [{"weighted_upstreams": [
        {"upstream_id": "blue", "weight": 3},
        {"upstream_id": 2, "weight": 1},
        {"weight": 1},
        {"upstream_id": "blue", "weight": 0},
    ]}]}));
    let mut seen = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..50 {
        *seen
            .entry(sent(&plugin, "GET / HTTP/1.1\nHost: a").await)
            .or_default() += 1;
    }
    let seen: Vec<_> = seen.iter().map(|(goal, n)| (goal.as_str(), *n)).collect();
    assert_eq!(seen, [("2", 10), ("blue", 30), ("own", 10)]);
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let plugin = plugin(json!({"rules": [
        {"match": [
            {"vars": [["arg_a", "==", "1"], ["http_x_user", "==", "ann"]]},
            {"vars": [["arg_b", "~~", "^x"]]},
        ], "weighted_upstreams": [{"upstream_id": "blue"}]},
        {"match": [{"vars": [["arg_c", "==", "own"]]}]},
        {"match": [{"vars": [["arg_c", "==", "none"]]}], "weighted_upstreams": [{"upstream_id": "blue", "weight": 0}]},
        {"match": [], "weighted_upstreams": [{"upstream_id": "2"}]},
        {"weighted_upstreams": [{"upstream_id": "blue"}]},
    ]}));
    for (head, expected) in [
        ("GET /?a=1 HTTP/1.1\nHost: a\nX-User: ann", "blue"),
        ("GET /?a=1 HTTP/1.1\nHost: a\nX-User: bob", "2"),
        ("GET /?b=xy HTTP/1.1\nHost: a", "blue"),
        ("GET /?c=own HTTP/1.1\nHost: a", "own"),
        ("GET /?c=none HTTP/1.1\nHost: a", "own"),
        ("GET / HTTP/1.1\nHost: a", "2"),
    ] {
        assert_eq!(sent(&plugin, head).await, expected, "{head}");
    }
}

#[tokio::test]
async fn without_a_rule_for_it_a_request_goes_its_way() {
    for config in [
        json!({}),
        json!({"rules": []}),
        json!({"rules": [{"match": [{"vars": [["arg_a", "==", "1"]]}], "weighted_upstreams": [{"upstream_id": "blue"}]}]}),
    ] {
        let plugin = plugin(config);
        let mut scene = get().await;
        scene.request.upstream_override =
            Some(UpstreamHandle::new(Arc::new(json!("chosen before"))));
        assert!(passes(scene.access(&plugin).await));
        assert_eq!(goal(&scene), "chosen before");
    }
}

#[tokio::test]
async fn the_body_is_read_when_a_rule_asks_for_it() {
    let plugin = plugin(json!({"rules": [
        {"match": [{"vars": [["arg_a", "==", "1"]]}], "weighted_upstreams": [{"upstream_id": "2"}]},
        {"match": [{"vars": [["post_arg_user", "==", "ann"]]}], "weighted_upstreams": [{"upstream_id": "blue"}]},
    ]}));
    let mut scene = form("user=ann").await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(goal(&scene), "blue");
    let mut scene = form("user=bob").await;
    assert!(passes(scene.access(&plugin).await));
    assert_eq!(goal(&scene), "own");
    let mut scene = request("GET /?a=1 HTTP/1.1\nHost: a").await;
    assert!(
        matches!(
            plugin.access(&mut scene.exchange()),
            Step::Done(Ok(Flow::Next))
        ),
        "the first rule settled it"
    );
}

#[tokio::test]
async fn an_inline_upstream_keeps_what_apisix_keeps() {
    let plugin = plugin(json!({"rules": [{"weighted_upstreams": [{"upstream": {
        "name": "n", "type": "roundrobin", "nodes": {"127.0.0.1:80": 1}, "timeout": {"connect": 1},
        "pass_host": "rewrite", "upstream_host": "h", "scheme": "https", "retries": 5, "keepalive_pool": {}, "checks": {},
    }}]}]}));
    let document: Value =
        serde_json::from_str(&sent(&plugin, "GET / HTTP/1.1\nHost: a").await).unwrap();
    assert_eq!(
        document,
        json!({"name": "n", "type": "roundrobin", "nodes": {"127.0.0.1:80": 1},
        "timeout": {"connect": 1}, "pass_host": "rewrite", "upstream_host": "h", "scheme": "https"})
    );
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    let entry = |entry: Value| json!({"rules": [{"weighted_upstreams": [entry]}]});
    for (config, expected) in [
        (
            entry(json!({"upstream_id": "green"})),
            "failed to fetch upstream info by upstream id [green], response code: 404 (at /rules/0/weighted_upstreams/0/upstream_id)",
        ),
        (
            entry(json!({"upstream_id": "a b"})),
            "(at /rules/0/weighted_upstreams/0/upstream_id)",
        ),
        (entry(json!({"weight": -1})), "expected -1 to be at least 0"),
        (entry(json!({"upstream": "blue"})), "wrong type"),
        (
            entry(
                json!({"upstream": {"type": "roundrobin", "service_name": "x", "discovery_type": "dns"}}),
            ),
            "service discovery is not available",
        ),
        (
            entry(json!({"upstream": {"nodez": {}}})),
            "additional properties forbidden, found nodez (at /rules/0/weighted_upstreams/0/upstream/nodez)",
        ),
        (
            json!({"rules": [{"weighted_upstreams": []}]}),
            "expect array to have at least 1 items",
        ),
        (
            json!({"rules": [{"match": [{"vars": [["nothing", "==", "1"]]}]}]}),
            "failed to validate the 'vars' expression: ",
        ),
        (
            json!({"rules": [{"match": [{}]}]}),
            "property \"vars\" is required",
        ),
        (json!({"rules": [{"matches": []}]}), "matches"),
        (json!({"rule": []}), "rule"),
    ] {
        let said = refused::<TrafficSplit>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
    let many: Vec<Value> = (0..21).map(|_| json!({"weight": 1})).collect();
    assert!(
        refused::<TrafficSplit>(json!({"rules": [{"weighted_upstreams": many}]}))
            .contains("at most 20 items")
    );
}

#[tokio::test]
async fn sessions_are_split_by_what_they_are() {
    let plugin = plugin(json!({"rules": [
        {"match": [{"vars": [["remote_addr", "==", "192.0.2.9"]]}],
            "weighted_upstreams": [{"upstream_id": "blue"}]},
        {"match": [{"vars": [["server_port", "==", "9100"]]}],
            "weighted_upstreams": [{"upstream_id": 2, "weight": 1}, {"weight": 1}]},
    ]}));
    let mut goals = Vec::new();
    for client in ["192.0.2.9:1", "192.0.2.1:1", "192.0.2.1:1"] {
        let mut scene = crossway_sdk::testing::StreamScene::default();
        scene.session.client = client.parse().unwrap();
        assert!(passes(scene.access(&plugin).await));
        let chosen = scene.session.upstream_override;
        goals.push(chosen.map(|handle| handle.get::<Value>().unwrap().to_string()));
    }
    goals.sort();
    assert_eq!(
        goals,
        [None, Some("\"2\"".to_owned()), Some("\"blue\"".to_owned())]
    );
}
