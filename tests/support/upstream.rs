//! A scriptable upstream inside the test process: it answers, refuses, hangs, resets, lies.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::message::{Reader, Stream, content_length, invalid, is_chunked};
use super::{Headers, Identity, Port, Received};

/// What an upstream does with a request that it has read whole.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A complete answer; the connection stays open.
    Reply(Reply),
    /// These bytes as they are; then the connection is closed.
    Raw(Vec<u8>),
    /// The connection is closed without a byte.
    Close,
    /// The connection is reset (RST) without a byte.
    Reset,
    /// Nothing, for as long as the peer stays.
    Hang,
    /// The inner answer, this much later.
    After(Duration, Box<Answer>),
}

impl Answer {
    /// A status with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Reply(Reply::new(status, ""))
    }

    /// 200 with this body.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::Reply(Reply::new(200, body))
    }

    /// This answer, `delay` later.
    pub fn after(self, delay: Duration) -> Self {
        Self::After(delay, Box::new(self))
    }
}

/// A complete answer: status, header fields in order, body with `Content-Length`.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body: body.into(),
        }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value.as_ref());
        self
    }

    fn bytes(&self, head_only: bool) -> Vec<u8> {
        let mut out = format!("HTTP/1.1 {} Scripted\r\n", self.status).into_bytes();
        for (name, value) in self.headers.iter() {
            out.extend(name.bytes());
            out.extend(b": ");
            out.extend(value);
            out.extend(b"\r\n");
        }
        let bodiless = self.status == 204 || self.status == 304;
        if !bodiless && !self.headers.has("content-length") {
            out.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
        }
        out.extend(b"\r\n");
        if !head_only && !bodiless {
            out.extend(&self.body);
        }
        out
    }
}

type Script = Arc<dyn Fn(&Received) -> Answer + Send + Sync>;

struct State {
    script: Mutex<Script>,
    requests: Mutex<Vec<Received>>,
    faults: Mutex<Vec<String>>,
    connections: AtomicUsize,
    tls: Option<TlsAcceptor>,
}

/// An HTTP/1.1 server on a port of its own. It echoes requests as JSON until told otherwise, and
/// ends with the test.
pub struct Upstream {
    port: Port,
    state: Arc<State>,
    serving: Option<tokio::task::JoinHandle<()>>,
}

impl Upstream {
    /// An upstream that answers each request with its description as JSON.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// An upstream that answers 200 with this body.
    pub async fn answering(body: &str) -> Self {
        let upstream = Self::start().await;
        upstream.answer(Answer::text(body));
        upstream
    }

    /// [`Upstream::start`] behind TLS.
    pub async fn start_tls(identity: &Identity) -> Self {
        Self::start_with(identity.server()).await
    }

    /// [`Upstream::start`] behind TLS as configured.
    pub async fn start_with(tls: Arc<rustls::ServerConfig>) -> Self {
        Self::serve(Some(TlsAcceptor::from(tls))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let port = Port::reserve();
        let name = port.addr().to_string();
        let echo: Script = Arc::new(move |received| {
            let body = received.as_json(&name).to_string();
            Answer::Reply(Reply::new(200, body).header("Content-Type", "application/json"))
        });
        let state = Arc::new(State {
            script: Mutex::new(echo),
            requests: Mutex::default(),
            faults: Mutex::default(),
            connections: AtomicUsize::new(0),
            tls,
        });
        let mut upstream = Self {
            port,
            state,
            serving: None,
        };
        upstream.resume().await;
        upstream
    }

    /// From now on each request gets this answer.
    pub fn answer(&self, answer: Answer) {
        self.script(move |_| answer.clone());
    }

    /// From now on each request gets the answer that `script` chooses.
    pub fn script(&self, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) {
        *lock(&self.state.script) = Arc::new(script);
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.port.addr()
    }

    /// `"127.0.0.1:port"`, as nodes are written.
    pub fn node(&self) -> String {
        self.addr().to_string()
    }

    /// An upstream document with this one node.
    pub fn document(&self) -> Value {
        json!({ "type": "roundrobin", "nodes": { self.node(): 1 } })
    }

    /// All requests so far, in the order in which they were read whole.
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.state.requests).clone()
    }

    /// How many requests it has read so far.
    pub fn hits(&self) -> usize {
        lock(&self.state.requests).len()
    }

    /// The request that came last.
    #[track_caller]
    pub fn last_request(&self) -> Received {
        lock(&self.state.requests)
            .last()
            .cloned()
            .expect("a request on this upstream")
    }

    /// What it received that was not a well-formed request. A gateway never sends such a thing.
    pub fn faults(&self) -> Vec<String> {
        lock(&self.state.faults).clone()
    }

    /// Forgets the requests so far.
    pub fn clear(&self) {
        lock(&self.state.requests).clear();
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Relaxed)
    }

    /// Stops listening and drops all connections: from now on connecting is refused.
    pub async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // Cancelled is what we asked for; the listener is closed once this returns.
            serving.await.ok();
        }
    }

    /// Listens again on the same port after [`Upstream::stop`].
    pub async fn resume(&mut self) {
        self.stop().await;
        let listener = listen(self.addr()).expect("listen on a reserved port");
        let state = Arc::clone(&self.state);
        self.serving = Some(tokio::spawn(accept(listener, state)));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
        }
    }
}

