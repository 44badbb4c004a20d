//! What strangers send. Nothing ambiguous reaches an upstream, nothing hangs, nothing panics
//! (the harness fails every test whose gateway panicked).

use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, Interface, PATIENCE, Upstream, eventually};

async fn world() -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    gateway
        .put(
            "/routes/1",
            json!({ "uri": "/*", "upstream": upstream.document() }),
        )
        .await;
    upstream.clear();
    (gateway, upstream)
}

fn status(answer: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(answer);
    text.strip_prefix("HTTP/1.1 ")
        .or(text.strip_prefix("HTTP/1.0 "))?
        .get(..3)?
        .parse()
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn ambiguous_framing_is_refused_or_closed_and_never_forwarded_twice() {
    let (gateway, upstream) = world().await;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, head) in [
        ("two lengths", "Content-Length: 3\r\nContent-Length: 40"),
        ("a list of lengths", "Content-Length: 3, 40"),
        ("a signed length", "Content-Length: +3"),
        ("a hexadecimal length", "Content-Length: 0x3"),
        (
            "an overflowing length",
            "Content-Length: 18446744073709551619",
        ),
        ("an unknown coding", "Transfer-Encoding: xchunked"),
        ("chunked not last", "Transfer-Encoding: chunked, identity"),
        ("a space before the colon", "Transfer-Encoding : chunked"),
        ("a folded line", "X-A: b\r\n c: d"),
        ("an empty name", ": x"),
        ("a control character", "X-A: a\x01b"),
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\nabc{smuggled}");
        let answer = gateway.raw(&bytes).await;
        let refused = matches!(status(&answer), Some(400 | 501)) || answer.is_empty();
        assert!(refused, "{name}: {:?}", String::from_utf8_lossy(&answer));
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(
            text.matches("HTTP/1.1 ").count().max(1),
            1,
            "{name}: one answer: {text}"
        );
    }
    assert!(upstream.requests().iter().all(|r| r.target != "/smuggled"));
    assert_eq!(upstream.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_beside_chunks_never_reaches_an_upstream() {
    let (gateway, upstream) = world().await;
    gateway
        .raw(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    for received in upstream.requests() {
        assert_ne!(received.target, "/smuggled");
        let framings = usize::from(received.headers.has("content-length"))
            + usize::from(received.headers.has("transfer-encoding"));
        assert!(framings <= 1, "{received:?}");
    }
    assert_eq!(upstream.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_must_say_which_host_it_means() {
    let (gateway, upstream) = world().await;
    for (name, head) in [
        ("no host", "X-A: b"),
        ("two hosts", "Host: a\r\nHost: b"),
        ("a space", "Host: a b"),
        ("a path", "Host: a/x"),
        ("a user", "Host: u@a"),
        ("a list", "Host: a, b"),
        ("an empty host", "Host:"),
    ] {
        let answer = gateway
            .raw(format!("GET / HTTP/1.1\r\n{head}\r\n\r\n"))
            .await;
        assert_eq!(
            status(&answer),
            Some(400),
            "{name}: {:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_are_no_path_are_refused() {
    let (gateway, upstream) = world().await;
    for line in [
        "GET foo HTTP/1.1",
        "GET @evil/ HTTP/1.1",
        "GET * HTTP/1.1",
        "GET a:80 HTTP/1.1",
        "GET /%00 HTTP/1.1",
        "GET /a\\b HTTP/1.1",
        "CONNECT a:80 HTTP/1.1",
        "TRACE / HTTP/1.1",
        "GET / HTTP/3.0",
        "GET /",
        "\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03",
    ] {
        let answer = gateway.raw(format!("{line}\r\nHost: a\r\n\r\n")).await;
        let refused = status(&answer).is_none_or(|status| (400..600).contains(&status));
        assert!(refused, "{line}: {:?}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(upstream.hits(), 0, "{:?}", upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_be_large_but_not_endless() {
    let (gateway, upstream) = world().await;
    gateway
        .get("/")
        .header("X-Large", "x".repeat(4000))
        .await
        .expect_status(200);
    let uri = format!("/{}", "x".repeat(300_000));
    let answer = gateway
        .raw(format!("GET {uri} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .await;
    assert!(
        matches!(status(&answer), None | Some(400 | 414)),
        "{:?}",
        status(&answer)
    );
    let many = "X-A: b\r\n".repeat(20_000);
    let answer = gateway
        .raw(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"))
        .await;
    assert!(
        matches!(status(&answer), None | Some(400 | 431)),
        "{:?}",
        status(&answer)
    );
    assert_eq!(upstream.hits(), 1);
    gateway.get("/").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_meant_for_one_connection_stay_on_it() {
    let (gateway, upstream) = world().await;
    gateway
        .get("/")
        .header("Connection", "X-Private")
        .header("X-Private", "1")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "gzip")
        .header("Upgrade", "h2c")
        .await
        .expect_status(200);
    let received = upstream.last_request();
    for name in [
        "x-private",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ] {
        assert!(
            !received.headers.has(name),
            "{name} was forwarded: {received:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_an_unread_body_does_not_spoil_the_connection() {
    let (gateway, upstream) = world().await;
    let refuse = json!({ "uri": "/refused", "plugins": { "mocking": {
        "response_example": "no", "response_status": 403, "content_type": "text/plain" } } });
    gateway.put("/routes/2", refuse).await;
    let body = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut connection = gateway.connect().await;
    let first = connection
        .send(&gateway.request("POST", "/refused").body(body))
        .await
        .unwrap();
    assert_eq!(first.status, 403);
    // Either the connection is closed, or its next answer belongs to the next request.
    if let Ok(second) = connection.send(&gateway.get("/next")).await {
        assert_eq!(second.json()["target"], "/next");
    }
    assert!(upstream.requests().iter().all(|r| r.target != "/smuggled"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_finishes_does_not_disturb_others() {
    let (gateway, _upstream) = world().await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut connection = gateway.connect().await;
        connection
            .write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ")
            .await
            .unwrap();
        slow.push(connection);
    }
    for _ in 0..10 {
        gateway
            .get("/")
            .within(Duration::from_secs(5))
            .await
            .expect_status(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_port_is_survived() {
    let gateway = Gateway::start().await;
    for interface in [
        Interface::Http,
        Interface::Admin,
        Interface::Control,
        Interface::Metrics,
    ] {
        for bytes in [
            &b"\x00\x01\x02\x03\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nXX",
            b"\r\n",
        ] {
            gateway.raw_to(interface, bytes).await;
        }
    }
    gateway.get("/").await.expect_status(404);
    gateway.control("/status").await.expect_status(200);
    gateway.admin().get("/routes").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_survives_hostile_documents() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let regex = format!("\"{}\"", "(a+)+".repeat(2000));
    for (name, body) in [
        (
            "deeply nested",
            format!("{{\"uri\": \"/a\", \"vars\": {deep}}}"),
        ),
        (
            "duplicate keys",
            "{\"uri\": \"/a\", \"uri\": \"/b\", \"plugins\": {}}".to_owned(),
        ),
        (
            "a huge number",
            "{\"uri\": \"/a\", \"priority\": 1e999, \"plugins\": {}}".to_owned(),
        ),
        (
            "a number out of range",
            "{\"uri\": \"/a\", \"priority\": 99999999999999999999, \"plugins\": {}}".to_owned(),
        ),
        (
            "a lone surrogate",
            "{\"uri\": \"/\\ud800\", \"plugins\": {}}".to_owned(),
        ),
        (
            "a NUL",
            "{\"uri\": \"/\\u0000\", \"plugins\": {}}".to_owned(),
        ),
        (
            "a monstrous regex",
            format!(
                "{{\"uri\": \"/a\", \"plugins\": {{}}, \"vars\": [[\"uri\", \"~~\", {regex}]]}}"
            ),
        ),
    ] {
        let answer = admin.request("PUT", "/routes/1").body(body).await;
        assert!(
            answer.status < 500,
            "{name}: {} {}",
            answer.status,
            answer.text()
        );
    }
    for target in [
        "/routes/%2e%2e%2fx",
        "/routes/../../x",
        "/routes?page_size=%ff",
        "/%00",
        "//routes",
    ] {
        let answer = admin.get(target).await;
        assert!(answer.status < 500, "{target}: {}", answer.status);
    }
    eventually("the admin API still answers", PATIENCE, async || {
        admin.get("/routes").await.status == 200
    })
    .await;
}
