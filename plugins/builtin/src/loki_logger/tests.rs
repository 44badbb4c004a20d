use super::LokiLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

#[tokio::test]
async fn entries_are_streams_by_label() {
    let server = HttpServer::new([(204, "")]).await;
    let logger = Logger::new::<LokiLogger>(json!({
        "endpoint_addrs": [server.url("")], "tenant_id": "t", "headers": {"X-More": "m"},
        "log_labels": {"job": "gw", "arg": "$arg_q"}, "log_format": {"a": "b"},
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let received = &server.received()[0];
    assert!(
        received
            .head
            .starts_with("POST /loki/api/v1/push HTTP/1.1\n"),
        "{received:?}"
    );
    assert_eq!(received.header("x-scope-orgid"), Some("t"));
    assert_eq!(received.header("x-more"), Some("m"));
    let value = json!(["1795230245012000000", "{\"a\":\"b\",\"route_id\":\"1\"}"]);
    assert_eq!(
        received.json(),
        json!({"streams": [
            {"stream": {"job": "gw", "arg": "1"}, "values": [value, value]},
        ]})
    );
    assert_eq!(logger.failed(), 0);
}

#[tokio::test]
async fn there_are_defaults_and_anything_but_success_is_a_failure() {
    let server = HttpServer::new([(300, "no")]).await;
    let logger = Logger::new::<LokiLogger>(json!({"endpoint_addrs": [server.url("")]}));
    logger.log(&mut finished().await);
    logger.finish().await;
    let received = &server.received()[0];
    assert_eq!(received.header("x-scope-orgid"), Some("fake"));
    let json: Value = received.json();
    assert_eq!(json["streams"][0]["stream"], json!({"job": "apisix"}));
    assert_eq!(logger.failed(), 1);
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<LokiLogger>();
    let refused = |config| refused(&definition, config).0;
    assert_eq!(refused(json!({"endpoint_addrs": []})), "/endpoint_addrs");
    assert_eq!(
        refused(json!({"endpoint_addrs": ["a"]})),
        "/endpoint_addrs/0"
    );
    let with = |name: &str, value: Value| json!({"endpoint_addrs": ["http://a"], name: value});
    assert_eq!(
        refused(with("log_labels", json!({"a": "$nope"}))),
        "/log_labels/a"
    );
    assert_eq!(
        refused(with("log_labels", json!({"a": ""}))),
        "/log_labels/a"
    );
    assert_eq!(
        refused(with("headers", json!({"a b": "c"}))),
        "/headers/a b"
    );
    assert_eq!(refused(with("timeout", json!(60_001))), "/timeout");
}
