#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{form, get, passes, placed, refused, reply, request, text};
use crossway_sdk::testing::{Bench, Scene};
use serde_json::json;
use std::time::Instant;

fn plugin(config: Value) -> LimitConn {
    placed(&Bench::default(), "routes/1", config).unwrap()
}

async fn entered(plugin: &LimitConn) -> Scene {
    let mut scene = get().await;
    assert!(passes(scene.access(plugin).await));
    scene
}

#[tokio::test]
async fn what_is_beyond_conn_and_burst_is_rejected_until_a_request_ends() {
    let plugin =
        plugin(json!({"conn": 1, "burst": 1, "default_conn_delay": 0.01, "key": "remote_addr"}));
    let mut first = entered(&plugin).await;
    let began = Instant::now();
    let _second = entered(&plugin).await;
    assert!(
        began.elapsed() >= Duration::from_millis(10),
        "the second waits"
    );
    let answer = reply(get().await.access(&plugin).await);
    assert_eq!(answer.status, 503);
    assert_eq!(text(&answer), None, "the gateway's page");
    plugin.log(&mut first.exchange());
    let third = entered(&plugin).await;
    assert_eq!(reply(get().await.access(&plugin).await).status, 503);
    drop(third);
    // An aborted request never reaches the log phase.
    let _fourth = entered(&plugin).await;
}

#[tokio::test]
async fn a_request_is_counted_out_once() {
    let plugin = plugin(
        json!({"conn": 2, "burst": 0, "default_conn_delay": 1, "key": "remote_addr",
        "rejected_code": 429, "rejected_msg": "busy"}),
    );
    let mut first = entered(&plugin).await;
    let _second = entered(&plugin).await;
    plugin.log(&mut first.exchange());
    plugin.log(&mut first.exchange());
    drop(first);
    let _third = entered(&plugin).await;
    let mut rejected = get().await;
    let answer = reply(rejected.access(&plugin).await);
    assert_eq!(
        (answer.status.as_u16(), text(&answer).unwrap().as_str()),
        (429, "{\"error_msg\":\"busy\"}\n")
    );
    // A rejected request was never counted in.
    plugin.log(&mut rejected.exchange());
    drop(rejected);
    assert_eq!(reply(get().await.access(&plugin).await).status, 429);
}

#[tokio::test]
async fn an_abort_while_waiting_counts_out() {
    let plugin =
        plugin(json!({"conn": 1, "burst": 1, "default_conn_delay": 3600, "key": "remote_addr"}));
    let _first = entered(&plugin).await;
    let mut waiting = get().await;
    let mut exchange = waiting.exchange();
    let step = plugin.access(&mut exchange);
    assert!(matches!(step, Step::Wait(_)));
    drop(step);
    assert_eq!(reply(get().await.access(&plugin).await).status, 503);
    drop(waiting);
    let mut next = get().await;
    assert!(matches!(plugin.access(&mut next.exchange()), Step::Wait(_)));
}

#[tokio::test]
async fn the_delay_follows_what_requests_take_unless_it_may_not() {
    for (fixed, unit) in [(true, 100.0), (false, 50.0)] {
        let plugin = plugin(
            json!({"conn": 5, "burst": 0, "default_conn_delay": 100, "key": "remote_addr",
            "only_use_default_delay": fixed}),
        );
        let mut scene = entered(&plugin).await;
        plugin.log(&mut scene.exchange());
        assert!((plugin.limiters[0].unit() - unit).abs() < 1.0);
    }
}

#[tokio::test]
async fn every_rule_that_applies_counts() {
    let plugin = plugin(json!({"default_conn_delay": 1, "rules": [
        {"conn": 1, "burst": 0, "key": "$http_x_user"},
        {"conn": "${http_x_quota ?? 2}", "burst": "0", "key": "$http_x_team"},
    ]}));
    let of = |user: &str| format!("GET / HTTP/1.1\nHost: a\nX-User: {user}\nX-Team: red");
    let mut ann = request(&of("ann")).await;
    assert!(passes(ann.access(&plugin).await));
    assert_eq!(
        reply(request(&of("ann")).await.access(&plugin).await).status,
        503
    );
    let mut bob = request(&of("bob")).await;
    assert!(passes(bob.access(&plugin).await));
    assert_eq!(
        reply(request(&of("cid")).await.access(&plugin).await).status,
        503
    );
    drop(ann);
    let mut cid = request(&of("cid")).await;
    assert!(passes(cid.access(&plugin).await));
    assert!(
        get().await.access(&plugin).await.is_err(),
        "no rule applies"
    );
}

