#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{form, get, passes, refused, reply, request, text};
use crossway_sdk::testing::Bench;
use serde_json::json;
use std::{cell::Cell, time::Instant};

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_700_000_000_000_000) };
}

fn at(bench: &Bench, config: Value) -> LimitReq {
    let cx = BuildCx::new("routes/1", "limit-req", None, None, bench);
    LimitReq::with_clock(serde_json::from_value(config).unwrap(), &cx, || NOW.get()).unwrap()
}

fn timed(config: Value) -> LimitReq {
    at(&Bench::default(), config)
}

#[tokio::test]
async fn what_is_beyond_rate_and_burst_is_rejected() {
    let plugin = timed(json!({"rate": 1, "burst": 1, "key": "remote_addr", "nodelay": true}));
    assert!(passes(get().await.access(&plugin).await));
    assert!(passes(get().await.access(&plugin).await));
    let answer = reply(get().await.access(&plugin).await);
    assert_eq!(answer.status, 503);
    assert_eq!(text(&answer), None, "the gateway's page");
    NOW.set(NOW.get() + 1_000_000);
    assert!(passes(get().await.access(&plugin).await));
    let mut other = get().await;
    other.request.client = "[2001:db8::7]:1".parse().unwrap();
    assert!(passes(other.access(&plugin).await));
}

#[tokio::test]
async fn what_is_within_the_burst_waits_for_its_turn() {
    let plugin = timed(
        json!({"rate": 50, "burst": 2, "key": "http_x_user", "rejected_code": 429,
        "rejected_msg": "slow down"}),
    );
    let ann = "GET / HTTP/1.1\nHost: a\nX-User: ann";
    let began = Instant::now();
    assert!(passes(request(ann).await.access(&plugin).await));
    assert!(passes(request(ann).await.access(&plugin).await));
    assert!(passes(request(ann).await.access(&plugin).await));
    // 20 ms for the second, 40 ms for the third: the plugin's clock stands still.
    assert!(began.elapsed() >= Duration::from_millis(60));
    let answer = reply(request(ann).await.access(&plugin).await);
    assert_eq!(answer.status, 429);
    assert_eq!(text(&answer).unwrap(), "{\"error_msg\":\"slow down\"}\n");
}

#[tokio::test]
async fn a_delay_is_the_only_thing_that_waits() {
    let plugin = timed(
        json!({"rate": 0.001, "burst": 5, "key": "$remote_addr$http_x", "key_type": "var_combination"}),
    );
    let mut scene = get().await;
    assert!(matches!(
        plugin.access(&mut scene.exchange()),
        Step::Done(Ok(Flow::Next))
    ));
    assert!(matches!(
        plugin.access(&mut scene.exchange()),
        Step::Wait(_)
    ));
}

#[tokio::test]
async fn a_key_in_the_body_is_read_from_it() {
    let plugin = timed(json!({"rate": 1, "burst": 0, "key": "post_arg_user"}));
    assert!(passes(form("user=ann").await.access(&plugin).await));
    assert!(passes(form("user=bob").await.access(&plugin).await));
    assert_eq!(
        reply(form("user=ann").await.access(&plugin).await).status,
        503
    );
}

#[tokio::test]
async fn the_same_configuration_in_the_same_place_goes_on() {
    let bench = Bench::default();
    let conf = json!({"rate": 1, "burst": 0, "key": "remote_addr"});
    let first = at(&bench, conf.clone());
    assert!(passes(get().await.access(&first).await));
    let second = at(&bench, conf);
    drop(first);
    assert_eq!(reply(get().await.access(&second).await).status, 503);
    let edited = at(&bench, json!({"rate": 2, "burst": 0, "key": "remote_addr"}));
    assert!(passes(get().await.access(&edited).await));
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (
            json!({"rate": 0, "burst": 0, "key": "uri"}),
            "property \"rate\" validation failed: expected 0 to be greater than 0 (at /rate)",
        ),
        (
            json!({"rate": 1, "burst": -1, "key": "uri"}),
            "expected -1 to be at least 0 (at /burst)",
        ),
        (
            json!({"rate": 1, "burst": 0}),
            "property \"key\" is required",
        ),
        (
            json!({"rate": 1, "burst": 0, "key": "nothing"}),
            "unknown variable `nothing` (at /key)",
        ),
        (
            json!({"rate": 1, "burst": 0, "key": "uri", "key_type": "constant"}),
            "(at /key_type)",
        ),
        (
            json!({"rate": 1, "burst": 0, "key": "uri", "policy": "redis"}),
            "policy redis needs redis_host",
        ),
        (
            json!({"rate": 1, "burst": 0, "key": "uri", "rejected_code": 600}),
            "expected 600 to be at most 599",
        ),
        (
            json!({"rate": 1, "burst": 0, "key": "uri", "bursts": 1}),
            "bursts",
        ),
    ] {
        let said = refused::<LimitReq>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
