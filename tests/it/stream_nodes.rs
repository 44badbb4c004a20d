//! What the tests of streams work with: nodes that say who they are and echo, a gateway with stream listeners, a client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::{Gateway, Identity, PATIENCE, Port};

/// A TCP node: greets each connection with its name and a line feed, then echoes.
pub struct Node {
    port: Port,
    name: &'static str,
    tls: Option<TlsAcceptor>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
    serving: Option<JoinHandle<()>>,
}

impl Node {
    pub async fn start(name: &'static str) -> Self {
        Self::serve(name, None).await
    }

    pub async fn start_tls(name: &'static str, identity: &Identity) -> Self {
        Self::serve(name, Some(TlsAcceptor::from(identity.server()))).await
    }

    async fn serve(name: &'static str, tls: Option<TlsAcceptor>) -> Self {
        let mut node = Self {
            port: Port::reserve(),
            name,
            tls,
            open: Arc::default(),
            accepted: Arc::default(),
            serving: None,
        };
        node.resume().await;
        node
    }

    /// `"127.0.0.1:port"`.
    pub fn node(&self) -> String {
        self.port.addr().to_string()
    }

    /// Connections that are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Connections that were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Listens no more and drops all connections.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            serving.await.ok();
        }
    }

    pub async fn resume(&mut self) {
        self.stop().await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.port.addr()).unwrap();
        let listener = socket.listen(1024).unwrap();
        let (name, tls) = (self.name, self.tls.clone());
        let (open, accepted) = (self.open.clone(), self.accepted.clone());
        self.serving = Some(tokio::spawn(accept(listener, name, tls, open, accepted)));
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn accept(
    listener: TcpListener,
    name: &'static str,
    tls: Option<TlsAcceptor>,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        accepted.fetch_add(1, Ordering::SeqCst);
        open.fetch_add(1, Ordering::SeqCst);
        let (held, tls) = (Open(open.clone()), tls.clone());
        connections.spawn(async move {
            let _held = held;
            match tls {
                None => greet_and_echo(stream, name).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        greet_and_echo(stream, name).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn greet_and_echo<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, name: &str) {
    let mut buffer = vec![0; 16 * 1024];
    if stream
        .write_all(format!("{name}\n").as_bytes())
        .await
        .is_err()
    {
        return;
    }
    stream.flush().await.ok();
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
        stream.flush().await.ok();
    }
    stream.shutdown().await.ok();
}

/// A UDP node: answers each datagram with its name, a colon and the datagram.
pub struct UdpNode {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl UdpNode {
    pub async fn start(name: &'static str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            let mut buffer = vec![0; 65_535];
            while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
                let answer = [name.as_bytes(), b":", &buffer[..count]].concat();
                socket.send_to(&answer, from).await.ok();
            }
        });
        Self { address, serving }
    }

    pub fn node(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for UdpNode {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A gateway with a listener for TCP and one for UDP.
pub struct Streams {
    pub gateway: Gateway,
    tcp: Port,
    udp: Port,
}

impl Streams {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With more keys below `stream`, each on a line that begins with two spaces.
    pub async fn with(more: &str) -> Self {
        Self::listening("", more).await
    }

    /// With more keys of the TCP listener (`, tls: true`), and more below `stream`.
    pub async fn listening(tcp_keys: &str, more: &str) -> Self {
        let (tcp, udp) = (Port::reserve(), Port::reserve());
        let settings = format!(
            "stream:\n  tcp: {{addr: \"{}\"{tcp_keys}}}\n  udp: \"{}\"\n{more}",
            tcp.addr(),
            udp.addr()
        );
        let gateway = Gateway::builder().with_settings(&settings).start().await;
        Self { gateway, tcp, udp }
    }

    /// With settings and environment as given; `{tcp}` and `{udp}` stand for addresses.
    pub async fn built(settings: &str, environment: &[(&str, &str)]) -> Self {
        let (tcp, udp) = (Port::reserve(), Port::reserve());
        let settings = settings
            .replace("{tcp}", &tcp.addr().to_string())
            .replace("{udp}", &udp.addr().to_string());
        let mut builder = Gateway::builder().with_settings(&settings);
        for (name, value) in environment {
            builder = builder.with_env(name, value);
        }
        let gateway = builder.start().await;
        Self { gateway, tcp, udp }
    }

    pub fn tcp(&self) -> SocketAddr {
        self.tcp.addr()
    }

    pub fn udp(&self) -> SocketAddr {
        self.udp.addr()
    }

    pub async fn put(&self, path: &str, document: Value) {
        self.gateway.put(path, document).await;
    }

    pub async fn connect(&self) -> Client<TcpStream> {
        Client::to(self.tcp()).await
    }

    /// Opens a session and tells which node greets; `None` when the connection is closed.
    pub async fn greeting(&self) -> Option<String> {
        self.connect().await.line().await
    }
}

/// An upstream of these nodes.
pub fn upstream(nodes: &[&str]) -> Value {
    let nodes: serde_json::Map<String, Value> =
        nodes.iter().map(|n| ((*n).to_owned(), json!(1))).collect();
    json!({ "type": "roundrobin", "nodes": nodes })
}

/// The client's end of a session.
pub struct Client<S> {
    pub stream: S,
}

impl Client<TcpStream> {
    pub async fn to(address: SocketAddr) -> Self {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        Self {
            stream: stream.expect("in time").expect("a connection"),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// The next line, without its end; `None` when the connection is closed before one came.
    pub async fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let byte = timeout(PATIENCE, self.stream.read_u8()).await;
            match byte.expect("a line, or the end, in time") {
                Ok(b'\n') => return Some(String::from_utf8(line).unwrap()),
                Ok(byte) => line.push(byte),
                Err(_) => return None,
            }
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("write");
        self.stream.flush().await.expect("flush");
    }

    /// Sends and expects the same back.
    pub async fn echo(&mut self, bytes: &[u8]) {
        self.send(bytes).await;
        let mut back = vec![0; bytes.len()];
        let read = timeout(PATIENCE, self.stream.read_exact(&mut back)).await;
        read.expect("an echo in time").expect("an echo");
        assert_eq!(back, bytes);
    }

    /// Everything up to the end of the connection, be it a reset.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await;
        read.expect("the end in time").ok();
        rest
    }
}

/// A UDP client.
pub struct UdpClient(pub UdpSocket);

impl UdpClient {
    pub async fn to(address: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // Connected: an answer from another address than the one that was asked would not come through.
        socket.connect(address).await.unwrap();
        Self(socket)
    }

    /// Sends, and waits for an answer; `None` when none comes within half a second.
    pub async fn ask(&self, datagram: &[u8]) -> Option<String> {
        self.0.send(datagram).await.ok()?;
        let mut buffer = vec![0; 65_535];
        let received = timeout(Duration::from_millis(500), self.0.recv(&mut buffer)).await;
        let count = received.ok()?.ok()?;
        Some(String::from_utf8_lossy(&buffer[..count]).into_owned())
    }
}
