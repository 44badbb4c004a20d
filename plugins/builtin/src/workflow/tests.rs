use super::Workflow;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance, Registry},
    testing::Bench,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<Workflow>()
}

fn bench() -> Bench {
    let plugins = Registry::default()
        .plugin(Definition::of::<crate::limit_count::LimitCount>())
        .and_then(|r| r.plugin(Definition::of::<crate::limit_conn::LimitConn>()))
        .and_then(|r| r.plugin(Definition::of::<crate::cors::Cors>()));
    Bench {
        plugins: plugins.unwrap(),
        ..Bench::default()
    }
}

fn plugin(rules: Value) -> Arc<dyn Instance> {
    bench()
        .build(&definition(), json!({"rules": rules}))
        .unwrap()
}

fn refused(rules: Value) -> (String, String) {
    let error = bench()
        .build(&definition(), json!({"rules": rules}))
        .err()
        .expect("refused");
    (error.path, error.message)
}

/// 200 when the request goes on.
async fn status(plugin: &dyn Instance, target: &str) -> u16 {
    match scene(get(target, "")).await.access(plugin).await.unwrap() {
        crossway_sdk::flow::Flow::Next => 200,
        crossway_sdk::flow::Flow::Respond(reply) => reply.status.as_u16(),
    }
}

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let plugin = plugin(json!([
        {"case": [["uri", "==", "/a"]], "actions": [["return", {"code": 403}]]},
        {"case": ["OR", ["uri", "==", "/b"], ["arg_b", "==", "1"]], "actions": [["return", {"code": 410}]]},
        {"case": [["arg_c", "==", "1"]], "actions": [["limit-count", {"count": 1, "time_window": 600, "rejected_code": 429}]]},
    ]));
    for (target, expected) in [("/a?b=1", 403), ("/b", 410), ("/x?b=1", 410), ("/x", 200)] {
        assert_eq!(status(&*plugin, target).await, expected, "{target}");
    }
    let said = said(scene(get("/a", "")).await.access(&*plugin).await);
    assert_eq!(
        said,
        (403, "{\"error_msg\":\"rejected by workflow\"}\n".to_owned())
    );
    assert_eq!(status(&*plugin, "/x?c=1").await, 200);
    assert_eq!(status(&*plugin, "/y?c=1").await, 429);
    assert_eq!(status(&*plugin, "/y").await, 200);
}

#[tokio::test]
async fn each_limit_counts_for_itself() {
    let limit = json!(["limit-count", {"count": 1, "time_window": 600}]);
    let plugin = plugin(json!([
        {"case": [["uri", "==", "/a"]], "actions": [limit]},
        {"actions": [limit]},
    ]));
    assert_eq!(status(&*plugin, "/a").await, 200);
    assert_eq!(status(&*plugin, "/b").await, 200);
    assert_eq!(status(&*plugin, "/a").await, 503);
    assert_eq!(status(&*plugin, "/b").await, 503);
}

#[tokio::test]
async fn what_is_in_progress_is_given_back_at_the_end() {
    let plugin = plugin(json!([{"actions": [["limit-conn", {
        "conn": 1, "burst": 0, "default_conn_delay": 0.001, "key": "remote_addr"}]]}]));
    let mut first = scene(get("/", "")).await;
    assert!(goes_on(first.access(&*plugin).await));
    assert_eq!(status(&*plugin, "/").await, 503);
    plugin.log(&mut first.exchange());
    assert_eq!(status(&*plugin, "/").await, 200);
}

#[tokio::test]
async fn conditions_may_look_into_the_body() {
    let plugin = plugin(
        json!([{"case": [["post_arg_a", "==", "1"]], "actions": [["return", {"code": 403}]]}]),
    );
    let post = |body: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    assert!(!goes_on(scene(post("a=1")).await.access(&*plugin).await));
    assert!(goes_on(scene(post("a=2")).await.access(&*plugin).await));
}

#[test]
fn further_actions_are_checked_and_taken() {
    plugin(json!([{"actions": [["return", {"code": 403}], ["return", {"code": 404}]]}]));
    let (path, _) =
        refused(json!([{"actions": [["return", {"code": 403}], ["return", {"code": 600}]]}]));
    assert_eq!(path, "/rules/0/actions/1/1/code");
}

#[test]
fn refused_configurations_say_where() {
    let action = |action: Value| refused(json!([{"actions": [action]}]));
    assert_eq!(refused(json!([{}])).0, "/rules/0/actions");
    assert_eq!(refused(json!([{"actions": []}])).0, "/rules/0/actions");
    assert_eq!(action(json!(["return"])).0, "/rules/0/actions/0");
    assert_eq!(action(json!([1, {}])).0, "/rules/0/actions/0");
    assert_eq!(
        action(json!(["cors", {}])),
        (
            "/rules/0/actions/0".to_owned(),
            "unsupported action: cors".to_owned()
        )
    );
    let (path, message) = action(json!(["return", {}]));
    assert_eq!(path, "/rules/0/actions/0/1");
    assert!(
        message.starts_with("failed to validate the 'return' action: "),
        "{message}"
    );
    assert_eq!(
        action(json!(["return", {"code": 100}])).0,
        "/rules/0/actions/0/1/code"
    );
    let (path, message) = action(json!(["limit-count", {"count": 0, "time_window": 1}]));
    assert_eq!(path, "/rules/0/actions/0/1/count");
    assert!(
        message.starts_with("failed to validate the 'limit-count' action: property \"count\""),
        "{message}"
    );
    assert_eq!(
        refused(json!([{"case": [["none", "==", 1]], "actions": [["return", {"code": 403}]]}])).0,
        "/rules/0/case"
    );
}
