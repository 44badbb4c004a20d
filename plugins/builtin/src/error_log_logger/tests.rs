use super::{ErrorLogLogger, Level, Shipper};
use crate::{logger::testing::*, testing::refused};
use crossway_sdk::{build::BuildCx, definition::Definition, testing::Bench};
use serde_json::{Value, json};
use std::time::Duration;

/// Ships two lines as the metadata says; how many of them were given up.
async fn ship(metadata: Value) -> Level {
    let definition = Definition::of::<ErrorLogLogger>();
    definition.check_metadata(&metadata).unwrap();
    let bench = Bench::default();
    let cx = BuildCx::new(
        "plugin_metadata/x",
        "error-log-logger",
        Some(&metadata),
        None,
        &bench,
    );
    let shipper = Shipper::new(&cx).unwrap().unwrap();
    shipper.push("one".into());
    shipper.push("two".into());
    assert!(
        bench
            .shared
            .finishers()
            .finish(Duration::from_secs(20))
            .await
    );
    shipper.level()
}

#[tokio::test]
async fn a_tcp_server_gets_lines() {
    let (port, mut texts) = tcp_server().await;
    let level = ship(json!({"tcp": {"host": "127.0.0.1", "port": port}, "level": "ERR"})).await;
    assert_eq!(level, Level::Err);
    assert_eq!(texts.recv().await.unwrap(), "one\ntwo\n");
}

#[tokio::test]
async fn clickhouse_gets_rows_and_skywalking_gets_logs() {
    let server = HttpServer::new([(200, "")]).await;
    let place = json!({"endpoint_addr": server.url("/"), "logtable": "t", "password": "p"});
    assert_eq!(ship(json!({"clickhouse": place})).await, Level::Warn);
    let received = &server.received()[0];
    let rows = "INSERT INTO t FORMAT JSONEachRow {\"data\":\"one\"} {\"data\":\"two\"}";
    assert_eq!(received.body, rows);
    assert_eq!(received.header("x-clickhouse-user"), Some("default"));
    ship(json!({"skywalking": {"endpoint_addr": server.url("/v3/logs")}})).await;
    let entries = server.received()[1].json();
    assert_eq!(entries[1]["body"]["text"]["text"], "two");
    assert_eq!(entries[1]["service"], "APISIX");
}

#[test]
fn one_place_is_needed_and_a_place_of_use_has_nothing_to_say() {
    let definition = Definition::of::<ErrorLogLogger>();
    let tcp = json!({"host": "a", "port": 1});
    for wrong in [
        json!({}),
        json!({"level": "WARN"}),
        json!({"tcp": tcp, "clickhouse": {}}),
        json!({"tcp": tcp, "level": "LOUD"}),
        json!({"tcp": {"host": "a"}}),
        json!({"kafka": {"brokers": [], "kafka_topic": "t"}}),
    ] {
        assert!(definition.check_metadata(&wrong).is_err(), "{wrong}");
    }
    definition
        .check_metadata(&json!({"tcp": tcp, "max_pending_entries": 5}))
        .unwrap();
    // What is said of it is up to the schema; `refused` fails when it is taken.
    drop(refused(&definition, json!({"level": "WARN"})));
    let bench = Bench::default();
    let cx = BuildCx::new("plugin_metadata/x", "error-log-logger", None, None, &bench);
    assert!(Shipper::new(&cx).unwrap().is_none());
}
