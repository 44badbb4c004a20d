//! What clients get to see of what upstreams answer, and of the way between the two.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Gateway, Upstream};

async fn world() -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

async fn raw(gateway: &Gateway, request: &str) -> String {
    let answer = gateway.raw(request.replace('\n', "\r\n")).await;
    String::from_utf8_lossy(&answer).to_lowercase()
}

fn answering(upstream: &Upstream, answer: &str) {
    upstream.answer(Answer::Raw(answer.replace('\n', "\r\n").into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_about_the_upstreams_connection_stay_there() {
    let (gateway, upstream) = world().await;
    answering(
        &upstream,
        "HTTP/1.1 200 OK\nConnection: X-Hop, keep-alive\nX-Hop: 1\nKeep-Alive: timeout=77\nProxy-Connection: keep-alive\n\
         Upgrade: h2c\nX-End: kept\nContent-Length: 2\n\nok",
    );
    let answer = gateway.get("/").await.expect_status(200);
    for name in ["x-hop", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!answer.headers.has(name), "{name}: {:?}", answer.headers);
    }
    assert_eq!(answer.header("x-end"), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_of_protocols_that_nobody_asked_for_is_a_bad_gateway() {
    let (gateway, upstream) = world().await;
    let route = json!({ "uri": "/ws", "enable_websocket": true, "upstream": upstream.document() });
    gateway.put("/routes/ws", route).await;
    answering(
        &upstream,
        "HTTP/1.1 101 Switching Protocols\nConnection: Upgrade\nUpgrade: websocket\n\n",
    );
    for path in ["/", "/ws"] {
        let answer = raw(&gateway, &format!("GET {path} HTTP/1.1\nHost: a\n\n")).await;
        assert!(answer.starts_with("http/1.1 502"), "{path}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_gets_a_plain_answer_up_to_the_end_of_the_connection() {
    let (gateway, upstream) = world().await;
    for answer in [
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
        "HTTP/1.1 200 OK\n\nhello",
        "HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        "HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    ] {
        answering(&upstream, answer);
        for more in ["", "Connection: keep-alive\n"] {
            let got = raw(&gateway, &format!("GET / HTTP/1.0\nHost: a\n{more}\n")).await;
            assert_eq!(got.matches("http/1.").count(), 1, "{answer}: {got}");
            assert!(!got.contains("transfer-encoding"), "{answer}: {got}");
            assert!(got.ends_with("\r\n\r\nhello"), "{answer}: {got}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_does_not_promise_a_connection_that_it_closes() {
    let (gateway, upstream) = world().await;
    upstream.answer(Answer::Close);
    let mut connection = gateway.connect().await;
    let failed = connection
        .send(&gateway.get("/"))
        .await
        .unwrap()
        .expect_status(502);
    if failed.header("connection") != Some("close") {
        upstream.answer(Answer::text("ok"));
        let next = connection
            .send(&gateway.get("/"))
            .await
            .expect("the connection goes on");
        assert_eq!(next.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let (gateway, upstream) = world().await;
    let reading = json!({
        "uri": "/reads", "vars": [["post_arg_x", "==", "1"]], "upstream": upstream.document(),
    });
    gateway.put("/routes/reads", reading).await;
    for path in ["/", "/reads"] {
        upstream.clear();
        let mut connection = gateway.connect().await;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n\r\n"
        );
        connection.write(head.as_bytes()).await.unwrap();
        let interim = connection
            .read_until_quiet(Duration::from_millis(500))
            .await;
        let interim = String::from_utf8_lossy(&interim).into_owned();
        assert!(interim.starts_with("HTTP/1.1 100 "), "{path}: {interim:?}");
        connection.write(b"x=1").await.unwrap();
        let answer = connection.read_response("POST").await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(upstream.last_request().body, b"x=1", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_x_forwarded_for_is_continued() {
    let settings = "trusted_addresses: [127.0.0.1]\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let upstream = Upstream::start().await;
    let route = json!({ "uri": "/*", "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    // Load balancers such as HAProxy add a line of their own beside that of the client, which may be a lie.
    let request = gateway.get("/").header("X-Forwarded-For", "6.6.6.6");
    let answer = request.header("X-Forwarded-For", "192.0.2.7").await;
    let forwarded = answer.echoed_headers("x-forwarded-for");
    assert_eq!(forwarded, ["6.6.6.6, 192.0.2.7, 127.0.0.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_content_has_no_length() {
    let (gateway, upstream) = world().await;
    answering(
        &upstream,
        "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello",
    );
    let answer = raw(&gateway, "GET / HTTP/1.1\nHost: a\n\n").await;
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(!answer.contains("content-length"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_pieces_arrives_piece_by_piece() {
    let (gateway, upstream) = world().await;
    answering(
        &upstream,
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n",
    );
    // The upstream breaks off in the middle: what it had sent is there, and the end is not made up.
    let answer = raw(&gateway, "GET / HTTP/1.1\nHost: a\n\n").await;
    assert!(answer.ends_with("5\r\nhello\r\n"), "{answer}");
}
