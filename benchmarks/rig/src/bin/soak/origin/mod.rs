//! What the gateway forwards to: nodes that can be killed, with all their connections, and come back.

mod answer;
mod echo;

use std::io;
use std::net::SocketAddr;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(crate) use answer::{Events, GRPC_OK};
pub(crate) use echo::Datagrams;

/// An echo server over HTTP/1.1, HTTP/2 in the clear, gRPC and WebSocket on one port, over TCP on another.
pub(crate) struct Node {
    http: SocketAddr,
    tcp: SocketAddr,
    tasks: Option<(JoinSet<()>, watch::Sender<()>)>,
}

impl Node {
    /// Listens on free ports of loopback.
    pub(crate) async fn start() -> io::Result<Self> {
        let http = TcpListener::bind(("127.0.0.1", 0)).await?;
        let tcp = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut node = Self {
            http: http.local_addr()?,
            tcp: tcp.local_addr()?,
            tasks: None,
        };
        node.serve(http, tcp);
        Ok(node)
    }

    /// Where it speaks HTTP.
    pub(crate) fn http(&self) -> SocketAddr {
        self.http
    }

    /// Where it sends back what it gets.
    pub(crate) fn tcp(&self) -> SocketAddr {
        self.tcp
    }

    /// Closes the ports and breaks all connections off, whatever is under way on them.
    pub(crate) fn kill(&mut self) {
        self.tasks = None;
    }

    /// Listens on the same ports again.
    pub(crate) async fn revive(&mut self) -> io::Result<()> {
        let http = TcpListener::bind(self.http).await?;
        let tcp = TcpListener::bind(self.tcp).await?;
        self.serve(http, tcp);
        Ok(())
    }

    fn serve(&mut self, http: TcpListener, tcp: TcpListener) {
        // Who holds the receiver learns of the end when the sender is dropped.
        let (alive, ending) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(http, move |stream| {
            connection(stream, ending.clone())
        }));
        tasks.spawn(accept(tcp, echo::back));
        self.tasks = Some((tasks, alive));
    }
}

async fn accept<F>(listener: TcpListener, serve: impl Fn(TcpStream) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            stream.set_nodelay(true).ok();
            connections.spawn(serve(stream));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, ending: watch::Receiver<()>) {
    let service = service_fn(move |request| answer::to(request, ending.clone()));
    let is_http2 = begins_with(&stream, b"PRI").await;
    let stream = TokioIo::new(stream);
    // A gateway that breaks off is nothing to report: the client's side counts.
    if is_http2 {
        let http2 = http2::Builder::new(TokioExecutor::new());
        http2.serve_connection(stream, service).await.ok();
    } else {
        let http1 = http1::Builder::new().serve_connection(stream, service);
        http1.with_upgrades().await.ok();
    }
}

/// Whether the first bytes are these. Fewer never come alone.
async fn begins_with(stream: &TcpStream, bytes: &[u8; 3]) -> bool {
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(3) => return first == *bytes,
            Ok(1..) => tokio::task::yield_now().await,
            Ok(0) | Err(_) => return false,
        }
    }
}
