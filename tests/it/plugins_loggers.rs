//! What requests leave behind: loggers, their queue, and servers that are slow, absent or gone.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Answer, Gateway, PATIENCE, Port, Upstream, eventually, eventually_matches, wait_until,
};

/// A route `/a` with these plugins.
async fn route(gateway: &Gateway, upstream: &Upstream, plugins: Value) {
    let route = json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
}

/// All entries that a server of `http-logger` was sent.
fn entries(server: &Upstream) -> Vec<Value> {
    let batches = server.requests();
    let batches = batches
        .iter()
        .map(|r| serde_json::from_slice(&r.body).unwrap());
    batches
        .flat_map(|batch: Value| match batch {
            Value::Array(entries) => entries,
            entry => vec![entry],
        })
        .collect()
}

/// The sum of the series whose line begins with `name` and has `label`.
async fn metric(gateway: &Gateway, name: &str, label: &str) -> Option<f64> {
    let page = gateway.metrics().await;
    let lines = page
        .lines()
        .filter(|l| l.starts_with(name) && l.contains(label));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap())
        .reduce(|a, b| a + b)
}

const PENDING: &str = "apisix_batch_process_entries{";
const DROPPED: &str = "apisix_batch_dropped_entries_total{";

#[tokio::test(flavor = "multi_thread")]
async fn http_logger_sends_the_documented_fields_and_bodies_of_any_size() {
    let (gateway, server) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("answer").await;
    let logger = json!({
        "uri": format!("http://{}/logs", server.addr()), "batch_max_size": 1,
        "include_req_body": true, "include_resp_body": true, "max_req_body_bytes": 150_000,
    });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    let body = "x".repeat(200_000);
    let answer = gateway
        .request("POST", "/a?b=c&b=d")
        .host("a.example")
        .body(body)
        .await;
    answer.expect_status(200);
    wait_until("the entry came", PATIENCE, || server.hits() == 1).await;
    assert_eq!(server.requests()[0].target, "/logs");
    let entry = &entries(&server)[0];
    let port = gateway.addr(crate::support::Interface::Http).port();
    assert_eq!(
        entry["request"]["url"],
        format!("http://a.example:{port}/a?b=c&b=d")
    );
    assert_eq!(entry["request"]["uri"], "/a?b=c&b=d");
    assert_eq!(entry["request"]["method"], "POST");
    assert_eq!(entry["request"]["querystring"], json!({"b": ["c", "d"]}));
    assert_eq!(entry["request"]["headers"]["host"], "a.example");
    assert_eq!(entry["request"]["body"].as_str().unwrap().len(), 150_000);
    assert!(entry["request"]["size"].as_u64().unwrap() > 200_000);
    assert_eq!(entry["response"]["status"], 200);
    assert_eq!(entry["response"]["headers"]["content-length"], "6");
    assert_eq!(entry["response"]["body"], "answer");
    assert!(entry["response"]["size"].as_u64().unwrap() > 6);
    assert_eq!(entry["upstream"], upstream.addr().to_string());
    assert_eq!(
        (&entry["route_id"], &entry["service_id"]),
        (&json!("1"), &json!(""))
    );
    assert_eq!(entry["client_ip"], "127.0.0.1");
    assert!(entry["server"]["hostname"].is_string());
    for name in [
        "start_time",
        "latency",
        "upstream_latency",
        "apisix_latency",
    ] {
        assert!(entry[name].as_f64().unwrap() >= 0.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_logger_sees_what_no_route_took_and_what_plugins_answered() {
    let (gateway, server) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("ok").await;
    route(&gateway, &upstream, json!({ "key-auth": {} })).await;
    let logger = json!({
        "uri": format!("http://{}/", server.addr()), "batch_max_size": 1,
        "log_format": {"uri": "$uri", "status": "$status"},
    });
    let rule = json!({ "plugins": { "http-logger": logger } });
    gateway.put("/global_rules/g", rule).await;
    gateway.get("/a").await.expect_status(401);
    gateway.get("/none").await.expect_status(404);
    let has = |entry: Value| entries(&server).contains(&entry);
    wait_until("both came", PATIENCE, || {
        has(json!({"uri": "/a", "status": "401", "route_id": "1"}))
            && has(json!({"uri": "/none", "status": "404", "route_id": "no-matched"}))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_costs_requests_nothing_and_its_entries_are_counted() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let nobody = Port::reserve();
    let logger = json!({
        "uri": format!("http://{}/", nobody.addr()), "batch_max_size": 1, "name": "away",
        "max_retry_count": 1, "retry_delay": 0,
    });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    for _ in 0..5 {
        gateway.get("/a").await.expect_status(200);
    }
    let failed = "name=\"away\",reason=\"failed\",route_id=\"1\"";
    eventually("all are counted", PATIENCE, async || {
        metric(&gateway, DROPPED, failed).await == Some(5.0)
            && metric(&gateway, PENDING, "name=\"away\"").await == Some(0.0)
    })
    .await;
    assert!(gateway.log().contains("refused"), "the log says why");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_is_asked_again() {
    let (gateway, server) = (Gateway::start().await, Upstream::start().await);
    let upstream = Upstream::answering("ok").await;
    server.answer(Answer::status(500));
    let logger = json!({
        "uri": format!("http://{}/", server.addr()), "batch_max_size": 1,
        "max_retry_count": 1000, "retry_delay": 0, "name": "again",
    });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    gateway.get("/a").await.expect_status(200);
    wait_until("it was tried twice", PATIENCE, || server.hits() > 1).await;
    server.answer(Answer::text(""));
    eventually("it was taken", PATIENCE, async || {
        metric(&gateway, PENDING, "name=\"again\"").await == Some(0.0)
    })
    .await;
    assert_eq!(metric(&gateway, DROPPED, "name=\"again\"").await, Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_process_sends_what_waits() {
    let (mut gateway, server) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("ok").await;
    let logger = json!({
        "uri": format!("http://{}/", server.addr()), "inactive_timeout": 3600, "buffer_duration": 3600,
    });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    for _ in 0..3 {
        gateway.get("/a").await.expect_status(200);
    }
    assert_eq!(server.hits(), 0);
    let stopped = gateway.terminate(PATIENCE).await;
    assert!(stopped.status.success(), "{stopped:?}");
    assert_eq!(entries(&server).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_keep_the_process_from_ending() {
    let (mut gateway, server) = (Gateway::start().await, Upstream::start().await);
    let upstream = Upstream::answering("ok").await;
    server.answer(Answer::Hang);
    let logger = json!({ "uri": format!("http://{}/", server.addr()), "timeout": 3600 });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    gateway.get("/a").await.expect_status(200);
    let stopped = gateway.terminate(PATIENCE).await;
    assert!(
        stopped.status.success() && stopped.took < Duration::from_secs(15),
        "{stopped:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_leaves_memory_bounded() {
    let (gateway, server) = (Gateway::start().await, Upstream::start().await);
    let upstream = Upstream::answering("ok").await;
    server.answer(Answer::Hang);
    let metadata = json!({ "max_pending_entries": 20 });
    gateway
        .admin()
        .put("/plugin_metadata/http-logger", &metadata)
        .await;
    let logger = json!({
        "uri": format!("http://{}/", server.addr()), "timeout": 3600, "batch_max_size": 1, "name": "full",
    });
    route(&gateway, &upstream, json!({ "http-logger": logger })).await;
    for _ in 0..50 {
        gateway.get("/a").await.expect_status(200);
    }
    let full = eventually_matches(
        "the rest is dropped",
        PATIENCE,
        async || metric(&gateway, DROPPED, "name=\"full\",reason=\"full\"").await,
        |dropped| *dropped == Some(30.0),
    );
    full.await;
    assert_eq!(metric(&gateway, PENDING, "name=\"full\"").await, Some(20.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_survives_edits_elsewhere_and_is_sent_when_its_own_configuration_changes() {
    let (gateway, server) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("ok").await;
    let logger = |name: &str| {
        json!({ "http-logger": {
            "uri": format!("http://{}/", server.addr()), "inactive_timeout": 3600, "buffer_duration": 3600,
            "name": name,
        } })
    };
    route(&gateway, &upstream, logger("old")).await;
    gateway.get("/a").await.expect_status(200);
    let other = json!({ "uri": "/b", "upstream": upstream.document() });
    gateway.put("/routes/2", other).await;
    assert_eq!(metric(&gateway, PENDING, "name=\"old\"").await, Some(1.0));
    assert_eq!(server.hits(), 0);
    route(&gateway, &upstream, logger("new")).await;
    wait_until("the old queue was sent", PATIENCE, || server.hits() == 1).await;
    assert_eq!(entries(&server).len(), 1);
    eventually("its metrics are gone", PATIENCE, async || {
        metric(&gateway, PENDING, "name=\"old\"").await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn file_logger_writes_lines_and_follows_a_file_that_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (file, moved) = (folder.path().join("a.log"), folder.path().join("b.log"));
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    let logger = json!({ "path": file, "log_format": {"uri": "$request_uri"} });
    route(&gateway, &upstream, json!({ "file-logger": logger })).await;
    let line = |n: u32| format!("{{\"uri\":\"/a?n={n}\",\"route_id\":\"1\"}}\n");
    let reads = |text: String| std::fs::read_to_string(&file).is_ok_and(|read| read == text);
    gateway.get("/a?n=1").await.expect_status(200);
    wait_until("the line is there", PATIENCE, || reads(line(1))).await;
    std::fs::rename(&file, &moved).unwrap();
    gateway.signal(Signal::USR1);
    gateway.get("/a?n=2").await.expect_status(200);
    wait_until("a new file is there", PATIENCE, || reads(line(2))).await;
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), line(1));
}

/// A process that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_understands_the_messages_of_syslog() {
    let runs = |program: &&str| {
        let asked = Command::new(program)
            .arg("-v")
            .stdout(Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    let Some(program) = ["rsyslogd", "/usr/sbin/rsyslogd"].into_iter().find(runs) else {
        println!("skipped: rsyslogd is not installed (Debian package rsyslog)");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (tcp, udp) = (Port::reserve(), Port::reserve());
    let (config, out) = (
        folder.path().join("rsyslog.conf"),
        folder.path().join("out"),
    );
    let written = format!(
        "global(workDirectory=\"{}\")\nmodule(load=\"imtcp\")\nmodule(load=\"imudp\")\n\
         input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{}\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{}\")\n\
         template(name=\"parsed\" type=\"string\" string=\"%syslogfacility-text%.%syslogseverity-text% %hostname% %app-name% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{}\" template=\"parsed\")\n",
        folder.path().display(),
        tcp.addr().port(),
        udp.addr().port(),
        out.display(),
    );
    std::fs::write(&config, written).unwrap();
    let pid = folder.path().join("pid");
    let rsyslogd = Command::new(program)
        .args(["-n", "-f"])
        .arg(&config)
        .arg("-i")
        .arg(&pid)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _rsyslogd = Peer(rsyslogd.unwrap());
    eventually("rsyslogd listens", PATIENCE, async || {
        tokio::net::TcpStream::connect(tcp.addr()).await.is_ok()
    })
    .await;
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    for (kind, port) in [("tcp", &tcp), ("udp", &udp)] {
        let logger = json!({
            "host": "127.0.0.1", "port": port.addr().port(), "sock_type": kind, "batch_max_size": 1,
            "log_format": {"by": kind},
        });
        route(&gateway, &upstream, json!({ "syslog": logger })).await;
        gateway.get("/a").host("a.example").await.expect_status(200);
        let line = format!("syslog.info a.example apisix {{\"by\":\"{kind}\",\"route_id\":\"1\"}}");
        wait_until("rsyslogd wrote the message", PATIENCE, || {
            let text = std::fs::read_to_string(&out).unwrap_or_default();
            text.lines()
                .any(|l| l.split_whitespace().eq(line.split_whitespace()))
        })
        .await;
    }
}
