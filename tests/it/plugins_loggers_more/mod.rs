//! Loggers one by one, each with a server that plays its part, and the servers that the tests of loggers share.

mod kafka;
mod own_log;
mod services;
mod sessions;
mod sockets;

use std::process::Child;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::{Gateway, Identity, PATIENCE, Upstream};

/// A gateway with a route `/a` that has this plugin, and its upstream.
async fn world(plugin: &str, config: Value) -> (Gateway, Upstream) {
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    let route =
        json!({ "uri": "/a", "plugins": { plugin: config }, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

/// A process that ends with the test.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A server that takes datagrams.
struct Datagrams(UdpSocket);

impl Datagrams {
    async fn start() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").await.unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// The next one, as text.
    async fn next(&self) -> String {
        let mut buffer = vec![0; 65_535];
        let received = timeout(PATIENCE, self.0.recv(&mut buffer)).await;
        let count = received.expect("a datagram in time").unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    /// Whether none has come.
    fn is_empty(&self) -> bool {
        self.0.try_recv(&mut [0; 1]).is_err()
    }
}

/// A server that takes connections and reads each as it comes.
struct Connections {
    port: u16,
    pieces: mpsc::Receiver<(usize, String)>,
    serving: JoinHandle<()>,
}

impl Connections {
    async fn start() -> Self {
        Self::serve(None).await
    }

    async fn start_tls(identity: &Identity) -> Self {
        Self::serve(Some(TlsAcceptor::from(identity.server()))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, pieces) = mpsc::channel(1000);
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (to, tls) = (to.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => read(stream, number, to).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                read(stream, number, to).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            port,
            pieces,
            serving,
        }
    }

    /// The next line, or the end of a connection as what came after its last line; and the connection's number.
    async fn next(&mut self) -> (usize, String) {
        let next = timeout(PATIENCE, self.pieces.recv()).await;
        next.expect("something in time").expect("a server")
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn read(
    mut stream: impl tokio::io::AsyncRead + Unpin,
    number: usize,
    to: mpsc::Sender<(usize, String)>,
) {
    let mut line = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        match byte {
            b'\n' => {
                let text = String::from_utf8(std::mem::take(&mut line)).unwrap();
                to.send((number, text)).await.ok();
            }
            byte => line.push(byte),
        }
    }
    if !line.is_empty() {
        let rest = String::from_utf8(line).unwrap();
        to.send((number, rest)).await.ok();
    }
}
