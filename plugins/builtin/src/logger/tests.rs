#![allow(clippy::unwrap_used)]

use super::testing::*;
use crate::{
    http_logger::HttpLogger,
    testing::{built, refused},
};
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

/// The entry that a request leaves with this configuration and metadata.
async fn entry(config: Value, metadata: Option<Value>) -> Value {
    let server = HttpServer::new([(200, "")]).await;
    let mut whole = json!({"uri": server.url("/"), "batch_max_size": 1});
    whole
        .as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    let logger = Logger::with::<HttpLogger>(whole, metadata);
    let mut scene = finished().await;
    logger.log(&mut scene);
    logger.finish().await;
    server.received()[0].json()
}

#[tokio::test]
async fn the_default_entry_has_the_fields_of_apisix() {
    let mut entry = entry(json!({}), None).await;
    for (pointer, least, most) in [
        ("/latency", 300.0, 20_000.0),
        ("/upstream_latency", 250.0, 250.0),
        ("/apisix_latency", 50.0, 20_000.0),
        ("/request/size", 50.0, 300.0),
        ("/response/size", 0.0, 0.0),
    ] {
        let number = entry.pointer(pointer).unwrap().as_f64().unwrap();
        assert!((least..=most).contains(&number), "{pointer}: {number}");
        *entry.pointer_mut(pointer).unwrap() = json!(null);
    }
    assert!(entry["server"]["hostname"].is_string() && entry["server"]["version"].is_string());
    entry["server"] = json!(null);
    let expected = json!({
        "request": {
            "url": "http://a.example:9080/a%20b?q=1&q=2&flag&e=%C3%A4", "uri": "/a%20b?q=1&q=2&flag&e=%C3%A4",
            "method": "POST", "size": null,
            "querystring": {"q": ["1", "2"], "flag": true, "e": "ä"},
            "headers": {
                "host": "A.example", "x-one": "1", "x-many": ["a", "b"], "x-raw": "\u{fffd}", "content-length": "12",
            },
        },
        "response": {"status": 200, "headers": {}, "size": null},
        "server": null, "upstream": "10.0.0.1:80", "service_id": "", "route_id": "1",
        "consumer": {"username": "jack"}, "client_ip": "192.0.2.1", "start_time": 1_795_230_245_012_u64,
        "latency": null, "upstream_latency": null, "apisix_latency": null,
    });
    assert_eq!(entry, expected);
}

#[tokio::test]
async fn bodies_are_in_the_entry_when_asked_for_and_no_longer_than_allowed() {
    let both =
        json!({"include_req_body": true, "include_resp_body": true, "max_resp_body_bytes": 5});
    let entry1 = entry(both, None).await;
    assert_eq!(entry1["request"]["body"], "request body");
    assert_eq!(entry1["response"]["body"], "respo");
    let conditions = json!({
        "include_req_body": true, "include_req_body_expr": [["arg_q", "==", "1"]],
        "include_resp_body": true, "include_resp_body_expr": [["status", "==", 404]],
    });
    let entry2 = entry(conditions, None).await;
    assert_eq!(entry2["request"]["body"], "request body");
    assert_eq!(entry2["response"].get("body"), None);
    let other = json!({"include_req_body": true, "include_req_body_expr": [["arg_q", "==", "2"]]});
    assert_eq!(entry(other, None).await["request"].get("body"), None);
}

#[tokio::test]
async fn a_body_that_was_masked_is_logged_masked() {
    let server = HttpServer::new([(200, "")]).await;
    let logger = Logger::new::<HttpLogger>(json!({
        "uri": server.url("/"), "include_req_body": true,
    }));
    let mut scene = finished().await;
    scene.request.mask_body("***".into());
    logger.log(&mut scene);
    logger.finish().await;
    let entries = server.received()[0].json();
    assert_eq!(entries[0]["request"]["body"], "***");
}

