//! A server of bytes: it says exactly what it was told to, when it was told to, over TCP or a Unix socket, and keeps what it
//! heard byte by byte.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

use super::message::Stream;
use super::{Port, wait_until};

/// What a server says to a request.
#[derive(Clone, Debug)]
pub enum Say {
    /// These bytes; the connection stays open.
    Keep(Vec<u8>),
    /// These bytes, and then the end of the connection.
    Close(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Which connection it came on, from 0.
    pub connection: usize,
    /// The PROXY header that the connection began with; empty for none, and for requests after the first.
    pub preamble: Vec<u8>,
    /// Head and body.
    pub bytes: Vec<u8>,
}

impl Heard {
    /// As text, for what is ASCII.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

type Script = Box<dyn Fn(&Heard) -> Say + Send + Sync>;

struct State {
    script: Script,
    heard: Mutex<Vec<Heard>>,
    connections: AtomicUsize,
    late: broadcast::Sender<(usize, Vec<u8>)>,
    said: AtomicUsize,
}

/// See the module. It ends with the test.
pub struct Scripted {
    port: Option<Port>,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

impl Scripted {
    /// Listens on a port of its own.
    pub async fn start(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let port = Port::reserve();
        let listener = TcpListener::bind(port.addr()).await.expect("a free port");
        let state = State::new(script);
        let at = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).ok();
                all.spawn(connection(stream, Arc::clone(&at)));
            }
        });
        Self {
            port: Some(port),
            state,
            serving,
        }
    }

    /// Listens on a Unix socket.
    pub async fn start_unix(
        path: &Path,
        script: impl Fn(&Heard) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let state = State::new(script);
        let at = Arc::clone(&state);
        let serving = tokio::spawn(async move {
            let mut all = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                all.spawn(connection(stream, Arc::clone(&at)));
            }
        });
        Self {
            port: None,
            state,
            serving,
        }
    }

    /// A server that gives the same answer to each request, and keeps its connections.
    pub async fn keeping(answer: &str) -> Self {
        let answer = answer.as_bytes().to_vec();
        Self::start(move |_| Say::Keep(answer.clone())).await
    }

    /// Where it listens, when it is on TCP.
    pub fn addr(&self) -> SocketAddr {
        self.port.as_ref().expect("a server on TCP").addr()
    }

    /// An upstream document with this one node.
    pub fn document(&self) -> Value {
        json!({ "type": "roundrobin", "nodes": { self.addr().to_string(): 1 } })
    }

    /// All requests so far.
    pub fn heard(&self) -> Vec<Heard> {
        lock(&self.state.heard).clone()
    }

    /// How many connections it has accepted so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// Says something on the newest connection, without being asked.
    pub async fn say_unasked(&self, bytes: &[u8]) {
        let before = self.state.said.load(Ordering::SeqCst);
        let newest = self.connections() - 1;
        let late = (newest, bytes.to_vec());
        self.state.late.send(late).expect("a connection");
        wait_until("it is said", super::PATIENCE, || {
            self.state.said.load(Ordering::SeqCst) > before
        })
        .await;
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    fn new(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            script: Box::new(script),
            heard: Mutex::default(),
            connections: AtomicUsize::new(0),
            late: broadcast::channel(16).0,
            said: AtomicUsize::new(0),
        })
    }
}

async fn connection(mut stream: impl Stream, state: Arc<State>) {
    let number = state.connections.fetch_add(1, Ordering::SeqCst);
    let mut late = state.late.subscribe();
    // What breaks off, breaks off.
    converse(&mut stream, number, &state, &mut late).await.ok();
}

async fn converse(
    stream: &mut impl Stream,
    number: usize,
    state: &State,
    late: &mut broadcast::Receiver<(usize, Vec<u8>)>,
) -> io::Result<()> {
    let mut bytes = Vec::new();
    let mut preamble = None;
    loop {
        tokio::select! {
            read = stream.read_buf(&mut bytes) => if read? == 0 { return Ok(()) },
            Ok((to, unasked)) = late.recv() => if to == number {
                stream.write_all(&unasked).await?;
                stream.flush().await?;
                state.said.fetch_add(1, Ordering::SeqCst);
            }
        }
        if preamble.is_none() {
            let Some(length) = proxy_header(&bytes) else {
                continue;
            };
            preamble = Some(bytes.drain(..length).collect::<Vec<u8>>());
        }
        let Some(length) = request(&bytes) else {
            continue;
        };
        let heard = Heard {
            connection: number,
            preamble: preamble.replace(Vec::new()).unwrap_or_default(),
            bytes: bytes.drain(..length).collect(),
        };
        let say = (state.script)(&heard);
        lock(&state.heard).push(heard);
        let (Say::Keep(answer) | Say::Close(answer)) = &say;
        stream.write_all(answer).await?;
        stream.flush().await?;
        if matches!(say, Say::Close(_)) {
            return stream.shutdown().await;
        }
    }
}

/// The length of the PROXY header that the bytes begin with, 0 for none; `None` while that cannot be told.
fn proxy_header(bytes: &[u8]) -> Option<usize> {
    if bytes.starts_with(b"PROXY ") {
        return bytes
            .iter()
            .position(|byte| *byte == b'\n')
            .map(|at| at + 1);
    }
    if bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        let length = bytes.get(14..16)?;
        let length = 16 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        return (bytes.len() >= length).then_some(length);
    }
    (bytes.len() >= 12).then_some(0)
}

/// The length of the request that the bytes begin with, as a sender means it that makes no mistakes.
fn request(bytes: &[u8]) -> Option<usize> {
    let find = |mark: &[u8]| bytes.windows(mark.len()).position(|at| at == mark);
    let head = find(b"\r\n\r\n")? + 4;
    let fields = String::from_utf8_lossy(&bytes[..head]).to_lowercase();
    if fields.contains("transfer-encoding: chunked") {
        let body = &bytes[head..];
        let last = body.starts_with(b"0\r\n") || body.windows(5).any(|at| at == b"\r\n0\r\n");
        return (last && body.ends_with(b"\r\n\r\n")).then_some(bytes.len());
    }
    let length = fields
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok())
        .unwrap_or(0);
    (bytes.len() >= head + length).then_some(head + length)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
