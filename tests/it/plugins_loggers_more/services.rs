//! Loggers that post to services: `loki-logger`, `elasticsearch-logger`, `clickhouse-logger`, `splunk-hec-logging`.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Deserializer, Value, json};

use super::world;
use crate::support::{Answer, Gateway, PATIENCE, Received, Upstream, wait_until};

async fn two_requests(gateway: &Gateway) {
    for _ in 0..2 {
        gateway.get("/a").await.expect_status(200);
    }
}

async fn nth(server: &Upstream, n: usize) -> Received {
    wait_until("the service was asked", PATIENCE, || server.hits() > n).await;
    server.requests().swap_remove(n)
}

const ENTRY: &str = "{\"uri\":\"/a\",\"route_id\":\"1\"}";

#[tokio::test(flavor = "multi_thread")]
async fn loki_logger_pushes_streams_by_label() {
    let server = Upstream::start().await;
    server.answer(Answer::status(204));
    let logger = json!({
        "endpoint_addrs": [format!("http://{}", server.addr())], "tenant_id": "shop", "batch_max_size": 2,
        "log_labels": {"job": "gateway", "route": "$route_id"}, "log_format": {"uri": "$uri"},
    });
    let (gateway, _upstream) = world("loki-logger", logger).await;
    two_requests(&gateway).await;
    let push = nth(&server, 0).await;
    assert_eq!(
        (&*push.method, &*push.target),
        ("POST", "/loki/api/v1/push")
    );
    assert_eq!(push.header("x-scope-orgid"), Some("shop"));
    assert_eq!(push.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&push.body).unwrap();
    let [stream] = &**body["streams"].as_array().unwrap() else {
        panic!("one stream: {body}");
    };
    assert_eq!(stream["stream"], json!({"job": "gateway", "route": "1"}));
    let values = stream["values"].as_array().unwrap();
    assert_eq!(values.len(), 2);
    for value in values {
        // Nanoseconds since 1970, as text.
        assert!(value[0].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
        assert_eq!(value[1], ENTRY);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn elasticsearch_logger_creates_documents_in_bulk() {
    let server = Upstream::start().await;
    server.script(|request| match &*request.method {
        "GET" => Answer::text("{\"version\":{\"number\":\"9.1.0\"}}"),
        _ => Answer::text("{\"errors\":true}"),
    });
    let logger = json!({
        "endpoint_addrs": [format!("http://{}", server.addr())], "field": {"index": "services"},
        "auth": {"username": "u", "password": "p"}, "batch_max_size": 2, "log_format": {"uri": "$uri"},
    });
    let (gateway, _upstream) = world("elasticsearch-logger", logger).await;
    two_requests(&gateway).await;
    let asked = nth(&server, 0).await;
    assert_eq!((&*asked.method, &*asked.target), ("GET", "/"));
    let bulk = nth(&server, 1).await;
    assert_eq!((&*bulk.method, &*bulk.target), ("POST", "/_bulk"));
    assert_eq!(bulk.header("authorization"), Some("Basic dTpw"));
    let line = format!("{{\"create\":{{\"_index\":\"services\"}}}}\n{ENTRY}\n");
    assert_eq!(String::from_utf8_lossy(&bulk.body), line.repeat(2));
    wait_until("the log says what was refused", PATIENCE, || {
        gateway.log().contains("did not take all entries")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clickhouse_logger_inserts_rows_and_tries_again() {
    let (server, asked) = (Upstream::start().await, AtomicUsize::new(0));
    server.script(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Answer::status(500),
        _ => Answer::text(""),
    });
    let logger = json!({
        "endpoint_addrs": [format!("http://{}/", server.addr())], "user": "u", "password": "p", "database": "d",
        "logtable": "t", "batch_max_size": 2, "max_retry_count": 2, "retry_delay": 0, "log_format": {"uri": "$uri"},
    });
    let (gateway, _upstream) = world("clickhouse-logger", logger).await;
    two_requests(&gateway).await;
    let insert = nth(&server, 2).await;
    assert_eq!(insert.method, "POST");
    let body = format!("INSERT INTO t FORMAT JSONEachRow {ENTRY} {ENTRY}");
    assert_eq!(String::from_utf8_lossy(&insert.body), body);
    for (name, value) in [("user", "u"), ("key", "p"), ("database", "d")] {
        let name = format!("x-clickhouse-{name}");
        assert_eq!(insert.header(&name), Some(value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn splunk_hec_logging_sends_events_with_its_token() {
    let server = Upstream::answering("{\"text\":\"Success\",\"code\":0}").await;
    let logger = json!({
        "endpoint": {
            "uri": format!("http://{}/services/collector", server.addr()), "token": "x7Q-2", "channel": "gateway",
        },
        "batch_max_size": 2,
    });
    let (gateway, upstream) = world("splunk-hec-logging", logger).await;
    two_requests(&gateway).await;
    let sent = nth(&server, 0).await;
    assert_eq!(
        (&*sent.method, &*sent.target),
        ("POST", "/services/collector")
    );
    assert_eq!(sent.header("authorization"), Some("Splunk x7Q-2"));
    assert_eq!(sent.header("x-splunk-request-channel"), Some("gateway"));
    let events = Deserializer::from_slice(&sent.body).into_iter();
    let events: Vec<Value> = events.map(Result::unwrap).collect();
    assert_eq!(events.len(), 2);
    for event in &events {
        assert_eq!(event["source"], "apache-apisix-splunk-hec-logging");
        assert_eq!(event["sourcetype"], "_json");
        assert_eq!(event["event"]["request_method"], "GET");
        assert_eq!(event["event"]["response_status"], 200);
        assert_eq!(event["event"]["upstream"], upstream.addr().to_string());
    }
}
