use super::HttpLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::json;

#[tokio::test]
async fn a_batch_is_an_array_and_a_batch_of_one_is_not() {
    let server = HttpServer::new([(200, "")]).await;
    let format = json!({"host": "$host"});
    let many = Logger::new::<HttpLogger>(json!({
        "uri": server.url("/in?a=b"), "log_format": format, "auth_header": "Bearer t",
    }));
    many.log(&mut finished().await);
    many.log(&mut finished().await);
    many.finish().await;
    let one = Logger::new::<HttpLogger>(json!({
        "uri": server.url("/in"), "log_format": format, "batch_max_size": 1,
    }));
    one.log(&mut finished().await);
    one.finish().await;
    let received = server.received();
    let entry = json!({"host": "a.example", "route_id": "1"});
    assert!(
        received[0].head.starts_with("POST /in?a=b HTTP/1.1\n"),
        "{received:?}"
    );
    assert_eq!(received[0].json(), json!([entry, entry]));
    assert_eq!(received[0].header("authorization"), Some("Bearer t"));
    assert_eq!(received[0].header("content-type"), Some("application/json"));
    assert_eq!(received[1].json(), entry);
    assert_eq!(received[1].header("authorization"), None);
}

#[tokio::test]
async fn lines_are_what_some_servers_want() {
    let server = HttpServer::new([(200, "")]).await;
    let logger = Logger::new::<HttpLogger>(json!({
        "uri": server.url("/"), "log_format": {"a": "b"}, "concat_method": "new_line",
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let entry = "{\"a\":\"b\",\"route_id\":\"1\"}";
    assert_eq!(server.received()[0].body, format!("{entry}\n{entry}"));
    assert_eq!(
        server.received()[0].header("content-type"),
        Some("text/plain")
    );
}

#[tokio::test]
async fn a_refusal_is_tried_again_or_counted() {
    let server = HttpServer::new([(500, "busy"), (200, "")]).await;
    let config = |retries: u32| json!({"uri": server.url("/"), "max_retry_count": retries, "retry_delay": 0, "batch_max_size": 1});
    let logger = Logger::new::<HttpLogger>(config(1));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!((server.received().len(), logger.failed()), (2, 0));
    let absent = format!("http://127.0.0.1:{}/", free_port().await);
    let logger = Logger::new::<HttpLogger>(json!({"uri": absent}));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
}

#[test]
fn what_cannot_be_sent_to_is_refused() {
    let definition = Definition::of::<HttpLogger>();
    assert_eq!(refused(&definition, json!({"uri": "nowhere"})).0, "/uri");
    assert_eq!(
        refused(&definition, json!({})).1,
        "property \"uri\" is required"
    );
    let (path, message) = refused(
        &definition,
        json!({"uri": "http://a/", "auth_header": "secret\n"}),
    );
    assert_eq!(path, "/auth_header");
    assert!(!message.contains("secret"), "{message}");
    assert_eq!(
        refused(&definition, json!({"uri": "http://a/", "timeout": 0})).0,
        "/timeout"
    );
    let (path, _) = refused(
        &definition,
        json!({"uri": "http://a/", "concat_method": "xml"}),
    );
    assert_eq!(path, "/concat_method");
}
