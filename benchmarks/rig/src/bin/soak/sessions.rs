//! The well-behaved clients whose bytes are no HTTP requests: WebSockets, TCP and UDP sessions. All is echoed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use hyper::body::Bytes;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{NAME, secure, within};
use crate::ledger::Outcome;
use crate::traffic::Shared;

/// What is talked over.
#[derive(Clone)]
pub(crate) enum By {
    WebSocket,
    Tcp,
    Tls(Arc<ClientConfig>),
}

/// Sessions, one after the other.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) name: &'static str,
    pub(crate) to: SocketAddr,
    pub(crate) by: By,
    /// How many messages it has.
    pub(crate) messages: usize,
    /// Between two of them.
    pub(crate) pause: Duration,
}

/// Opens sessions until the task is aborted.
pub(crate) async fn talk(session: Session, mut shared: Shared) {
    loop {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let done = within(session.hold()).await;
        let failed = done.is_err();
        let outcome = Outcome::of(done);
        shared
            .ledger
            .note_session(session.name, begun, begun, outcome);
        if failed {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Session {
    async fn hold(&self) -> io::Result<()> {
        let stream = TcpStream::connect(self.to).await?;
        stream.set_nodelay(true)?;
        match &self.by {
            By::WebSocket => self.exchange_messages(stream).await,
            By::Tcp => self.exchange_bytes(stream).await,
            By::Tls(config) => {
                let stream = secure(stream, config.clone()).await?;
                self.exchange_bytes(stream).await
            }
        }
    }

    async fn exchange_messages(&self, stream: TcpStream) -> io::Result<()> {
        let opened = client_async(format!("ws://{NAME}/ws"), stream).await;
        let (mut socket, _) = opened.map_err(io::Error::other)?;
        for number in 0..self.messages {
            let sent = Message::Binary(Bytes::from(message(number)));
            socket.send(sent.clone()).await.map_err(io::Error::other)?;
            match socket.next().await {
                Some(Ok(message)) if message == sent => {}
                Some(Ok(other)) => {
                    let text = format!("message {number}: {} bytes came back", other.len());
                    return Err(io::Error::other(text));
                }
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other("closed amid a conversation")),
            }
            sleep(self.pause).await;
        }
        // The other side may close first; the messages were what counts.
        socket.close(None).await.ok();
        Ok(())
    }

    async fn exchange_bytes<S>(&self, mut stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        for number in 0..self.messages {
            let sent = message(number);
            stream.write_all(sent.as_bytes()).await?;
            stream.flush().await?;
            let mut back = vec![0; sent.len()];
            stream.read_exact(&mut back).await?;
            if back != sent.as_bytes() {
                return Err(io::Error::other("other bytes came back"));
            }
            sleep(self.pause).await;
        }
        stream.shutdown().await?;
        match stream.read(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("more came back than was sent")),
        }
    }
}

fn message(number: usize) -> String {
    format!("{number} {}", "w".repeat(500))
}

/// An answer to a datagram that takes longer was lost on the way, as datagrams may be.
const DATAGRAM: Duration = Duration::from_secs(1);
/// How often one is sent before it counts as lost.
const ATTEMPTS: usize = 3;
/// How many come from one port.
const PER_SOCKET: usize = 100;

/// Sends datagrams until the task is aborted.
pub(crate) async fn send_datagrams(to: SocketAddr, mut shared: Shared) {
    let mut number = 0;
    loop {
        let socket = match UdpSocket::bind(("127.0.0.1", 0)).await {
            Ok(socket) => socket,
            Err(_) => return,
        };
        for _ in 0..PER_SOCKET {
            if shared.up.wait_for(|up| *up).await.is_err() {
                return;
            }
            number += 1;
            let begun = Instant::now();
            let outcome = send_datagram(&socket, to, number).await;
            shared.ledger.note("udp", begun, outcome);
            sleep(shared.pause).await;
        }
    }
}

async fn send_datagram(socket: &UdpSocket, to: SocketAddr, number: u64) -> Outcome {
    let sent = number.to_string();
    for attempt in 0..ATTEMPTS {
        // What the kernel says of an earlier datagram is no answer either.
        socket.send_to(sent.as_bytes(), to).await.ok();
        match timeout(DATAGRAM, answer_to(socket, &sent)).await {
            Ok(()) if attempt == 0 => return Outcome::Answered,
            Ok(()) => return Outcome::Retried,
            Err(_) => {}
        }
    }
    Outcome::Failed(format!("no answer to {ATTEMPTS} datagrams"))
}

/// Waits for this answer; those to earlier attempts are passed over.
async fn answer_to(socket: &UdpSocket, sent: &str) {
    let mut datagram = [0; 64];
    loop {
        if let Ok((length, _)) = socket.recv_from(&mut datagram).await
            && datagram.get(..length) == Some(sent.as_bytes())
        {
            return;
        }
    }
}
