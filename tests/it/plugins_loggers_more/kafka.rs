//! `kafka-logger`, and `error-log-logger` with Kafka, before a mock cluster of librdkafka: the real protocol.

use std::io::{BufRead, BufReader, Lines};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Peer, world};
use crate::support::{Gateway, PATIENCE, eventually};

/// Prints the address of the cluster, then each message of the topic: its key and, as JSON, its text.
const CLUSTER: &str = r#"
import json
from confluent_kafka import Consumer, Producer
p = Producer({"bootstrap.servers": "localhost:1", "test.mock.num.brokers": "2", "log_level": 0})
p.produce("logs", b"first"); p.flush(10)
address = [str(b).split("/")[0] for b in p.list_topics(timeout=10).brokers.values()][0]
print(address, flush=True)
c = Consumer({"bootstrap.servers": address, "group.id": "g", "auto.offset.reset": "earliest"})
c.subscribe(["logs"])
while True:
    m = c.poll(0.2)
    if m is not None and not m.error():
        print((m.key() or b"").decode() + " " + json.dumps(m.value().decode()), flush=True)
"#;

struct Cluster {
    _process: Peer,
    host: String,
    port: u16,
    messages: Receiver<(String, String)>,
}

impl Cluster {
    /// `None`, with a line that says so, where the library is not installed.
    #[allow(clippy::print_stdout, reason = "a skipped test says so")]
    async fn start() -> Option<Self> {
        let has = |python: &&str| {
            let asked = Command::new(python)
                .args(["-c", "import confluent_kafka"])
                .stderr(Stdio::null())
                .status();
            asked.is_ok_and(|status| status.success())
        };
        let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
            println!(
                "skipped: python3 has no confluent_kafka (Debian package python3-confluent-kafka)"
            );
            return None;
        };
        let process = Command::new(python)
            .args(["-c", CLUSTER])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut process = Peer(process.unwrap());
        let mut lines = BufReader::new(process.0.stdout.take().unwrap()).lines();
        let begun = tokio::task::spawn_blocking(move || (lines.next(), lines));
        let (address, lines) = tokio::time::timeout(PATIENCE, begun)
            .await
            .expect("a cluster in time")
            .unwrap();
        let address = address.expect("a cluster").unwrap();
        let (host, port) = address.rsplit_once(':').unwrap();
        Some(Self {
            host: host.to_owned(),
            port: port.parse().unwrap(),
            messages: read(lines),
            _process: process,
        })
    }

    fn brokers(&self) -> Value {
        json!([{"host": self.host, "port": self.port}])
    }

    /// Messages up to one that fits; those before it are passed over.
    async fn find(&self, what: &str, fits: impl Fn(&str, &str) -> bool) -> (String, String) {
        let mut found = None;
        eventually(what, PATIENCE * 2, async || {
            let mut come = self.messages.try_iter();
            found = come.find(|(key, text)| fits(key, text));
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

fn read(lines: Lines<BufReader<ChildStdout>>) -> Receiver<(String, String)> {
    let (to, messages) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let (key, text) = line.split_once(' ').unwrap();
            let message = (key.to_owned(), serde_json::from_str(text).unwrap());
            if to.send(message).is_err() {
                return;
            }
        }
    });
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_takes_the_messages_of_kafka_logger() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let logger = |more: Value| {
        let mut logger = json!({
            "brokers": cluster.brokers(), "kafka_topic": "logs", "batch_max_size": 1, "timeout": 10,
            "log_format": {"uri": "$uri"},
        });
        let all = logger.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        json!({ "kafka-logger": logger })
    };
    let (gateway, upstream) = world("echo", json!({"body": "ok"})).await;
    let with = async |plugins: Value, requests: usize| {
        let route = json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
        gateway.put("/routes/1", route).await;
        for _ in 0..requests {
            gateway.get("/a").host("a.example").await.expect_status(200);
        }
    };
    let entry = "{\"uri\":\"/a\",\"route_id\":\"1\"}";
    // 1 waits for all replicas as -1 does: the newer producers of Kafka itself do so as well.
    for (key, acks) in [("one", 1), ("all", -1)] {
        with(logger(json!({"key": key, "required_acks": acks})), 1).await;
        let (_, text) = cluster.find(key, |found, _| found == key).await;
        assert_eq!(text, entry);
    }
    // Without a key partitions take turns; a batch is one message.
    with(logger(json!({"batch_max_size": 2})), 2).await;
    let batch = format!("[{entry},{entry}]");
    cluster
        .find("a batch", |key, text| key.is_empty() && text == batch)
        .await;
    with(logger(json!({"meta_format": "origin", "key": "head"})), 1).await;
    let (_, head) = cluster.find("a head", |key, _| key == "head").await;
    assert!(head.starts_with("GET /a HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: a.example\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_not_there_costs_entries_and_is_said() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let logger = json!({
        "brokers": cluster.brokers(), "kafka_topic": "absent", "batch_max_size": 1, "timeout": 10, "name": "absent",
    });
    let (gateway, _upstream) = world("kafka-logger", logger).await;
    gateway.get("/a").await.expect_status(200);
    let failed = "name=\"absent\",reason=\"failed\",route_id=\"1\"";
    eventually("it is counted", PATIENCE, async || {
        let page = gateway.metrics().await;
        page.lines()
            .any(|line| line.contains(failed) && line.ends_with(" 1"))
    })
    .await;
    assert!(gateway.log().contains("the cluster has no topic absent"));
}

#[tokio::test(flavor = "multi_thread")]
async fn error_log_logger_sends_lines_to_a_topic() {
    let Some(cluster) = Cluster::start().await else {
        return;
    };
    let gateway = Gateway::start().await;
    let metadata = json!({
        "kafka": {"brokers": cluster.brokers(), "kafka_topic": "logs", "key": "own"}, "batch_max_size": 1, "timeout": 10,
    });
    gateway
        .put("/plugin_metadata/error-log-logger", metadata)
        .await;
    let mut found = None;
    eventually("a line comes", PATIENCE * 2, async || {
        let filtered = gateway.admin().get("/routes?filter=a%3Db").await;
        filtered.expect_status(200);
        tokio::time::sleep(Duration::from_millis(50)).await;
        found = cluster.messages.try_iter().find(|(key, _)| key == "own");
        found.is_some()
    })
    .await;
    let (_, text) = found.unwrap();
    let parts: Value = serde_json::from_str(&text).unwrap();
    assert!(parts[0].as_str().unwrap().contains(" [warn] "), "{text}");
    assert_eq!(parts[1], "\n");
}