/// The address may still have connections in TIME_WAIT from before a `stop`.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(1024)
}

/// Connections live inside this task, so that ending it ends them.
async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = state.connections.fetch_add(1, Ordering::Relaxed);
        connections.spawn(connection(stream, number, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

enum End {
    Close,
    Reset,
}

async fn connection(stream: TcpStream, number: usize, state: Arc<State>) {
    stream.set_nodelay(true).ok();
    match &state.tls {
        None => {
            let mut stream = stream;
            if matches!(converse(&mut stream, number, &state).await, Ok(End::Reset)) {
                stream.set_zero_linger().ok();
            }
        }
        Some(acceptor) => {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            match converse(&mut stream, number, &state).await {
                Ok(End::Reset) => drop(stream.get_ref().0.set_zero_linger()),
                _ => drop(stream.shutdown().await),
            }
        }
    }
}

async fn converse(stream: &mut dyn Stream, number: usize, state: &State) -> io::Result<End> {
    let mut reader = Reader::default();
    loop {
        let received = match read_request(&mut reader, stream, number).await {
            Ok(Some(received)) => received,
            Ok(None) => break,
            Err(error) => {
                if error.kind() == io::ErrorKind::InvalidData {
                    lock(&state.faults).push(error.to_string());
                }
                return Err(error);
            }
        };
        let script = Arc::clone(&lock(&state.script));
        let answer = script(&received);
        let head_only = received.method == "HEAD";
        let last = received
            .header("connection")
            .is_some_and(|c| c.eq_ignore_ascii_case("close"));
        lock(&state.requests).push(received);
        if let Some(end) = give(stream, &mut reader, answer, head_only).await? {
            return Ok(end);
        }
        if last {
            break;
        }
    }
    Ok(End::Close)
}

/// Gives the answer; says how the connection ends, unless it stays open.
fn give<'a>(
    stream: &'a mut dyn Stream,
    reader: &'a mut Reader,
    answer: Answer,
    head_only: bool,
) -> Pin<Box<dyn Future<Output = io::Result<Option<End>>> + Send + 'a>> {
    Box::pin(async move {
        match answer {
            Answer::Reply(reply) => {
                stream.write_all(&reply.bytes(head_only)).await?;
                stream.flush().await?;
                Ok(None)
            }
            Answer::Raw(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
                Ok(Some(End::Close))
            }
            Answer::Close => Ok(Some(End::Close)),
            Answer::Reset => Ok(Some(End::Reset)),
            Answer::Hang => {
                reader.rest(stream).await?;
                Ok(Some(End::Close))
            }
            Answer::After(delay, answer) => {
                tokio::time::sleep(delay).await;
                give(stream, reader, *answer, head_only).await
            }
        }
    })
}

async fn read_request(
    reader: &mut Reader,
    stream: &mut dyn Stream,
    connection: usize,
) -> io::Result<Option<Received>> {
    let Some(head) = reader.head(stream).await? else {
        return Ok(None);
    };
    let mut words = head.line.splitn(3, ' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(invalid(&format!("request line {:?}", head.line)));
    };
    let expects = head
        .headers
        .get("expect")
        .is_some_and(|e| e.eq_ignore_ascii_case("100-continue"));
    if expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    let mut trailers = Headers::default();
    let body = if is_chunked(&head.headers) {
        let (body, after) = reader.chunked(stream).await?;
        trailers = after;
        body
    } else {
        reader
            .exactly(stream, content_length(&head.headers)?.unwrap_or(0))
            .await?
    };
    Ok(Some(Received {
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        version: version.to_owned(),
        headers: head.headers,
        body,
        trailers,
    }))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
