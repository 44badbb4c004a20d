//! The harness is code too: what the other tests rely on is tested here, without a gateway.

use std::time::Duration;

use crate::support::{Answer, Connection, Identity, Port, Reply, Request, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_echoes_a_request_as_it_was_written() {
    let upstream = Upstream::start().await;
    let answer = Request::new(upstream.addr(), "PUT", "/a%20b?c=d")
        .host("a.example")
        .header("X-Twice", "1")
        .header("x-twice", "2")
        .body("text")
        .await
        .expect_status(200);
    let echo = answer.json();
    assert_eq!(echo["method"], "PUT");
    assert_eq!(echo["target"], "/a%20b?c=d");
    assert_eq!(echo["body"], "text");
    assert_eq!(echo["headers"][0], serde_json::json!(["Host", "a.example"]));
    assert_eq!(answer.echoed_headers("X-TWICE"), ["1", "2"]);
    assert_eq!(upstream.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_misbehaves_as_told() {
    let mut upstream = Upstream::start().await;
    let ask = |upstream: &Upstream| Request::new(upstream.addr(), "GET", "/");

    upstream.answer(Answer::Close);
    assert!(
        ask(&upstream).send().await.is_err(),
        "closed without an answer"
    );
    upstream.answer(Answer::Reset);
    assert!(ask(&upstream).send().await.is_err(), "reset");
    upstream.answer(Answer::Hang);
    let hung = ask(&upstream)
        .within(Duration::from_millis(200))
        .send()
        .await;
    assert_eq!(hung.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    upstream.answer(Answer::Raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".to_vec(),
    ));
    assert!(
        ask(&upstream).send().await.is_err(),
        "a truncated body is no answer"
    );

    upstream.stop().await;
    let refused = ask(&upstream).send().await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    upstream.resume().await;
    upstream.answer(Answer::Reply(Reply::new(201, "back").header("X-A", "b")));
    let back = ask(&upstream).await.expect_status(201);
    assert_eq!(
        (back.text().as_str(), back.header("x-a")),
        ("back", Some("b"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_and_chunks_are_decoded() {
    let upstream = Upstream::start().await;
    upstream.answer(Answer::Reply(
        Reply::new(200, "3\r\nabc\r\n0\r\nX-After: 1\r\n\r\n")
            .header("Transfer-Encoding", "chunked")
            .header("Content-Length", "0"),
    ));
    let mut connection = Connection::open(upstream.addr()).await.unwrap();
    for _ in 0..2 {
        // Both framings at once: what the gateway must never send on, and what we must survive.
        connection
            .write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let answer = connection.read_response("GET").await.unwrap();
        assert_eq!(answer.text(), "abc");
        assert_eq!(answer.trailers.get("x-after"), Some("1"));
    }
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_speaks_tls() {
    let identity = Identity::for_names(&["secure.example"]);
    let upstream = Upstream::start_tls(&identity).await;
    let mut connection = Connection::open_tls(upstream.addr(), "secure.example", identity.client())
        .await
        .unwrap();
    let answer = connection
        .send(&Request::new(upstream.addr(), "GET", "/"))
        .await
        .unwrap();
    assert_eq!(answer.status, 200);
    let stranger = Identity::for_names(&["secure.example"]).client();
    let refused = Connection::open_tls(upstream.addr(), "secure.example", stranger).await;
    assert!(refused.is_err(), "a certificate that we do not trust");
}

#[test]
fn ports_are_not_given_out_twice() {
    let ports: Vec<Port> = (0..20).map(|_| Port::reserve()).collect();
    let mut numbers: Vec<u16> = ports.iter().map(|port| port.addr().port()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 20);
}
