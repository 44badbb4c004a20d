use super::ClickhouseLogger;
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::definition::Definition;
use serde_json::json;

#[tokio::test]
async fn entries_are_rows() {
    let server = HttpServer::new([(200, "")]).await;
    let logger = Logger::new::<ClickhouseLogger>(json!({
        "endpoint_addrs": [server.url("/")], "user": "u", "password": "p", "database": "d", "logtable": "t",
        "log_format": {"a": "b"},
    }));
    logger.log(&mut finished().await);
    logger.log(&mut finished().await);
    logger.finish().await;
    let received = &server.received()[0];
    let entry = "{\"a\":\"b\",\"route_id\":\"1\"}";
    assert_eq!(
        received.body,
        format!("INSERT INTO t FORMAT JSONEachRow {entry} {entry}")
    );
    assert_eq!(received.header("x-clickhouse-user"), Some("u"));
    assert_eq!(received.header("x-clickhouse-key"), Some("p"));
    assert_eq!(received.header("x-clickhouse-database"), Some("d"));
}

#[tokio::test]
async fn a_refused_insert_is_a_failure() {
    let server = HttpServer::new([(404, "no such table")]).await;
    let logger = Logger::new::<ClickhouseLogger>(json!({
        "endpoint_addr": server.url("/"), "user": "u", "password": "p", "database": "d", "logtable": "t",
    }));
    logger.log(&mut finished().await);
    logger.finish().await;
    assert_eq!(logger.failed(), 1);
}

#[test]
fn all_of_the_place_has_to_be_named() {
    let definition = Definition::of::<ClickhouseLogger>();
    let config =
        json!({"endpoint_addr": "http://a", "user": "u", "password": "p", "database": "d"});
    assert_eq!(
        refused(&definition, config).1,
        "property \"logtable\" is required"
    );
    let config = json!({"user": "u", "password": "p", "database": "d", "logtable": "t"});
    assert!(refused(&definition, config).1.contains("endpoint_addrs"));
    let config = json!({
        "endpoint_addr": "http://a", "user": "u", "password": "hidden\n", "database": "d", "logtable": "t",
    });
    let (path, message) = refused(&definition, config);
    assert_eq!(path, "/password");
    assert!(!message.contains("hidden"), "{message}");
}
