//! Loggers that write to sockets: `tcp-logger`, `udp-logger`, `datadog`.

use serde_json::{Value, json};

use super::{Connections, Datagrams, world};
use crate::support::{Gateway, Identity, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn tcp_logger_writes_each_batch_on_a_connection_of_its_own() {
    let mut server = Connections::start().await;
    let logger = json!({
        "host": "127.0.0.1", "port": server.port, "batch_max_size": 2, "log_format": {"uri": "$uri"},
    });
    let (gateway, _upstream) = world("tcp-logger", logger).await;
    for batch in 0..2 {
        for _ in 0..2 {
            gateway.get("/a").await.expect_status(200);
        }
        let (connection, text) = server.next().await;
        assert_eq!(connection, batch);
        let entry = json!({"uri": "/a", "route_id": "1"});
        let entries: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(entries, json!([entry, entry]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tcp_logger_speaks_tls() {
    let mut server = Connections::start_tls(&Identity::for_names(&["logs.test"])).await;
    let logger = json!({
        "host": "127.0.0.1", "port": server.port, "tls": true, "tls_options": "logs.test", "batch_max_size": 1,
        "timeout": 20_000, "log_format": {"status": "$status"},
    });
    let (gateway, _upstream) = world("tcp-logger", logger).await;
    gateway.get("/a").await.expect_status(200);
    assert_eq!(
        server.next().await.1,
        "{\"status\":\"200\",\"route_id\":\"1\"}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn udp_logger_sends_a_batch_as_a_datagram() {
    let server = Datagrams::start().await;
    let logger = json!({
        "host": "127.0.0.1", "port": server.port(), "batch_max_size": 3, "include_req_body": true,
    });
    let (gateway, upstream) = world("udp-logger", logger).await;
    for _ in 0..3 {
        let answer = gateway.request("POST", "/a").body("hello").await;
        answer.expect_status(200);
    }
    let entries: Value = serde_json::from_str(&server.next().await).unwrap();
    let entries = entries.as_array().unwrap();
    assert_eq!(entries.len(), 3);
    for entry in entries {
        assert_eq!(entry["request"]["body"], "hello");
        assert_eq!(entry["upstream"], upstream.addr().to_string());
    }
    assert!(server.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn datadog_sends_the_six_metrics_of_a_request() {
    let server = Datagrams::start().await;
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    let metadata = json!({
        "host": "127.0.0.1", "port": server.port(), "namespace": "gateway", "constant_tags": ["source:test"],
    });
    gateway.put("/plugin_metadata/datadog", metadata).await;
    let datadog =
        json!({ "batch_max_size": 1, "include_path": true, "constant_tags": ["env:prod"] });
    let route = json!({
        "name": "shop", "uri": "/items/*", "plugins": {"datadog": datadog}, "upstream": upstream.document(),
    });
    gateway.put("/routes/1", route).await;
    gateway.get("/items/7").await.expect_status(200);
    let tags = "source:test,env:prod,route_name:shop,balancer_ip:127.0.0.1,response_status:200,scheme:http,path:/items/*";
    for (name, kind) in [
        ("request.counter", "c"),
        ("request.latency", "h"),
        ("upstream.latency", "h"),
        ("apisix.latency", "h"),
        ("ingress.size", "ms"),
        ("egress.size", "ms"),
    ] {
        let metric = server.next().await;
        let mut parts = metric.split('|');
        let (said, value) = parts.next().unwrap().split_once(':').unwrap();
        assert_eq!(said, format!("gateway.{name}"));
        assert!(value.parse::<f64>().unwrap() >= 0.0, "{metric}");
        assert_eq!(parts.next(), Some(kind), "{metric}");
        assert_eq!(parts.next(), Some(&*format!("#{tags}")), "{metric}");
    }
}
