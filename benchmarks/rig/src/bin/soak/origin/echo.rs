//! What sends back what it gets: WebSocket messages, bytes, datagrams.

use std::io;
use std::net::SocketAddr;

use futures::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Sends each message back until the other side or the node ends.
pub(super) async fn messages(upgrade: hyper::upgrade::OnUpgrade, mut ending: watch::Receiver<()>) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let stream = TokioIo::new(upgraded);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    loop {
        let message = tokio::select! {
            _ = ending.changed() => return,
            message = socket.next() => message,
        };
        match message {
            Some(Ok(message)) if message.is_text() || message.is_binary() => {
                if socket.send(message).await.is_err() {
                    return;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

/// Sends all bytes back.
pub(super) async fn back(mut stream: TcpStream) {
    let (mut from, mut to) = stream.split();
    tokio::io::copy(&mut from, &mut to).await.ok();
}

/// A UDP node. It is never killed: nobody would tell the gateway.
pub(crate) struct Datagrams {
    addr: SocketAddr,
    _serving: JoinSet<()>,
}

impl Datagrams {
    pub(crate) async fn start() -> io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let addr = socket.local_addr()?;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut datagram = vec![0; 1 << 16];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut datagram).await else {
                    continue;
                };
                let datagram = datagram.get(..length).unwrap_or_default();
                socket.send_to(datagram, from).await.ok();
            }
        });
        Ok(Self {
            addr,
            _serving: serving,
        })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}
