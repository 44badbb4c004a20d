use super::SplunkHecLogging;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::{Deserializer, Value, json};

#[tokio::test]
async fn events_stand_one_after_another() {
    let server = HttpServer::new([(200, "{\"text\":\"Success\",\"code\":0}")]).await;
    let logger = Logger::new::<SplunkHecLogging>(json!({
        "endpoint": {"uri": server.url("/services/collector"), "token": "t", "channel": "c"},
        "log_format_extra": {"node": "$upstream_unresolved_host", "request_url": "not replaced"},
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let received = &server.received()[0];
    assert_eq!(received.header("authorization"), Some("Splunk t"));
    assert_eq!(received.header("x-splunk-request-channel"), Some("c"));
    let events: Vec<Value> = Deserializer::from_str(&received.body)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(events.len(), 2);
    let event = &events[0];
    assert!(event["time"].as_f64().unwrap() > 1e9 && event["host"].is_string());
    assert_eq!(event["source"], "apache-apisix-splunk-hec-logging");
    assert_eq!(event["sourcetype"], "_json");
    let event = &event["event"];
    assert_eq!(
        event["request_url"],
        "http://a.example:9080/a%20b?q=1&q=2&flag&e=%C3%A4"
    );
    assert_eq!(event["request_method"], "POST");
    assert_eq!(event["request_headers"]["x-one"], "1");
    assert_eq!(event["request_query"]["q"], json!(["1", "2"]));
    assert_eq!(event["response_status"], 200);
    assert_eq!(event["upstream"], "10.0.0.1:80");
    assert_eq!(event["node"], "node.example");
    for name in [
        "request_size",
        "response_size",
        "response_headers",
        "latency",
    ] {
        assert!(!event[name].is_null(), "{name}");
    }
}

#[tokio::test]
async fn a_format_of_ones_own_is_the_event() {
    let server = HttpServer::new([(400, "{\"text\":\"no\"}")]).await;
    let logger = Logger::new::<SplunkHecLogging>(json!({
        "endpoint": {"uri": server.url("/"), "token": "t"}, "log_format": {"a": "b"},
    }));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(
        server.received()[0].json()["event"],
        json!({"a": "b", "route_id": "1"})
    );
    assert_eq!(logger.failed(), 1);
}

#[test]
fn an_address_and_a_token_are_needed() {
    let definition = Definition::of::<SplunkHecLogging>();
    assert_eq!(
        refused(&definition, json!({})).1,
        "property \"endpoint\" is required"
    );
    let config = json!({"endpoint": {"uri": "http://a"}});
    assert_eq!(refused(&definition, config).0, "/endpoint/token");
    let config = json!({"endpoint": {"uri": "a", "token": "t"}});
    assert_eq!(refused(&definition, config).0, "/endpoint/uri");
    let config = json!({"endpoint": {"uri": "http://a", "token": "t", "keepalive_timeout": 999}});
    assert_eq!(
        refused(&definition, config).0,
        "/endpoint/keepalive_timeout"
    );
}