#[tokio::test]
async fn what_cannot_be_judged_fails_or_passes_by_choice() {
    for degrade in [false, true] {
        let plugin = plugin(
            json!({"conn": "$http_x_quota", "burst": 0, "default_conn_delay": 1,
            "key": "remote_addr", "allow_degradation": degrade}),
        );
        let mut scene = request("GET / HTTP/1.1\nHost: a\nX-Quota: none").await;
        assert_eq!(scene.access(&plugin).await.is_err(), !degrade);
    }
}

#[tokio::test]
async fn a_key_in_the_body_is_read_from_it() {
    let plugin =
        plugin(json!({"conn": 1, "burst": 0, "default_conn_delay": 1, "key": "post_arg_user"}));
    let (mut ann, mut bob) = (form("user=ann").await, form("user=bob").await);
    assert!(passes(ann.access(&plugin).await));
    assert!(passes(bob.access(&plugin).await));
    assert_eq!(
        reply(form("user=ann").await.access(&plugin).await).status,
        503
    );
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (
            json!({"default_conn_delay": 1}),
            "expected conn, burst and key, or rules",
        ),
        (
            json!({"conn": 1, "burst": 0, "default_conn_delay": 1}),
            "expected conn, burst and key, or rules",
        ),
        (
            json!({"conn": 1, "burst": 0, "key": "uri"}),
            "property \"default_conn_delay\" is required",
        ),
        (
            json!({"conn": 1, "burst": 0, "key": "uri", "default_conn_delay": 0}),
            "expected 0 to be greater than 0",
        ),
        (
            json!({"conn": 0, "burst": 0, "key": "uri", "default_conn_delay": 1}),
            "expected 0 to be at least 1 (at /conn)",
        ),
        (
            json!({"conn": 1, "burst": "x", "key": "uri", "default_conn_delay": 1}),
            "expected an integer, or a text with a variable such as $http_x_quota (at /burst)",
        ),
        (
            json!({"conn": 1, "default_conn_delay": 1, "rules": [{"conn": 1, "burst": 0, "key": "$uri"}]}),
            "conn/burst/key and rules cannot be specified at the same time (at /rules)",
        ),
        (
            json!({"default_conn_delay": 1, "rules": [{"conn": 1, "burst": 0, "key": "$nothing"}]}),
            "(at /rules/0/key)",
        ),
        (
            json!({"conn": 1, "burst": 0, "key": "uri", "default_conn_delay": 1, "policy": "redis-cluster"}),
            "policy redis-cluster needs redis_cluster_nodes",
        ),
        (
            json!({"conn": 1, "burst": 0, "key": "uri", "default_conn_delay": 1, "konn": 1}),
            "konn",
        ),
    ] {
        let said = refused::<LimitConn>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}

#[tokio::test]
async fn sessions_beyond_conn_and_burst_are_refused_until_one_ends() {
    use crossway_sdk::testing::StreamScene;
    let plugin =
        plugin(json!({"conn": 1, "burst": 1, "default_conn_delay": 0.001, "key": "remote_addr"}));
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut scene = StreamScene::default();
        assert!(passes(scene.access(&plugin).await));
        open.push(scene);
    }
    let mut third = StreamScene::default();
    assert_eq!(reply(third.access(&plugin).await).status, 503);
    // Its end counts nobody out who was not in.
    third.log(&plugin);
    assert_eq!(reply(third.access(&plugin).await).status, 503);
    let mut other = StreamScene::default();
    other.session.client = "192.0.2.9:1".parse().unwrap();
    assert!(passes(other.access(&plugin).await));
    open[0].log(&plugin);
    assert!(passes(StreamScene::default().access(&plugin).await));
}

#[tokio::test]
async fn a_session_without_a_value_for_the_key_is_known_by_its_address() {
    use crossway_sdk::testing::StreamScene;
    let plugin = plugin(json!({"conn": 1, "burst": 0, "default_conn_delay": 0.001,
        "key": "$proxy_protocol_addr $http_x", "key_type": "var_combination"}));
    let mut first = StreamScene::default();
    assert!(passes(first.access(&plugin).await));
    assert_eq!(
        reply(StreamScene::default().access(&plugin).await).status,
        503
    );
}
