//! The PROXY protocol towards upstreams: each connection tells of one client, and serves no other.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Gateway, PATIENCE, Scripted, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn with(mut upstream: Value, fields: Value) -> Value {
    let fields = fields.as_object().unwrap().clone();
    upstream.as_object_mut().unwrap().extend(fields);
    upstream
}

async fn world(version: &str) -> (Gateway, Scripted) {
    let gateway = Gateway::start().await;
    let node = Scripted::keeping(OK).await;
    let upstream = with(node.document(), json!({ "proxy_protocol": version }));
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    (gateway, node)
}

/// A client whose own address is known.
async fn client(gateway: &Gateway) -> TcpStream {
    let to = gateway.addr(crate::support::Interface::Http);
    TcpStream::connect(to).await.unwrap()
}

async fn ask(client: &mut TcpStream) {
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        assert!(
            client.read_buf(&mut answer).await.unwrap() > 0,
            "{answer:?}"
        );
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_learns_who_the_client_is_in_either_version() {
    for version in ["v1", "v2"] {
        let (gateway, node) = world(version).await;
        let mut client = client(&gateway).await;
        ask(&mut client).await;
        let (from, to) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let expected = match version {
            "v1" => format!(
                "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
                from.port(),
                to.port()
            )
            .into_bytes(),
            _ => [
                &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01"[..],
                &from.port().to_be_bytes(),
                &to.port().to_be_bytes(),
            ]
            .concat(),
        };
        let heard = node.heard();
        assert_eq!(heard[0].preamble, expected, "{version}");
        assert!(
            heard[0].text().starts_with("GET / HTTP/1.1\r\n"),
            "{}",
            heard[0].text()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_used_again_for_its_client_and_for_nobody_else() {
    let (gateway, node) = world("v1").await;
    let (mut first, mut second) = (client(&gateway).await, client(&gateway).await);
    ask(&mut first).await;
    ask(&mut second).await;
    ask(&mut first).await;
    ask(&mut second).await;
    drop(first);
    let mut third = client(&gateway).await;
    ask(&mut third).await;
    let heard = node.heard();
    let on: Vec<usize> = heard.iter().map(|h| h.connection).collect();
    assert_eq!(on, [0, 1, 0, 1, 2]);
    for (heard, introduced) in heard.iter().zip([true, true, false, false, true]) {
        assert_eq!(!heard.preamble.is_empty(), introduced, "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_header_comes_before_tls() {
    let gateway = Gateway::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = listener.local_addr().unwrap().to_string();
    let upstream = json!({
        "type": "roundrobin", "scheme": "https", "proxy_protocol": "v1", "nodes": { node: 1 },
        "timeout": { "connect": 1, "send": 1, "read": 1 },
    });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while bytes.len() < 100 {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
        bytes
    };
    let (answer, bytes) = tokio::join!(gateway.get("/").send(), serve);
    assert!(answer.unwrap().status >= 500);
    assert!(bytes.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    assert_eq!(bytes[end + 1], 0x16, "a TLS handshake");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_answer_is_given_up_in_time() {
    let gateway = Gateway::start().await;
    let upstream = json!({
        "type": "roundrobin", "proxy_protocol": "v2", "nodes": { "127.0.0.1:1": 1 },
        "timeout": { "connect": 1, "send": 1, "read": 1 },
    });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    gateway
        .get("/")
        .within(Duration::from_secs(10))
        .await
        .expect_status(502);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_checks_speak_for_the_gateway_itself() {
    let (gateway, node) = world("v1").await;
    let active = json!({
        "type": "http", "http_path": "/health",
        "healthy": { "interval": 1, "successes": 1 }, "unhealthy": { "interval": 1 },
    });
    let fields = json!({ "proxy_protocol": "v1", "checks": { "active": active } });
    let upstream = with(node.document(), fields);
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    wait_until("it is checked", PATIENCE, || {
        node.heard()
            .iter()
            .any(|heard| heard.text().starts_with("GET /health "))
    })
    .await;
    let heard = node.heard();
    let check = heard
        .iter()
        .find(|heard| heard.text().starts_with("GET /health "))
        .unwrap();
    assert_eq!(check.preamble, b"PROXY UNKNOWN\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_spoken_is_refused() {
    let gateway = Gateway::start().await;
    for (fields, said) in [
        (json!({ "proxy_protocol": "v3" }), "proxy_protocol"),
        (json!({ "proxy_protocol": true }), "proxy_protocol"),
        (
            json!({ "proxy_protocol": "v2", "scheme": "udp" }),
            "udp has none",
        ),
    ] {
        let upstream = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:1": 1 } });
        let answer = gateway
            .admin()
            .put("/upstreams/1", &with(upstream, fields.clone()))
            .await;
        assert_eq!(answer.status, 400, "{fields}");
        assert!(answer.text().contains(said), "{fields}: {}", answer.text());
    }
}