#[tokio::test]
async fn a_format_of_ones_own_is_nested_and_leaves_out_what_is_not_there() {
    let format = json!({"log_format": {
        "client": "$remote_addr", "@timestamp": "$time_iso8601", "status": "$status", "absent": "$http_x_absent",
        "text": "<$http_x_one>", "plain": "x", "number": 7, "route_id": "mine",
        "in": {"deep": {"host": "$host", "absent": "$arg_z"}}, "list": ["$http_x_one", "b"],
        "body": "$request_body", "answer": "$resp_body",
    }, "log_format_extra": {"more": "$host"}});
    let mut entry = entry(format, None).await;
    assert!(entry["@timestamp"].as_str().unwrap().contains('T'));
    entry["@timestamp"] = json!(null);
    assert_eq!(
        entry,
        json!({
            "client": "192.0.2.1", "@timestamp": null, "status": "200", "text": "<1>", "plain": "x", "number": 7,
            "in": {"deep": {"host": "a.example"}}, "list": ["1", "b"],
            "body": "request body", "answer": "response body", "route_id": "1",
        })
    );
}

#[tokio::test]
async fn the_metadata_says_what_the_configuration_does_not() {
    let metadata = json!({"log_format": {"from": "metadata"}, "max_pending_entries": 10});
    let entry1 = entry(json!({}), Some(metadata.clone())).await;
    assert_eq!(entry1, json!({"from": "metadata", "route_id": "1"}));
    let own = json!({"log_format": {"from": "configuration"}});
    assert_eq!(entry(own, Some(metadata)).await["from"], "configuration");
}

#[tokio::test]
async fn further_fields_stand_beside_the_default_ones_and_in_place_of_equal_names() {
    let extra =
        json!({"log_format_extra": {"node": "$upstream_unresolved_host", "client_ip": "hidden"}});
    let entry = entry(extra, None).await;
    assert_eq!(entry["node"], "node.example");
    assert_eq!(entry["client_ip"], "hidden");
    assert_eq!(entry["request"]["method"], "POST");
}

#[tokio::test]
async fn fields_of_a_body_that_passed_whole_can_be_logged() {
    let server = HttpServer::new([(200, "")]).await;
    let logger = Logger::new::<HttpLogger>(json!({
        "uri": server.url("/"), "batch_max_size": 1, "log_format": {"user": "$post_arg.user.id"},
    }));
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n";
    let mut scene = crossway_sdk::testing::Scene::new(raw).await.unwrap();
    let mut chunk = Some(bytes::Bytes::from_static(b"{\"user\":{\"id\":\"u7\"}}"));
    logger
        .plugin
        .request_body(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    logger.plugin.log(&mut scene.exchange());
    logger.finish().await;
    assert_eq!(
        server.received()[0].json(),
        json!({"user": "u7", "route_id": "no-matched"})
    );
}

#[test]
fn formats_and_expressions_that_cannot_work_are_refused() {
    let definition = Definition::of::<HttpLogger>();
    let refused = |more: Value| {
        let mut config = json!({"uri": "http://127.0.0.1/"});
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        refused(&definition, config)
    };
    let (path, message) = refused(json!({"log_format": {"a": {"b/c": "$nope"}}}));
    assert_eq!(path, "/log_format/a/b~1c");
    assert!(message.contains("unknown variable `nope`"), "{message}");
    let deep = json!({"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}});
    assert_eq!(
        refused(json!({"log_format": deep})).0,
        "/log_format/a/b/c/d/e"
    );
    let (path, _) = refused(json!({"include_req_body_expr": [["arg_a", "nope", 1]]}));
    assert_eq!(path, "/include_req_body_expr");
    let (path, _) = refused(json!({"include_resp_body_expr": []}));
    assert_eq!(path, "/include_resp_body_expr");
    assert_eq!(
        refused(json!({"max_req_body_bytes": 0})).0,
        "/max_req_body_bytes"
    );
    assert_eq!(refused(json!({"batch_max_size": 0})).0, "/batch_max_size");
    assert_eq!(refused(json!({"log_format": "x"})).0, "/log_format");
    drop(built(
        &definition,
        json!({"uri": "http://127.0.0.1/", "name": "n", "retry_delay": 0}),
    ));
}
