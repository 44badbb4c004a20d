//! Request bodies that the gateway reads before it knows the upstream: they arrive there byte for byte.

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Request, Upstream};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A condition that only the body can answer, and that holds for any body.
fn reads_the_body() -> Value {
    json!([["post_arg_never", "~=", "sent"]])
}

/// Bytes that are a form, no two pieces of which are alike.
fn body(length: usize) -> Vec<u8> {
    let mut out = b"x".to_vec();
    let mut number = 0_u32;
    while out.len() < length {
        out.extend(format!("&{number:x}=1").bytes());
        number += 1;
    }
    out.truncate(length);
    out
}

/// The body in chunks of `size` bytes.
fn chunked(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size) {
        out.extend(format!("{:x}\r\n", piece.len()).bytes());
        out.extend(piece);
        out.extend(b"\r\n");
    }
    out.extend(b"0\r\n\r\n");
    out
}

fn form(request: Request) -> Request {
    request.header("Content-Type", "application/x-www-form-urlencoded")
}

fn in_chunks(request: Request, body: &[u8], size: usize) -> Request {
    request
        .header("Transfer-Encoding", "chunked")
        .body(chunked(body, size))
}

async fn world() -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    upstream.answer(Answer::text("taken"));
    let route = json!({
        "uri": "/*", "vars": reads_the_body(), "upstream": upstream.document(),
    });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    (gateway, upstream)
}

fn sizes() -> [usize; 7] {
    [0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 200 * KIB, MIB]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_read_arrives_byte_for_byte() {
    let (gateway, upstream) = world().await;
    let mut connection = gateway.connect().await;
    for size in sizes() {
        let sent = body(size);
        let request = form(gateway.request("POST", "/")).body(sent.clone());
        let answer = connection.send(&request).await.unwrap();
        assert_eq!(answer.expect_status(200).text(), "taken");
        let received = upstream.last_request();
        assert!(
            received.body == sent,
            "{size}: {} bytes",
            received.body.len()
        );
        assert_eq!(
            received.headers.all("content-length"),
            [size.to_string()],
            "{size}"
        );
        assert!(!received.headers.has("transfer-encoding"), "{size}");
    }
    assert_eq!(upstream.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_body_that_was_read_arrives_with_a_length() {
    let (gateway, upstream) = world().await;
    let mut connection = gateway.connect().await;
    for size in sizes() {
        for chunk in [700, 64 * KIB, 2 * MIB] {
            let sent = body(size);
            let request = in_chunks(form(gateway.request("POST", "/")), &sent, chunk);
            let answer = connection.send(&request).await.unwrap();
            assert_eq!(answer.expect_status(200).text(), "taken");
            let received = upstream.last_request();
            assert!(
                received.body == sent,
                "{size}: {} bytes",
                received.body.len()
            );
            if size > 0 {
                let length = received.headers.all("content-length");
                assert_eq!(length, [size.to_string()], "{size}");
                assert!(!received.headers.has("transfer-encoding"), "{size}");
            }
        }
    }
    assert_eq!(upstream.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_was_read_is_sent_again_when_a_node_is_dead() {
    let (gateway, upstream) = world().await;
    let mut dead = Upstream::start().await;
    dead.stop().await;
    let route = json!({
        "uri": "/*", "vars": reads_the_body(),
        "upstream": { "type": "roundrobin", "nodes": { upstream.node(): 1, dead.node(): 1 } },
    });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    for size in [1, 64 * KIB + 1, MIB] {
        for request in 0..4 {
            let sent = body(size);
            let post = form(gateway.request("POST", "/"));
            let post = match request % 2 {
                0 => post.body(sent.clone()),
                _ => in_chunks(post, &sent, 10_000),
            };
            post.await.expect_status(200);
            assert!(upstream.last_request().body == sent, "{size}");
        }
    }
    assert_eq!(upstream.hits(), 12);
    assert_eq!(upstream.faults(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_a_node_took_without_an_answer_goes_to_the_next_one_whole() {
    let (gateway, upstream) = world().await;
    let silent = Upstream::start().await;
    silent.answer(Answer::Close);
    let route = json!({
        "uri": "/*", "vars": reads_the_body(),
        "upstream": { "type": "roundrobin", "nodes": { upstream.node(): 1, silent.node(): 1 } },
    });
    gateway.put("/routes/1", route).await;
    upstream.clear();
    silent.clear();
    let sent = body(300 * KIB);
    for _ in 0..4 {
        let put = in_chunks(form(gateway.request("PUT", "/")), &sent, 5_000);
        put.await.expect_status(200);
    }
    assert_eq!(upstream.hits(), 4);
    assert!(silent.hits() > 0);
    for received in upstream.requests().iter().chain(&silent.requests()) {
        assert!(received.body == sent);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_a_413_and_the_next_request_is_understood() {
    let (gateway, upstream) = world().await;
    let sent = body(MIB + 1);
    for way in ["length", "chunks"] {
        let mut connection = gateway.connect().await;
        let post = form(gateway.request("POST", "/"));
        let post = match way {
            "length" => post.body(sent.clone()),
            _ => in_chunks(post, &sent, 10_000),
        };
        let answer = connection.send(&post).await.unwrap();
        answer.expect_status(413);
        // Either the connection is closed, or its next answer belongs to the next request.
        let next = form(gateway.request("POST", "/next")).body("x=1");
        if let Ok(next) = connection.send(&next).await {
            assert_eq!(next.expect_status(200).text(), "taken", "{way}");
            assert_eq!(upstream.last_request().target, "/next");
        }
    }
    assert!(upstream.requests().iter().all(|r| r.target == "/next"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_waits_to_be_told_is_told_once() {
    let (gateway, upstream) = world().await;
    let sent = body(100 * KIB);
    let mut connection = gateway.connect().await;
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        sent.len()
    );
    connection.write(head.as_bytes()).await.unwrap();
    connection.write(&sent).await.unwrap();
    let answer = connection.read_response("POST").await.unwrap();
    assert_eq!(answer.interim, [100]);
    assert_eq!(answer.expect_status(200).text(), "taken");
    let received = upstream.last_request();
    assert!(received.body == sent);
    assert!(!received.headers.has("expect"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_can_be_given_a_body() {
    let (gateway, upstream) = world().await;
    let rewrite = |body: &str| {
        json!({
            "uri": "/*", "upstream": upstream.document(),
            "plugins": { "response-rewrite": { "body": body } },
        })
    };
    gateway.put("/routes/1", rewrite("from the gateway")).await;
    upstream.answer(Answer::status(500));
    let mut connection = gateway.connect().await;
    for method in ["GET", "POST", "GET"] {
        let answer = connection
            .send(&gateway.request(method, "/"))
            .await
            .unwrap();
        assert_eq!(answer.headers.all("content-length"), ["16"]);
        assert_eq!(answer.expect_status(500).text(), "from the gateway");
    }
    // What has no body by its method or status gets none.
    let head = connection
        .send(&gateway.request("HEAD", "/"))
        .await
        .unwrap();
    assert!(head.expect_status(500).body.is_empty());
    upstream.answer(Answer::status(204));
    let none = connection.send(&gateway.get("/")).await.unwrap();
    assert!(none.expect_status(204).body.is_empty());
    let log = gateway.log();
    assert!(!log.contains("already sent"), "{log}");
}
