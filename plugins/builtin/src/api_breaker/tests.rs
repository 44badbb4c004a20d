use super::ApiBreaker;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    flow::Flow,
    request::Try,
    testing::Bench,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Instant};

fn definition() -> Definition {
    Definition::of::<ApiBreaker>()
}

fn attempt(status: u16) -> Try {
    Try {
        address: None,
        host: "n".into(),
        port: 80,
        scheme: "http",
        status: Some(status),
        stale: false,
        began: Instant::now(),
        connected: None,
        answered: None,
        ended: None,
    }
}

/// Sends a request that the upstream answers with `status`; returns whether it got there.
async fn pass(plugin: &dyn Instance, host: &str, target: &str, status: u16) -> bool {
    let raw = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut scene = scene(raw).await;
    let flow = scene.access(plugin).await.unwrap();
    let admitted = matches!(flow, Flow::Next);
    if admitted {
        scene.request.tries.push(attempt(status));
    }
    plugin.log(&mut scene.exchange());
    admitted
}

#[tokio::test]
async fn it_opens_after_failures_of_one_host_and_path() {
    let plugin = built(
        &definition(),
        json!({"break_response_code": 599, "unhealthy": {"http_statuses": [500, 503], "failures": 2}}),
    );
    assert!(pass(&*plugin, "a", "/x?1", 500).await);
    assert!(pass(&*plugin, "a", "/x", 404).await);
    assert!(pass(&*plugin, "a", "/x?2", 503).await);
    assert!(!pass(&*plugin, "a", "/x", 200).await);
    assert!(
        !pass(&*plugin, "a:81", "/x?3", 200).await,
        "a port is no other host"
    );
    assert!(pass(&*plugin, "b", "/x", 200).await);
    assert!(pass(&*plugin, "a", "/y", 200).await);
    // What it answered itself does not count.
    for _ in 0..9 {
        assert!(!pass(&*plugin, "a", "/x", 200).await);
    }
}

#[tokio::test]
async fn counts_belong_to_host_and_path_not_to_the_route() {
    let bench = Bench::default();
    let config = json!({"break_response_code": 502, "unhealthy": {"failures": 1}});
    let one = bench.build(&definition(), config.clone()).unwrap();
    let two = bench.build(&definition(), config).unwrap();
    assert!(pass(&*one, "a", "/x", 500).await);
    assert!(!pass(&*two, "a", "/x", 200).await);
}

#[tokio::test]
async fn by_ratio_it_opens_for_the_whole_place_of_use() {
    let plugin = built(
        &definition(),
        json!({"break_response_code": 503, "policy": "unhealthy-ratio", "unhealthy": {"min_request_threshold": 4}}),
    );
    for (target, status) in [("/a", 500), ("/b", 200), ("/c", 500), ("/d", 200)] {
        assert!(pass(&*plugin, "a", target, status).await);
    }
    assert!(!pass(&*plugin, "b", "/e", 200).await);
}

async fn answer(config: Value) -> crossway_sdk::flow::Reply {
    let plugin: Arc<dyn Instance> = built(&definition(), config);
    for _ in 0..3 {
        pass(&*plugin, "a.example", "/", 500).await;
    }
    reply(scene(get("/", "")).await.access(&*plugin).await)
}

#[tokio::test]
async fn the_answer_is_a_page_or_has_body_and_headers() {
    let headers = json!([{"key": "Content-Type", "value": "application/json"}, {"key": "X-Host", "value": "$host"}, {"key": "X-Host", "value": "2"}]);
    let page = answer(json!({"break_response_code": 503, "break_response_headers": headers})).await;
    assert_eq!(page.status, 503);
    assert!(page.headers.is_empty(), "headers come with a body only");
    assert!(matches!(page.body, crossway_sdk::flow::ReplyBody::Default));
    let own = json!({"break_response_code": 503, "break_response_headers": headers, "break_response_body": "{}"});
    let own = answer(own).await;
    assert_eq!(body(&own), "{}");
    assert_eq!(header(&own, "content-type"), Some("application/json"));
    let hosts: Vec<_> = own
        .headers
        .iter()
        .filter(|(n, _)| n == "x-host")
        .map(|(_, v)| v)
        .collect();
    assert_eq!(hosts, ["a.example", "2"]);
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "property \"break_response_code\" is required"
    );
    let with = |name: &str, value: Value| {
        let mut config = json!({"break_response_code": 502});
        config[name] = value;
        refused(config).0
    };
    assert_eq!(
        refused(json!({"break_response_code": 199})).0,
        "/break_response_code"
    );
    assert_eq!(with("max_breaker_sec", json!(2)), "/max_breaker_sec");
    assert_eq!(with("policy", json!("other")), "/policy");
    assert_eq!(
        with("unhealthy", json!({"http_statuses": [499]})),
        "/unhealthy/http_statuses/0"
    );
    assert_eq!(
        with("unhealthy", json!({"http_statuses": [500, 500]})),
        "/unhealthy/http_statuses"
    );
    assert_eq!(
        with("unhealthy", json!({"http_statuses": []})),
        "/unhealthy/http_statuses"
    );
    assert_eq!(
        with("unhealthy", json!({"failures": 0})),
        "/unhealthy/failures"
    );
    assert_eq!(
        with("unhealthy", json!({"error_ratio": 1.1})),
        "/unhealthy/error_ratio"
    );
    assert_eq!(
        with("healthy", json!({"http_statuses": [500]})),
        "/healthy/http_statuses/0"
    );
    assert_eq!(
        with("healthy", json!({"successes": 0})),
        "/healthy/successes"
    );
    assert_eq!(
        with(
            "break_response_headers",
            json!([{"key": "a b", "value": "1"}])
        ),
        "/break_response_headers/0/key"
    );
    assert_eq!(
        with(
            "break_response_headers",
            json!([{"key": "a", "value": "$none"}])
        ),
        "/break_response_headers/0/value"
    );
}
