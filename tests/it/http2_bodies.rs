//! Bodies over HTTP/2: they pass, and slow ones are held to the bounds of HTTP/1.1.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::h2_frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, frame, get, request,
};
use crate::support::{Answer, Gateway, Interface, PATIENCE, Upstream, eventually};

async fn world(limits: &str) -> (Gateway, Upstream) {
    let settings = format!("listen:\n  h2c: true\n{limits}");
    let gateway = Gateway::builder().with_settings(&settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

async fn until_stopped(gateway: &Gateway, reason: &str) {
    let of = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} 1\n");
    eventually(reason, PATIENCE, async || {
        gateway.metrics().await.contains(&of)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_passes_whatever_its_pieces_are() {
    let (gateway, upstream) = world("").await;
    upstream.script(|received| Answer::text(received.body.len().to_string()));
    let mut client = Frames::open(gateway.addr(Interface::Http)).await;
    for (pieces, piece) in [(1, 0), (1, 1), (50, 1), (4, 16_000)] {
        let stream = client.stream();
        let head = request("POST", "/", &[]);
        let mut bytes = frame(HEADERS, END_HEADERS, stream, &head);
        for i in 1..=pieces {
            let flags = if i == pieces { END_STREAM } else { 0 };
            bytes.extend(frame(DATA, flags, stream, &vec![b'x'; piece]));
        }
        client.send(&bytes).await.unwrap();
        let head = client.on(stream, PATIENCE).await.expect("an answer");
        assert_eq!(head.kind, HEADERS);
        let body = client.on(stream, PATIENCE).await.expect("its body");
        let length = String::from_utf8(body.payload).unwrap();
        assert_eq!(length, (pieces * piece).to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_below_the_rate_is_answered_with_408_and_its_connection_stays() {
    let (gateway, upstream) = world("limits:\n  body_rate: 1000\n").await;
    let mut client = Frames::open(gateway.addr(Interface::Http)).await;
    let head = request("POST", "/slow", &[]);
    client
        .send(&frame(HEADERS, END_HEADERS, 1, &head))
        .await
        .unwrap();
    let begun = Instant::now();
    let answer = loop {
        if client.send(&frame(DATA, 0, 1, b"x")).await.is_err() {
            panic!("the connection has ended");
        }
        if let Some(answer) = client.on(1, Duration::from_millis(500)).await {
            break answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    };
    assert_eq!((answer.kind, answer.status()), (HEADERS, 408));
    assert!(begun.elapsed() >= Duration::from_secs(9), "the grace");
    until_stopped(&gateway, "body_rate").await;
    client.send(&get(3, "/after")).await.unwrap();
    let after = client.on(3, PATIENCE).await.expect("an answer");
    assert_eq!((after.kind, after.status()), (HEADERS, 200));
    let targets: Vec<_> = upstream.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/after"], "the slow one never was whole");
    eventually("it is logged", PATIENCE, async || {
        let log = gateway.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("POST /slow") && line.contains("\" 408 "))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_beyond_the_limit_is_answered_with_413() {
    let (gateway, upstream) = world("limits:\n  body_bytes: 1000\n").await;
    let mut client = Frames::open(gateway.addr(Interface::Http)).await;
    let head = request("POST", "/", &[]);
    let bytes = [
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(DATA, END_STREAM, 1, &[b'x'; 2000]),
    ];
    client.send(&bytes.concat()).await.unwrap();
    let answer = client.on(1, PATIENCE).await.expect("an answer");
    assert_eq!((answer.kind, answer.status()), (HEADERS, 413));
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_the_body_is_delivered() {
    let (gateway, _upstream) = world("").await;
    let plugins = json!({ "uri": "/closed", "plugins": {
        "mocking": { "response_status": 201, "response_example": "early" } } });
    gateway.put("/routes/2", plugins).await;
    let mut client = Frames::open(gateway.addr(Interface::Http)).await;
    let head = request("POST", "/closed", &[("content-length", b"100000")]);
    let bytes = [
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(DATA, 0, 1, b"some"),
    ];
    client.send(&bytes.concat()).await.unwrap();
    let answer = client.on(1, PATIENCE).await.expect("an answer");
    assert_eq!((answer.kind, answer.status()), (HEADERS, 201));
    let reset = client.find(RST_STREAM, PATIENCE).await.expect("a reset");
    // NO_ERROR: the rest of the body is not wanted (RFC 9113 §8.1).
    assert_eq!((reset.stream, reset.code()), (1, 0));
}
