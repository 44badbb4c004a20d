//! Connections that become something else than HTTP.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Answer, Connection, Gateway, PATIENCE, Upstream};

const ASKED: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const AGREED: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

/// Agrees before it has read what was asked, then sends back what comes.
async fn agree_at_once(mut stream: TcpStream) -> std::io::Result<()> {
    stream.write_all(AGREED).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(!head.contains("transfer-encoding"), "{head}");
    assert!(!head.contains("content-length"), "{head}");
    let (mut read, mut write) = stream.split();
    tokio::io::copy(&mut read, &mut write).await?;
    Ok(())
}

async fn hasty_upstream() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(agree_at_once(stream));
        }
    });
    addr
}

async fn expect(connection: &mut Connection, words: &str) {
    let mut came = String::new();
    let began = Instant::now();
    while !came.ends_with(words) {
        let more = connection
            .read_until_quiet(Duration::from_millis(100))
            .await;
        assert!(
            began.elapsed() < PATIENCE,
            "{words:?} did not come, but {came:?}"
        );
        came.push_str(&String::from_utf8_lossy(&more));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_agrees_at_once_gets_its_tunnel() {
    let gateway = Gateway::start().await;
    let addr = hasty_upstream().await.to_string();
    let upstream = json!({ "type": "roundrobin", "nodes": { addr: 1 } });
    let route = json!({ "uri": "/ws", "enable_websocket": true, "upstream": upstream });
    gateway.put("/routes/ws", route).await;
    for round in 0..20 {
        let mut connection = gateway.connect().await;
        connection.write(ASKED.as_bytes()).await.unwrap();
        expect(&mut connection, "\r\n\r\n").await;
        for words in [format!("first {round}"), format!("second {round}")] {
            connection.write(words.as_bytes()).await.unwrap();
            expect(&mut connection, &words).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_may_decline_to_switch() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    upstream.answer(Answer::text("declined"));
    let document = upstream.document();
    let route = json!({ "uri": "/ws", "enable_websocket": true, "upstream": document });
    gateway.put("/routes/ws", route).await;
    let mut connection = gateway.connect().await;
    for _ in 0..3 {
        let asking = gateway.get("/ws").header("Connection", "Upgrade");
        let asking = asking.header("Upgrade", "websocket");
        let answer = connection.send(&asking).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "declined"));
    }
    assert!(!upstream.last_request().headers.has("transfer-encoding"));
    gateway.get("/ws").await.expect_status(200);
}
