//! What the gateway forwards to: nodes that can be killed, with all their connections, and come back.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use futures::{SinkExt, StreamExt};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::payload::Payload;

/// An echo server over HTTP/1.1 and WebSocket.
pub(crate) struct Node {
    addr: SocketAddr,
    tasks: Option<(JoinSet<()>, watch::Sender<()>)>,
}

impl Node {
    /// Listens on a free port of loopback.
    pub(crate) async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let mut node = Self {
            addr: listener.local_addr()?,
            tasks: None,
        };
        node.serve(listener);
        Ok(node)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Closes the port and breaks all connections off, whatever is under way on them.
    pub(crate) fn kill(&mut self) {
        self.tasks = None;
    }

    /// Listens on the same port again.
    pub(crate) async fn revive(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.addr).await?;
        self.serve(listener);
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener) {
        // Who holds the receiver learns of the end when the sender is dropped.
        let (alive, ending) = watch::channel(());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, ending));
        self.tasks = Some((tasks, alive));
    }
}

async fn accept(listener: TcpListener, ending: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, ending.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, ending: watch::Receiver<()>) {
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| answer(request, ending.clone()));
    let served = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A gateway that breaks off is nothing to report: the client's side counts.
    served.await.ok();
}

async fn answer(
    mut request: Request<Incoming>,
    ending: watch::Receiver<()>,
) -> Result<Response<Payload>, Infallible> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    if let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(echo(upgrade, ending));
        let mut response = Response::new(Payload::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, http::HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        if let Ok(accept) = accept.parse() {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        return Ok(response);
    }
    let body = collect(request.into_body()).await.unwrap_or_default();
    Ok(Response::new(Payload::sized(Bytes::from(body), 1)))
}

/// Sends each message back until the other side or the node ends.
async fn echo(upgrade: hyper::upgrade::OnUpgrade, mut ending: watch::Receiver<()>) {
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

/// The whole of a body.
pub(crate) async fn collect(mut body: Incoming) -> hyper::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
