//! The well-behaved clients: each asks, checks what comes back, and asks again.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use hyper::body::Bytes;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::client::{Connection, NAME, Over, within};
use crate::ledger::Ledger;
use crate::payload::Payload;

/// What workers share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) ledger: Arc<Ledger>,
    /// Whether the gateway is meant to answer; workers wait while it is not.
    pub(crate) up: watch::Receiver<bool>,
    /// Between two requests of a worker.
    pub(crate) pause: Duration,
}

/// A worker's way of asking.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) to: SocketAddr,
    pub(crate) over: Over,
    pub(crate) method: &'static str,
    pub(crate) body: Payload,
    /// After so many requests a new connection is made.
    pub(crate) per_connection: usize,
}

/// Asks until the task is aborted.
pub(crate) async fn ask(kind: Kind, mut shared: Shared) {
    let expected = kind.body.bytes();
    loop {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let mut connection = match Connection::open(kind.to, &kind.over).await {
            Ok(connection) => connection,
            Err(error) => {
                shared
                    .ledger
                    .note(kind.name, begun, Err(format!("connect: {error}")));
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        for _ in 0..kind.per_connection {
            // Closed between two requests, as a server may: not a loss.
            if !connection.is_open().await {
                break;
            }
            let begun = Instant::now();
            let answer = connection
                .ask(kind.method, "/echo", &[], kind.body.clone())
                .await;
            let outcome = match answer {
                Ok((200, body)) if body == expected => Ok(()),
                Ok((status, body)) => Err(format!("{status} with {} bytes", body.len())),
                Err(error) => Err(error.to_string()),
            };
            let failed = outcome.is_err();
            shared.ledger.note(kind.name, begun, outcome);
            sleep(shared.pause).await;
            if failed {
                break;
            }
        }
    }
}

/// How many messages a WebSocket client sends before it closes.
const MESSAGES: usize = 40;

/// Opens WebSockets, one after the other, and has its messages echoed.
pub(crate) async fn talk(to: SocketAddr, mut shared: Shared) {
    loop {
        if shared.up.wait_for(|up| *up).await.is_err() {
            return;
        }
        let begun = Instant::now();
        let outcome = within(conversation(to, shared.pause)).await;
        let failed = outcome.is_err();
        shared
            .ledger
            .note("websocket", begun, outcome.map_err(|e| e.to_string()));
        if failed {
            sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn conversation(to: SocketAddr, pause: Duration) -> io::Result<()> {
    let stream = TcpStream::connect(to).await?;
    let opened = client_async(format!("ws://{NAME}/ws"), stream).await;
    let (mut socket, _) = opened.map_err(io::Error::other)?;
    for number in 0..MESSAGES {
        let text = format!("{number} {}", "w".repeat(500));
        let sent = Message::Binary(Bytes::from(text));
        socket.send(sent.clone()).await.map_err(io::Error::other)?;
        match socket.next().await {
            Some(Ok(message)) if message == sent => {}
            Some(Ok(_)) => return Err(io::Error::other("another message came back")),
            Some(Err(error)) => return Err(io::Error::other(error)),
            None => return Err(io::Error::other("closed amid a conversation")),
        }
        sleep(pause).await;
    }
    // The other side may close first; the messages were what counts.
    socket.close(None).await.ok();
    Ok(())
}
