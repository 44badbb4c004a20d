//! Clients that are slow, that break off and that talk nonsense. What they are told matters little,
//! as long as it is not that the gateway failed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::client::{Connection, Over};
use crate::gateway::Addresses;
use crate::ledger::Outcome;
use crate::origin::Events;
use crate::payload::Payload;
use crate::traffic::Shared;

/// What is written at once, and never completed or never valid.
const NONSENSE: &[&[u8]] = &[
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET /echo HTTP/9.9\r\nHost: soak.test\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: soak.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /echo HTTP/1.1\r\nHost: soak.test\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    b"POST /echo HTTP/1.1\r\nHost: soak.test\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET /%zz/../../%00 HTTP/1.1\r\nHost: soak.test\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff",
    // More than a whole head may be.
    &too_much(),
];

const fn too_much() -> [u8; 50_000] {
    let start = b"GET /echo HTTP/1.1\r\nHost: soak.test\r\nX-Much: ";
    let mut bytes = [b'm'; 50_000];
    let mut place = 0;
    while place < start.len() {
        bytes[place] = start[place];
        place += 1;
    }
    bytes
}

/// How long a slow client keeps at it.
const SLOW_FOR: Duration = Duration::from_secs(75);
/// Between two attempts of a hostile client.
const AGAIN: Duration = Duration::from_millis(500);

/// All of them.
pub(crate) fn all(
    at: &Addresses,
    http2: &Arc<ClientConfig>,
    shared: &Shared,
    tasks: &mut JoinSet<()>,
) {
    let Addresses { http, https, .. } = *at;
    for _ in 0..2 {
        tasks.spawn(again_and_again(shared.clone(), move || drip_a_head(http)));
        tasks.spawn(again_and_again(shared.clone(), move || drip_a_body(http)));
        tasks.spawn(again_and_again(shared.clone(), move || sip(http)));
        tasks.spawn(again_and_again(shared.clone(), move || say_nothing(https)));
    }
    let config = http2.clone();
    tasks.spawn(again_and_again(shared.clone(), move || {
        lose_interest(https, config.clone())
    }));
    tasks.spawn(talk_nonsense([http, https], shared.clone()));
}

async fn again_and_again<F>(mut shared: Shared, attempt: impl Fn() -> F)
where
    F: Future<Output = io::Result<()>>,
{
    while shared.up.wait_for(|up| *up).await.is_ok() {
        timeout(SLOW_FOR, attempt()).await.ok();
        sleep(AGAIN).await;
    }
}

/// Writes nonsense, one kind after the other, to both ports.
async fn talk_nonsense(ports: [SocketAddr; 2], mut shared: Shared) {
    for (words, port) in NONSENSE.iter().cycle().zip(ports.iter().cycle()) {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        // Refused, reset and silent are all fine.
        let said = say(*port, words).await.unwrap_or_default();
        if said.starts_with(b"HTTP/1.1 5") {
            let words = words.get(..100).unwrap_or(words).escape_ascii();
            let why = format!("{:?} was answered with 5xx", words.to_string());
            shared.ledger.note("nonsense", begun, Outcome::Wrong(why));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

async fn say(port: SocketAddr, words: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(port).await?;
    stream.write_all(words).await?;
    let mut said = vec![0; 512];
    let read = timeout(Duration::from_secs(2), stream.read(&mut said)).await;
    said.truncate(read.unwrap_or(Ok(0))?);
    Ok(said)
}

/// Sends the head of a request a byte at a time.
async fn drip_a_head(port: SocketAddr) -> io::Result<()> {
    drip(port, b"GET /echo HTTP/1.1\r\nHost: soak.test\r\nX-Slow: ").await
}

/// Sends the body of a request a byte at a time.
async fn drip_a_body(port: SocketAddr) -> io::Result<()> {
    let head = b"POST /echo HTTP/1.1\r\nHost: soak.test\r\nContent-Length: 1000\r\n\r\n";
    drip(port, head).await
}

async fn drip(port: SocketAddr, beginning: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(port).await?;
    stream.write_all(beginning).await?;
    loop {
        stream.write_all(b"s").await?;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Asks for much and takes little of it.
async fn sip(port: SocketAddr) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // What the kernel takes in the place of the client counts as taken.
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(port).await?;
    let head = b"GET /bytes/16 HTTP/1.1\r\nHost: soak.test\r\n\r\n";
    stream.write_all(head).await?;
    let mut some = [0; 16];
    while stream.read(&mut some).await? > 0 {
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

/// Connects for TLS and never begins.
async fn say_nothing(port: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(port).await?;
    while stream.read(&mut [0; 16]).await? > 0 {}
    Ok(())
}

/// Begins requests over HTTP/2 and resets them.
async fn lose_interest(port: SocketAddr, config: Arc<ClientConfig>) -> io::Result<()> {
    let mut connection = Connection::open(port, &Over::Http2(config)).await?;
    let path = Events {
        count: 1000,
        pause: 10,
    }
    .path();
    for _ in 0..100 {
        let asked = connection.ask("GET", &path, &[], Payload::empty());
        timeout(Duration::from_millis(30), asked).await.ok();
    }
    Ok(())
}
