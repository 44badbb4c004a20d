//! What the edge makes of the bytes of a request before anything else sees them.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Gateway, PATIENCE, Upstream, eventually};

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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_looks_like_the_gateways_own_answers_and_is_logged_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let settings = format!("access_log:\n  path: {}\n", file.display());
    let (gateway, upstream) = world(&settings).await;
    let long = "x".repeat(9000);
    for (status, reason, bytes) in [
        (
            400,
            "Bad Request",
            "GET /four-hundred HTTP/1.1\r\nHost: a.test\r\nX(: y\r\n\r\n".to_owned(),
        ),
        (
            400,
            "Bad Request",
            "\x16\x03\x01\x02\0\x01\0\n\n".to_owned(),
        ),
        (
            405,
            "Method Not Allowed",
            "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        ),
        (
            414,
            "URI Too Long",
            format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        ),
        (
            417,
            "Expectation Failed",
            "PUT /tea HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n".to_owned(),
        ),
        (
            431,
            "Request Header Fields Too Large",
            format!(
                "GET /many HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: y\r\n".repeat(120)
            ),
        ),
        (
            431,
            "Request Header Fields Too Large",
            format!(
                "GET /large HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
                long.repeat(6)
            ),
        ),
    ] {
        let answer = text(gateway.raw(&bytes).await);
        let head: String = bytes.chars().take(40).collect();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}: {answer}"
        );
        assert!(answer.contains("\r\nServer: Crossway/"), "{head}: {answer}");
        assert!(
            answer.contains("\r\nConnection: close\r\n"),
            "{head}: {answer}"
        );
        let title = format!("<title>{status} {reason}</title>");
        assert!(answer.contains(&title), "{head}: {answer}");
    }
    assert_eq!(upstream.hits(), 0);
    eventually("the refusals are in the access log", PATIENCE, async || {
        let log = std::fs::read_to_string(&file).unwrap_or_default();
        log.contains("a.test \"GET /four-hundred HTTP/1.1\" 400 ")
            && log.contains("\"- / HTTP/1.1\" 400 ")
            && log.contains("\"CONNECT / HTTP/1.1\" 405 ")
            && log.contains("\"PUT /tea HTTP/1.1\" 417 ")
            && log.matches("\" 431 ").count() == 2
            && log.matches("\" 414 ").count() == 1
    })
    .await;
    let metrics = gateway.metrics().await;
    for (reason, count) in [("malformed_request", 4), ("oversized_request", 3)] {
        let line = format!("apisix_edge_stopped_total{{reason=\"{reason}\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_framing_smuggles_a_request() {
    let (gateway, upstream) = world("").await;
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3, 3",
        "Content-Length: 3\r\nContent-Length: 30",
        "Content-Length: 0x3",
        "Content-Length: 3\x0b",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding\r\n: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\0",
        "X: a\rTransfer-Encoding: chunked",
        "Content_Length: 3\r\nContent-Length: 3, 3",
    ] {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{hidden}");
        let answer = text(gateway.raw(&bytes).await);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{fields:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{fields:?}: {answer}"
        );
    }
    assert_eq!(upstream.hits(), 0, "{:?}", upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_are_taken_as_written_or_not_at_all() {
    let (gateway, upstream) = world("").await;
    let post = |body: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let good = text(
        gateway
            .raw(post("3;a=b\r\nabc\r\n02\r\nde\r\n0\r\nX: y\r\n\r\n"))
            .await,
    );
    assert!(good.starts_with("HTTP/1.1 200 "), "{good}");
    assert_eq!(upstream.last_request().body, b"abcde");
    upstream.clear();
    for body in [
        "3\r\nabc\r\n\r\n\r\n",
        "\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\n\r\n",
        "3;\nx\r\nabc\r\n0\r\n\r\n",
        "0\r\nX y\r\n\r\n",
    ] {
        // At once with the head, and after it.
        let answer = text(gateway.raw(post(body)).await);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        let mut connection = gateway.connect().await;
        connection
            .write(post("1\r\nz\r\n").as_bytes())
            .await
            .unwrap();
        eventually("the body is on its way", PATIENCE, async || {
            upstream.connections() > 0
        })
        .await;
        connection.write(body.as_bytes()).await.unwrap();
        let answer = text(connection.read_until_quiet(QUIET).await);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{body:?}: {answer}");
        assert!(
            answer.contains("\r\nServer: Crossway/"),
            "{body:?}: {answer}"
        );
    }
    assert_eq!(
        upstream.hits(),
        0,
        "no body was whole: {:?}",
        upstream.requests()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_are_answered_in_a_row_each_judged_by_itself() {
    let (gateway, upstream) = world("").await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let post = |body: &str| {
        let length = body.len();
        format!("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let chunked = "POST /chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let row = [
        get("/1"),
        post("body"),
        get("/2"),
        chunked.to_owned(),
        get("/3"),
    ]
    .concat();
    let answer = text(gateway.raw(&row).await);
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 5, "{answer}");
    let targets: Vec<_> = upstream.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/1", "/post", "/2", "/chunked", "/3"]);
    upstream.clear();

    let bad = "GET /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx";
    let answer = text(gateway.raw([&get("/1"), bad, &get("/2")].concat()).await);
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400 ").count(), 1, "{answer}");
    let targets: Vec<_> = upstream.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/1"]);
    upstream.clear();

    // The second comes while the first is being answered, byte by byte.
    upstream.answer(Answer::text("late").after(Duration::from_millis(300)));
    let mut connection = gateway.connect().await;
    connection.write(get("/1").as_bytes()).await.unwrap();
    eventually("the first is in flight", PATIENCE, async || {
        upstream.hits() == 1
    })
    .await;
    for byte in get("/2").as_bytes() {
        connection.write(&[*byte]).await.unwrap();
    }
    connection.finish_writing().await.unwrap();
    let answer = text(connection.read_until_quiet(Duration::from_secs(2)).await);
    assert_eq!(answer.matches("late").count(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_may_go_no_further_are_answered_here() {
    let (gateway, upstream) = world("").await;
    let options = |hops: &str| {
        gateway
            .request("OPTIONS", "/x")
            .header("Max-Forwards", hops)
    };
    let last = options("0").await.expect_status(200);
    assert!(last.header("allow").is_some_and(|a| a.contains("GET")));
    assert_eq!(upstream.hits(), 0);
    options("2").await.expect_status(200);
    assert_eq!(upstream.last_request().header("max-forwards"), Some("1"));
}
