//! What passes through the gateway passes as it comes: events one by one, and bodies of any size in little memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::support::{Gateway, Interface, PATIENCE, wait_until};

const MEBIBYTE: u64 = 1 << 20;
/// More than the sockets on the way and the gateway together may hold back.
const LARGE: u64 = 160 * MEBIBYTE;
/// What four socket buffers of the kernel may hold at most; the gateway's own part is measured.
const UNDER_WAY: u64 = 64 * MEBIBYTE;
/// What the gateway may need on top of what it had.
const MEMORY: u64 = 16 * MEBIBYTE;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn gateway_to(upstream: SocketAddr) -> Gateway {
    let gateway = Gateway::builder()
        .with_settings("limits:\n  body_bytes: 0\n")
        .start()
        .await;
    let nodes = json!({ upstream.to_string(): 1 });
    let route = json!({ "uri": "/*", "upstream": { "nodes": nodes } });
    gateway.put("/routes/1", route).await;
    gateway
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn open(gateway: &Gateway, head: &str) -> TcpStream {
    let mut client = TcpStream::connect(gateway.addr(Interface::Http))
        .await
        .unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    client
}

/// The most memory that the process ever held, in bytes.
fn most_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse::<u64>().unwrap() * 1024
}

/// Writes what it is told, as an event stream without an end.
async fn speak(listener: TcpListener, mut words: Receiver<&'static str>) {
    let (mut stream, _) = listener.accept().await.unwrap();
    read_head(&mut stream).await;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    while let Some(word) = words.recv().await {
        let chunk = format!("{:x}\r\n{word}\r\n", word.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
}

async fn hear(client: &mut TcpStream, heard: &mut String, words: &str) {
    let mut space = [0; 4096];
    while !heard.contains(words) {
        let read = tokio::time::timeout(PATIENCE, client.read(&mut space)).await;
        let length = read.expect("the event did not come").unwrap();
        assert!(length > 0, "the stream ended before {words:?}: {heard:?}");
        heard.push_str(std::str::from_utf8(&space[..length]).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_there_before_the_next_one_is_sent() {
    let (listener, addr) = listener().await;
    let (say, words): (Sender<&str>, _) = channel(1);
    tokio::spawn(speak(listener, words));
    let gateway = gateway_to(addr).await;
    let mut client = open(&gateway, "GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut heard = String::new();
    hear(&mut client, &mut heard, "\r\n\r\n").await;
    for word in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        assert!(!heard.contains(word));
        say.send(word).await.unwrap();
        hear(&mut client, &mut heard, word).await;
    }
    drop(say);
    hear(&mut client, &mut heard, "0\r\n\r\n").await;
}

/// Writes `LARGE` bytes and counts those that the other side's buffers took.
async fn pour(mut stream: impl AsyncWriteExt + Unpin, poured: Arc<AtomicU64>) {
    let piece = vec![b'x'; 64 * 1024];
    while poured.load(Ordering::Relaxed) < LARGE {
        stream.write_all(&piece).await.unwrap();
        poured.fetch_add(piece.len() as u64, Ordering::Relaxed);
    }
}

/// Waits until nothing more goes into the buffers on the way, and says how much did.
async fn stuck(poured: &AtomicU64) -> u64 {
    loop {
        let before = poured.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = poured.load(Ordering::Relaxed);
        if now == before && now > 0 {
            return now;
        }
    }
}

async fn count_to_the_end(mut stream: TcpStream) -> u64 {
    let mut space = vec![0; 256 * 1024];
    let mut total = 0;
    while total < LARGE {
        let length = stream.read(&mut space).await.unwrap();
        assert!(length > 0, "it ended after {total} bytes");
        total += length as u64;
    }
    total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_upload_waits_for_a_node_that_does_not_read() {
    let (listener, addr) = listener().await;
    let gateway = gateway_to(addr).await;
    let before = most_memory(gateway.process_id());
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n");
    let client = open(&gateway, &head).await;
    let (mut answer, request) = client.into_split();
    let poured = Arc::new(AtomicU64::new(0));
    tokio::spawn(pour(request, poured.clone()));

    let (mut node, _) = listener.accept().await.unwrap();
    read_head(&mut node).await;
    let under_way = stuck(&poured).await;
    assert!(under_way < UNDER_WAY, "{under_way} bytes are on the way");

    let mut space = vec![0; 256 * 1024];
    let mut arrived = 0;
    while arrived < LARGE {
        let length = node.read(&mut space).await.unwrap();
        assert!(length > 0, "it ended after {arrived} bytes");
        assert!(space[..length].iter().all(|byte| *byte == b'x'));
        arrived += length as u64;
    }
    assert_eq!(arrived, LARGE);
    let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nthat";
    node.write_all(reply).await.unwrap();
    let mut came = vec![0; 4096];
    let length = answer.read(&mut came).await.unwrap();
    assert!(came[..length].starts_with(b"HTTP/1.1 200"));
    let grown = most_memory(gateway.process_id()) - before;
    assert!(grown < MEMORY, "{grown} bytes more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_download_waits_for_a_client_that_does_not_read() {
    let (listener, addr) = listener().await;
    let gateway = gateway_to(addr).await;
    let before = most_memory(gateway.process_id());
    let mut client = open(&gateway, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (mut node, _) = listener.accept().await.unwrap();
    read_head(&mut node).await;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
    node.write_all(head.as_bytes()).await.unwrap();
    let poured = Arc::new(AtomicU64::new(0));
    tokio::spawn(pour(node, poured.clone()));

    read_head(&mut client).await;
    let under_way = stuck(&poured).await;
    assert!(under_way < UNDER_WAY, "{under_way} bytes are on the way");
    assert_eq!(count_to_the_end(client).await, LARGE);
    wait_until("the node has sent all", PATIENCE, || {
        poured.load(Ordering::Relaxed) == LARGE
    })
    .await;
    let grown = most_memory(gateway.process_id()) - before;
    assert!(grown < MEMORY, "{grown} bytes more");
}
