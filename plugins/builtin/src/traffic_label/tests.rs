use super::TrafficLabel;
use crate::testing::*;
use crossway_sdk::{definition::Definition, definition::Instance};
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<TrafficLabel>()
}

fn plugin(rules: Value) -> Arc<dyn Instance> {
    built(&definition(), json!({"rules": rules}))
}

/// The header `x-label` that the upstream gets.
async fn label(plugin: &dyn Instance, target: &str, lines: &str) -> Option<String> {
    let mut scene = scene(get(target, lines)).await;
    assert!(goes_on(scene.access(plugin).await));
    sent_up(&scene, "x-label").map(str::to_owned)
}

#[tokio::test]
async fn the_first_rule_that_matches_marks() {
    let plugin = plugin(json!([
        {"match": [["arg_a", "==", "1"], ["arg_b", "==", "2"]], "actions": [{"set_headers": {"X-Label": "both"}}]},
        {"match": ["OR", ["arg_a", "==", "1"], ["arg_b", "==", "2"]], "actions": [{"set_headers": {"X-Label": "one of $arg_a$arg_b"}}]},
        {"match": [["http_x_beta", "==", "1"]], "actions": [{"set_headers": {"X-Label": 7}}]},
    ]));
    assert_eq!(
        label(&*plugin, "/?a=1&b=2", "").await.as_deref(),
        Some("both")
    );
    assert_eq!(
        label(&*plugin, "/?a=1", "").await.as_deref(),
        Some("one of 1")
    );
    assert_eq!(
        label(&*plugin, "/", "X-Beta: 1\r\n").await.as_deref(),
        Some("7")
    );
    assert_eq!(label(&*plugin, "/", "").await, None);
    // Where no rule marks, the client's own word stays; where one does, it is replaced.
    assert_eq!(
        label(&*plugin, "/", "x-label: mine\r\n").await.as_deref(),
        Some("mine")
    );
    let evil = "X-Beta: 1\r\nx-label: mine\r\nX-LABEL: mine\r\n";
    assert_eq!(label(&*plugin, "/", evil).await.as_deref(), Some("7"));
}

#[tokio::test]
async fn actions_take_turns_by_weight() {
    let plugin = plugin(json!([{"actions": [
        {"set_headers": {"X-Label": "a"}, "weight": 2}, {"set_headers": {"X-Label": "b"}}, {"weight": 1}
    ]}]));
    let mut seen = [0, 0, 0];
    for _ in 0..40 {
        match label(&*plugin, "/", "").await.as_deref() {
            Some("a") => seen[0] += 1,
            Some("b") => seen[1] += 1,
            _ => seen[2] += 1,
        }
    }
    assert_eq!(seen, [20, 10, 10]);
}

#[tokio::test]
async fn a_turn_that_sets_nothing_leaves_the_request_to_the_next_rule() {
    let plugin = plugin(json!([
        {"actions": [{"weight": 1}]},
        {"actions": [{"set_headers": {"X-Label": "next"}}]},
    ]));
    assert_eq!(label(&*plugin, "/", "").await.as_deref(), Some("next"));
}

#[tokio::test]
async fn no_value_begins_another_header() {
    let plugin = plugin(json!([{"actions": [{"set_headers": {"X-Label": "$arg_a"}}]}]));
    let value = label(&*plugin, "/?a=x%0d%0aEvil:%201", "").await.unwrap();
    assert_eq!(value, "x%0D%0AEvil: 1");
}

#[tokio::test]
async fn conditions_may_look_into_the_body() {
    let plugin = plugin(
        json!([{"match": [["post_arg_a", "==", "1"]], "actions": [{"set_headers": {"X-Label": "$post_arg_a"}}]}]),
    );
    let raw = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 3\r\n\r\na=1";
    let mut scene = scene(raw).await;
    assert!(goes_on(scene.access(&*plugin).await));
    assert_eq!(sent_up(&scene, "x-label"), Some("1"));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |rules: Value| refused(&definition(), json!({"rules": rules}));
    assert_eq!(refused(json!([])).0, "/rules");
    assert_eq!(refused(json!([{}])).0, "/rules/0/actions");
    let (path, message) = refused(json!([{"match": [["nothing", "==", 1]], "actions": [{}]}]));
    assert_eq!(path, "/rules/0/match");
    assert!(
        message.starts_with("failed to validate the 'match' expression: "),
        "{message}"
    );
    assert_eq!(
        refused(json!([{"actions": [{"weight": 0}]}])).0,
        "/rules/0/actions/0/weight"
    );
    assert_eq!(
        refused(json!([{"actions": [{"set_headers": {}}]}])).0,
        "/rules/0/actions/0/set_headers"
    );
    assert_eq!(
        refused(json!([{"actions": [{}, {"set_headers": {"a b": "x"}}]}])).0,
        "/rules/0/actions/1/set_headers/a b"
    );
    assert_eq!(
        refused(json!([{"actions": [{"add_headers": {"a": "x"}}]}])).1,
        "property \"rules\" validation failed: failed to validate item 1: property \"actions\" validation failed: \
         failed to validate item 1: additional properties forbidden, found add_headers"
    );
}
