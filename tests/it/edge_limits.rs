//! Slow clients and too many of them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{
    Answer, Connection, Gateway, Interface, PATIENCE, Reply, Upstream, eventually,
};

const QUIET: Duration = Duration::from_millis(500);

async fn world(settings: &str) -> (Gateway, Upstream) {
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

fn text(answer: Vec<u8>) -> String {
    String::from_utf8_lossy(&answer).into_owned()
}

async fn until_stopped(gateway: &Gateway, reason: &str, least: u64) {
    let of = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} ");
    eventually(reason, PATIENCE, async || {
        let metrics = gateway.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix(&of));
        line.is_some_and(|count| count.parse::<u64>().unwrap() >= least)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_trickles_in_is_cut_off_after_its_time_with_408() {
    let (gateway, upstream) = world("limits:\n  header_timeout: 1\n").await;
    let begun = Instant::now();
    let mut slow = gateway.connect().await;
    slow.write(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    while begun.elapsed() < Duration::from_secs(10) {
        let sent = slow.write(b"X: y\r\n").await;
        let answer = text(slow.read_until_quiet(Duration::from_millis(100)).await);
        if sent.is_err() || !answer.is_empty() {
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("Server: Crossway/"), "{answer}");
            break;
        }
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    until_stopped(&gateway, "header_timeout", 1).await;
    // Who says nothing at all is not answered.
    let mut silent = gateway.connect().await;
    assert!(silent.closes_within(Duration::from_secs(5)).await);
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_closed_after_its_time() {
    let (gateway, _upstream) = world("limits:\n  keepalive_timeout: 0.5\n").await;
    let mut idle = gateway.connect().await;
    idle.send(&gateway.get("/"))
        .await
        .unwrap()
        .expect_status(200);
    assert!(idle.closes_within(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_below_the_rate_is_answered_with_408() {
    let (gateway, upstream) = world("limits:\n  body_rate: 1000\n").await;
    let begun = Instant::now();
    let mut slow = gateway.connect().await;
    slow.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbody")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while answer.is_empty() && begun.elapsed() < Duration::from_secs(30) {
        slow.write(b"x").await.ok();
        answer = slow.read_until_quiet(Duration::from_millis(500)).await;
    }
    let answer = text(answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(
        begun.elapsed() >= Duration::from_secs(9),
        "the grace: {:?}",
        begun.elapsed()
    );
    assert_eq!(upstream.hits(), 0, "it never was whole");
    until_stopped(&gateway, "body_rate", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off() {
    let (gateway, upstream) = world("limits:\n  response_rate: 1000000\n").await;
    upstream.answer(Answer::Reply(Reply::new(200, vec![b'x'; 64 << 20])));
    let mut deaf = gateway.connect().await;
    deaf.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let counted = async {
        let deadline = Instant::now() + Duration::from_secs(50);
        loop {
            let metrics = gateway.metrics().await;
            if metrics.contains("apisix_edge_stopped_total{reason=\"response_rate\"} 1\n") {
                return;
            }
            assert!(Instant::now() < deadline, "{metrics}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    counted.await;
    gateway
        .get("/")
        .within(Duration::from_secs(5))
        .send()
        .await
        .ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limits_are_closed_at_once_and_counted() {
    let (gateway, _upstream) = world("limits:\n  connections_per_client: 2\n").await;
    let mut kept = gateway.connect().await;
    kept.send(&gateway.get("/"))
        .await
        .unwrap()
        .expect_status(200);
    // Which connection is one too many is settled when it is accepted, not when it is opened.
    let mut second = gateway.connect().await;
    second.send(&gateway.get("/")).await.unwrap();
    let mut third = gateway.connect().await;
    assert!(third.closes_within(PATIENCE).await);
    until_stopped(&gateway, "connections_per_client", 1).await;
    drop(second);
    eventually("a place is free again", PATIENCE, async || {
        gateway.get("/").send().await.is_ok_and(|a| a.status == 200)
    })
    .await;

    let (gateway, _upstream) = world("limits:\n  connections: 2\n").await;
    let mut kept = gateway.connect().await;
    kept.send(&gateway.get("/"))
        .await
        .unwrap()
        .expect_status(200);
    let mut second = gateway.connect().await;
    second.send(&gateway.get("/")).await.unwrap();
    let mut third = gateway.connect().await;
    assert!(third.closes_within(PATIENCE).await);
    until_stopped(&gateway, "connections", 1).await;
    kept.send(&gateway.get("/"))
        .await
        .unwrap()
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_that_a_connection_may_have_says_so() {
    let (gateway, _upstream) = world("limits:\n  requests_per_connection: 2\n").await;
    let mut connection = gateway.connect().await;
    let first = connection.send(&gateway.get("/")).await.unwrap();
    assert_eq!(first.header("connection"), Some("keep-alive"));
    let last = connection.send(&gateway.get("/")).await.unwrap();
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    assert!(connection.closes_within(PATIENCE).await);
    until_stopped(&gateway, "requests_per_connection", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_clients_do_not_hold_up_others() {
    let (gateway, _upstream) = world("").await;
    let address = gateway.addr(Interface::Http);
    let mut slow = Vec::new();
    for _ in 0..300 {
        let mut connection = Connection::open(address).await.unwrap();
        connection
            .write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Le")
            .await
            .unwrap();
        slow.push(connection);
    }
    let answer = gateway.get("/").within(Duration::from_secs(5)).await;
    answer.expect_status(200);
    let mut first = slow.remove(0);
    first.write(b"ngth: 2\r\n\r\nok").await.unwrap();
    let answer = text(first.read_until_quiet(QUIET).await);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
