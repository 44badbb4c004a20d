//! For tests of loggers: requests that are over, and servers that keep what they are sent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::Bytes;
use crossway_sdk::{
    consumer::{Consumer, Identity},
    definition::{Definition, Instance},
    plugin::Plugin,
    request::{ResponseSource, Try},
    route::RouteInfo,
    testing::{Bench, Scene},
};
use parking_lot::Mutex;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UdpSocket},
};

/// A logger, and the bench that it was built on.
pub(crate) struct Logger {
    pub(crate) bench: Bench,
    pub(crate) plugin: Arc<dyn Instance>,
}

impl Logger {
    pub(crate) fn new<P: Plugin>(config: Value) -> Self {
        Self::with::<P>(config, None)
    }

    pub(crate) fn with<P: Plugin>(config: Value, metadata: Option<Value>) -> Self {
        let bench = Bench {
            metadata,
            ..Bench::default()
        };
        let definition = Definition::of::<P>();
        if let Some(metadata) = &bench.metadata {
            definition.check_metadata(metadata).unwrap();
        }
        let plugin = bench.build(&definition, config).unwrap();
        Self { bench, plugin }
    }

    /// Has the body of the request and of its response pass, and logs.
    pub(crate) fn log(&self, scene: &mut Scene) {
        let mut pass = |body: &'static [u8], end| {
            let mut chunk = (!body.is_empty()).then(|| Bytes::from_static(body));
            self.plugin
                .request_body(&mut scene.exchange(), &mut chunk, end)
                .unwrap();
        };
        pass(b"request ", false);
        pass(b"body", true);
        let mut pass = |body: &'static [u8], end| {
            let mut chunk = (!body.is_empty()).then(|| Bytes::from_static(body));
            self.plugin
                .body_filter(&mut scene.exchange(), &mut chunk, end)
                .unwrap();
        };
        pass(b"response ", false);
        pass(b"body", false);
        pass(b"", true);
        self.plugin.log(&mut scene.exchange());
    }

    /// Sends what is in the queue.
    pub(crate) async fn finish(&self) {
        let finishers = self.bench.shared.finishers();
        assert!(
            finishers.finish(Duration::from_secs(20)).await,
            "the queue is stuck"
        );
    }

    /// How many entries were given up.
    pub(crate) fn failed(&self) -> u64 {
        let families = self.bench.metrics.gather();
        let dropped = families
            .iter()
            .filter(|f| f.name() == "apisix_batch_dropped_entries_total");
        dropped
            .flat_map(|f| f.get_metric())
            .map(|m| m.get_counter().get_value() as u64)
            .sum()
    }
}

/// A request to route 1 that an upstream answered.
pub(crate) async fn finished() -> Scene {
    let raw = b"POST /a%20b?q=1&q=2&flag&e=%C3%A4 HTTP/1.1\r\nHost: A.example\r\nX-One: 1\r\nX-Many: a\r\nX-Many: b\r\n\
                X-Raw: \xff\r\nContent-Length: 12\r\n\r\n";
    let mut scene = Scene::new(raw).await.unwrap();
    let request = &mut scene.request;
    request.route = Some(Arc::new(RouteInfo {
        id: "1".into(),
        name: Some("shop".into()),
        ..RouteInfo::default()
    }));
    let consumer = Consumer {
        serial: 1,
        username: "jack".into(),
        group_id: None,
        labels: Default::default(),
        username_header: "jack".parse().unwrap(),
        custom_id: None,
    };
    request.identity = Some(Identity {
        consumer: Arc::new(consumer),
        credential: None,
    });
    let now = Instant::now();
    request.started = now - Duration::from_millis(300);
    request.started_at = UNIX_EPOCH + Duration::from_millis(1_795_230_245_012);
    request.tries.push(Try {
        address: Some(([10, 0, 0, 1], 80).into()),
        host: "node.example".into(),
        port: 80,
        scheme: "http",
        status: Some(200),
        stale: false,
        began: now - Duration::from_millis(270),
        connected: None,
        answered: None,
        ended: Some(Duration::from_millis(250)),
    });
    request.response.status = 200;
    request.response.source = ResponseSource::Upstream;
    scene
}

/// A request as a server read it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    /// Request line and headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1);
        let mut found = lines
            .filter_map(|line| line.split_once(": "))
            .filter(|(n, _)| *n == name);
        found.next().map(|(_, value)| value)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP server that keeps what it is sent.
pub(crate) struct HttpServer {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
}

impl HttpServer {
    /// Answers requests with these statuses and bodies in turn, the last one for ever.
    pub(crate) async fn new(answers: impl IntoIterator<Item = (u16, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let answers: Arc<[_]> = answers.into_iter().collect();
        let keep = received.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, keep.clone(), answers.clone()));
            }
        });
        Self { address, received }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<[(u16, &'static str)]>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let headers = headers.lines().map(|l| match l.split_once(": ") {
            Some((name, value)) => format!("{}: {value}\n", name.to_lowercase()),
            None => String::new(),
        });
        let head = format!("{line}\n{}", headers.collect::<String>());
        let mut request = Received {
            head,
            body: String::new(),
        };
        let length: usize = request
            .header("content-length")
            .map_or(0, |n| n.parse().unwrap());
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        }
        request.body = String::from_utf8(buffer[end..end + length].to_vec()).unwrap();
        buffer.drain(..end + length);
        let number = {
            let mut all = received.lock();
            all.push(request);
            all.len() - 1
        };
        let (status, body) = answers.get(number).or(answers.last()).copied().unwrap();
        let length = body.len();
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A port of this machine on which nobody listens.
pub(crate) async fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

/// What comes by TCP, a text for each connection.
pub(crate) async fn tcp_server() -> (u16, tokio::sync::mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, from) = tokio::sync::mpsc::channel(100);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let to = to.clone();
            tokio::spawn(async move {
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                to.send(text).await.unwrap();
            });
        }
    });
    (port, from)
}

/// What comes by UDP.
pub(crate) async fn udp_server() -> (u16, UdpSocket) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    (socket.local_addr().unwrap().port(), socket)
}

/// The next datagram.
pub(crate) async fn datagram(socket: &UdpSocket) -> String {
    let mut buffer = vec![0; 70_000];
    let read = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer));
    let length = read.await.expect("a datagram").unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// An HTTP server that keeps heads, in lower case but for the first line, and bodies of any bytes; it answers 200.
pub(crate) struct BinaryServer {
    pub(crate) address: SocketAddr,
    received: Arc<Mutex<Vec<Message>>>,
}

/// A head and a body.
type Message = (String, Vec<u8>);

impl BinaryServer {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<_>>>::default();
        let keep = received.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut buffer = Vec::new();
                let end = loop {
                    if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                        break at + 4;
                    }
                    assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
                };
                let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
                let lower = head.to_lowercase();
                let (_, length) = lower.split_once("content-length: ").unwrap();
                let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                while buffer.len() < end + length {
                    assert!(stream.read_buf(&mut buffer).await.unwrap() > 0);
                }
                keep.lock().push((head, buffer[end..end + length].to_vec()));
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self { address, received }
    }

    pub(crate) fn received(&self) -> Vec<Message> {
        self.received.lock().clone()
    }
}
