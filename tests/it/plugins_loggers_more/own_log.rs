//! `error-log-logger`: the gateway's own log, to a server.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::Connections;
use crate::support::{Gateway, PATIENCE, Port, Upstream, eventually, wait_until};

const PLACE: &str = "/plugin_metadata/error-log-logger";

/// Has the gateway log a warning that names this.
async fn warn(gateway: &Gateway, name: &str) {
    let path = format!("/routes?filter={name}%3Dx");
    gateway.admin().get(&path).await.expect_status(200);
}

/// Has the gateway log an error.
fn fail(gateway: &Gateway) {
    let settings = gateway.folder().join("crossway.yaml");
    std::fs::write(settings, "nonsense: true\n").unwrap();
    gateway.signal(Signal::HUP);
}

/// Lines up to one with this in it.
async fn lines_until(server: &mut Connections, text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let (_, line) = server.next().await;
        let last = line.contains(text);
        lines.push(line);
        if last {
            return lines;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_errors_go_to_a_tcp_server_as_the_metadata_says() {
    let (mut all, mut errors) = (Connections::start().await, Connections::start().await);
    let gateway = Gateway::start().await;
    warn(&gateway, "before").await;
    let to = |server: &Connections, level: &str| {
        json!({
            "tcp": {"host": "127.0.0.1", "port": server.port}, "level": level, "batch_max_size": 1,
        })
    };
    gateway.put(PLACE, to(&all, "WARN")).await;
    // Reading along begins a moment after the document is served.
    eventually("a line comes", PATIENCE, async || {
        warn(&gateway, "first").await;
        !all.pieces.is_empty()
    })
    .await;
    warn(&gateway, "second").await;
    let lines = lines_until(&mut all, "second").await;
    assert!(
        !lines.iter().any(|line| line.contains("before")),
        "{lines:?}"
    );
    let line = lines.last().unwrap();
    // As nginx begins a line.
    assert!(
        line.starts_with("20") && line.contains(" [warn] "),
        "{line}"
    );
    assert!(line.contains("#0: crossway::admin::list: "), "{line}");
    gateway.put(PLACE, to(&errors, "ERROR")).await;
    warn(&gateway, "third").await;
    eventually("an error comes", PATIENCE, async || {
        fail(&gateway);
        !errors.pieces.is_empty()
    })
    .await;
    let lines = lines_until(&mut errors, "the settings were read again").await;
    assert!(
        lines.iter().all(|line| line.contains(" [error] ")),
        "{lines:?}"
    );
    warn(&gateway, "fourth").await;
    gateway.remove(PLACE).await;
    while let Ok((_, line)) = all.pieces.try_recv() {
        assert!(!line.contains("fourth"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_rows_of_clickhouse_and_entries_of_skywalking() {
    let (clickhouse, skywalking) = (Upstream::answering("").await, Upstream::answering("").await);
    let gateway = Gateway::start().await;
    let metadata = json!({
        "clickhouse": {
            "endpoint_addr": format!("http://{}/", clickhouse.addr()), "user": "u", "password": "p", "database": "d",
            "logtable": "t",
        },
        "batch_max_size": 1,
    });
    gateway.put(PLACE, metadata).await;
    eventually("a row comes", PATIENCE, async || {
        warn(&gateway, "rows").await;
        clickhouse.hits() > 0
    })
    .await;
    let insert = &clickhouse.requests()[0];
    assert_eq!(insert.header("x-clickhouse-user"), Some("u"));
    assert_eq!(insert.header("x-clickhouse-key"), Some("p"));
    assert_eq!(insert.header("x-clickhouse-database"), Some("d"));
    let body = String::from_utf8(insert.body.clone()).unwrap();
    let row = body
        .strip_prefix("INSERT INTO t FORMAT JSONEachRow ")
        .unwrap();
    let row: Value = serde_json::from_str(row).unwrap();
    assert!(row["data"].as_str().unwrap().contains(" [warn] "), "{row}");
    let metadata = json!({
        "skywalking": {
            "endpoint_addr": format!("http://{}/v3/logs", skywalking.addr()), "service_instance_name": "$hostname",
        },
        "batch_max_size": 1,
    });
    gateway.put(PLACE, metadata).await;
    eventually("an entry comes", PATIENCE, async || {
        warn(&gateway, "entries").await;
        skywalking.hits() > 0
    })
    .await;
    let posted = &skywalking.requests()[0];
    assert_eq!(posted.target, "/v3/logs");
    let entries: Value = serde_json::from_slice(&posted.body).unwrap();
    let entry = &entries[0];
    assert_eq!(entry["service"], "APISIX");
    assert_ne!(entry["serviceInstance"], "$hostname");
    assert!(entry["body"]["text"]["text"].is_string(), "{entry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_said_in_the_log_and_makes_no_more_lines_of_itself() {
    let gateway = Gateway::start().await;
    let nobody = Port::reserve();
    let metadata = json!({
        "tcp": {"host": "127.0.0.1", "port": nobody.addr().port()}, "batch_max_size": 1, "retry_delay": 0, "name": "own",
    });
    gateway.put(PLACE, metadata).await;
    let dropped = async || {
        let page = gateway.metrics().await;
        let line = page.lines().find(|line| {
            line.starts_with("apisix_batch_dropped_entries_total{")
                && line.contains("name=\"own\",reason=\"failed\"")
        });
        line.map_or(0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
    };
    eventually("a line is given up", PATIENCE, async || {
        warn(&gateway, "lost").await;
        dropped().await > 0
    })
    .await;
    let lines = gateway.log().matches("a list cannot be filtered").count();
    wait_until("the log says why", PATIENCE, || {
        gateway.log().contains("refused")
    })
    .await;
    // No more than the gateway had to say itself.
    assert!(dropped().await <= lines);
}
