//! Clients that are slow, that break off and that talk nonsense. What they are told matters little,
//! as long as it is not that the gateway failed.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

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
];

/// How long a slow client keeps at it.
const SLOW_FOR: Duration = Duration::from_secs(20);

/// Writes nonsense, one kind after the other, to both ports.
pub(crate) async fn talk_nonsense(ports: [SocketAddr; 2], mut shared: Shared) {
    for (words, port) in NONSENSE.iter().cycle().zip(ports.iter().cycle()) {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        // Refused, reset and silent are all fine.
        let said = say(*port, words).await.unwrap_or_default();
        let outcome = match said.starts_with(b"HTTP/1.1 5") {
            false => Ok(()),
            true => Err(format!(
                "{:?} was answered with 5xx",
                words.escape_ascii().to_string()
            )),
        };
        if outcome.is_err() {
            shared.ledger.note("nonsense", begun, outcome);
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

/// Sends the head of a request a byte at a time, then breaks off.
pub(crate) async fn send_slowly(port: SocketAddr, mut shared: Shared) {
    while shared.up.wait_for(|up| *up).await.is_ok() {
        timeout(SLOW_FOR, drip(port)).await.ok();
        sleep(Duration::from_millis(500)).await;
    }
}

async fn drip(port: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(port).await?;
    stream
        .write_all(b"GET /echo HTTP/1.1\r\nHost: soak.test\r\nX-Slow: ")
        .await?;
    loop {
        stream.write_all(b"s").await?;
        sleep(Duration::from_millis(500)).await;
    }
}

/// Asks for a large answer, takes little of it, then breaks off.
pub(crate) async fn read_slowly(port: SocketAddr, mut shared: Shared) {
    while shared.up.wait_for(|up| *up).await.is_ok() {
        timeout(SLOW_FOR, sip(port)).await.ok();
        sleep(Duration::from_millis(500)).await;
    }
}

async fn sip(port: SocketAddr) -> io::Result<()> {
    const LENGTH: usize = 2 << 20;
    let mut stream = TcpStream::connect(port).await?;
    let head =
        format!("POST /echo HTTP/1.1\r\nHost: soak.test\r\nContent-Length: {LENGTH}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&vec![b's'; LENGTH]).await?;
    let mut some = [0; 256];
    while stream.read(&mut some).await? > 0 {
        sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}
