//! The client of the tests: requests written byte for byte as the test says, answers read whole.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Headers;
use super::message::{Reader, Stream, content_length, invalid, is_chunked};

/// How long one answer may take before the test fails.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A request under construction; awaiting it sends it on a connection of its own and returns the
/// answer. A failure to get one fails the test; [`Request::send`] returns the failure instead.
pub struct Request {
    to: SocketAddr,
    method: String,
    target: String,
    headers: Headers,
    body: Option<Vec<u8>>,
    within: Duration,
}

impl Request {
    pub fn new(to: SocketAddr, method: &str, target: &str) -> Self {
        Self {
            to,
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Headers::default(),
            body: None,
            within: ANSWER_WITHIN,
        }
    }

    /// Adds a field; fields are sent in the order of these calls.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push(name, value.as_ref());
        self
    }

    /// `Host`, instead of the address that the request goes to.
    pub fn host(self, host: &str) -> Self {
        self.header("Host", host)
    }

    /// A body with its `Content-Length` (unless a header says how it is framed).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// A JSON body with its `Content-Type` (unless a header says another).
    pub fn json(mut self, body: &Value) -> Self {
        if !self.headers.has("content-type") {
            self = self.header("Content-Type", "application/json");
        }
        self.body(body.to_string())
    }

    /// A limit for the whole exchange, instead of 30 s.
    pub fn within(mut self, limit: Duration) -> Self {
        self.within = limit;
        self
    }

    /// Sends the request on a new connection and returns the answer, or why there is none.
    pub async fn send(self) -> io::Result<Response> {
        let limit = self.within;
        timeout(limit, async {
            let mut connection = Connection::open(self.to).await?;
            connection.send(&self).await
        })
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.has("host") {
            out.extend(format!("Host: {}\r\n", self.to).bytes());
        }
        for (name, value) in self.headers.iter() {
            out.extend(name.bytes());
            out.extend(b": ");
            out.extend(value);
            out.extend(b"\r\n");
        }
        let framed = self.headers.has("content-length") || self.headers.has("transfer-encoding");
        if let (Some(body), false) = (&self.body, framed) {
            out.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        out.extend(b"\r\n");
        out.extend(self.body.iter().flatten());
        out
    }
}

impl IntoFuture for Request {
    type Output = Response;
    type IntoFuture = Pin<Box<dyn Future<Output = Response> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let what = format!("{} {}", self.method, self.target);
            match self.send().await {
                Ok(response) => response,
                Err(error) => panic!("{what}: {error}"),
            }
        })
    }
}

/// An answer, whole.
#[derive(Clone)]
pub struct Response {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    /// The body with its framing removed.
    pub body: Vec<u8>,
    pub trailers: Headers,
    /// Statuses of 1xx answers that came before.
    pub interim: Vec<u16>,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {:?} {}",
            self.status,
            self.reason,
            self.headers,
            self.text()
        )
    }
}

impl Response {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// The body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error} in {} {:?}", self.status, self.text()),
        }
    }

    /// The first value of a header that the echoing upstream received.
    #[track_caller]
    pub fn echoed_header(&self, name: &str) -> Option<String> {
        self.echoed_headers(name).into_iter().next()
    }

    /// All values of a header that the echoing upstream received.
    #[track_caller]
    pub fn echoed_headers(&self, name: &str) -> Vec<String> {
        let echo = self.json();
        let fields = echo["headers"]
            .as_array()
            .expect("an answer of the echoing upstream");
        let named = |field: &&Value| {
            field[0]
                .as_str()
                .is_some_and(|received| received.eq_ignore_ascii_case(name))
        };
        fields
            .iter()
            .filter(named)
            .filter_map(|f| f[1].as_str().map(str::to_owned))
            .collect()
    }

    /// Fails the test, showing the answer, unless the status is this one.
    #[track_caller]
    pub fn expect_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "body: {}", self.text());
        self
    }
}

/// A connection to the gateway, for tests in which it matters that it is the same one.
pub struct Connection {
    stream: Box<dyn Stream>,
    reader: Reader,
    /// What the TLS handshake settled, if there was one.
    pub handshake: Option<Handshake>,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct Handshake {
    pub version: Option<rustls::ProtocolVersion>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
    /// The server's certificate, in DER.
    pub certificate: Vec<u8>,
}

impl Connection {
    /// Connects without TLS.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: Box::new(stream),
            reader: Reader::default(),
            handshake: None,
        })
    }

    /// Connects with TLS, asking for `sni` and trusting what `config` trusts.
    pub async fn open_tls(
        to: SocketAddr,
        sni: &str,
        config: Arc<rustls::ClientConfig>,
    ) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(sni.to_owned()).map_err(|_| invalid("server name"))?;
        let stream = TlsConnector::from(config).connect(name, stream).await?;
        let settled = stream.get_ref().1;
        let handshake = Handshake {
            version: settled.protocol_version(),
            alpn: settled.alpn_protocol().map(<[u8]>::to_vec),
            resumed: settled.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            certificate: settled
                .peer_certificates()
                .and_then(<[_]>::first)
                .map(|c| c.to_vec())
                .unwrap_or_default(),
        };
        Ok(Self {
            stream: Box::new(stream),
            reader: Reader::default(),
            handshake: Some(handshake),
        })
    }

    /// Sends a request and reads its answer; the connection can be used again if both agree.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        // A server may answer and close before it has read everything: the answer still counts.
        let sent = self.write(&request.bytes()).await;
        match self.read_response(&request.method).await {
            Ok(response) => Ok(response),
            Err(error) => Err(sent.err().unwrap_or(error)),
        }
    }

    /// Writes bytes as they are.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Closes our sending half.
    pub async fn finish_writing(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads the answer to a request with this method.
    pub async fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let mut response = self.read_one(method).await?;
            if (100..200).contains(&response.status) && response.status != 101 {
                interim.push(response.status);
                continue;
            }
            response.interim = interim;
            return Ok(response);
        }
    }

    async fn read_one(&mut self, method: &str) -> io::Result<Response> {
        let stream = self.stream.as_mut();
        let Some(head) = self.reader.head(stream).await? else {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "closed without an answer",
            ));
        };
        let (status, reason) = status_line(&head.line)?;
        let mut trailers = Headers::default();
        let body = if method == "HEAD" || status < 200 || status == 204 || status == 304 {
            Vec::new()
        } else if is_chunked(&head.headers) {
            let (body, after) = self.reader.chunked(stream).await?;
            trailers = after;
            body
        } else if let Some(length) = content_length(&head.headers)? {
            self.reader.exactly(stream, length).await?
        } else {
            self.reader.rest(stream).await?
        };
        Ok(Response {
            status,
            reason,
            headers: head.headers,
            body,
            trailers,
            interim: Vec::new(),
        })
    }

    /// Everything that comes until the peer closes, or until `quiet` passes without a byte.
    pub async fn read_until_quiet(&mut self, quiet: Duration) -> Vec<u8> {
        loop {
            match timeout(quiet, self.reader.fill(self.stream.as_mut())).await {
                Ok(Ok(more)) if more > 0 => {}
                _ => return self.reader.take_buffered(),
            }
        }
    }

    /// Whether the peer closes (in whatever way) within `limit`; what it still sends is dropped.
    pub async fn closes_within(&mut self, limit: Duration) -> bool {
        let drained = async {
            while matches!(self.reader.fill(self.stream.as_mut()).await, Ok(more) if more > 0) {}
        };
        timeout(limit, drained).await.is_ok()
    }
}

fn status_line(line: &str) -> io::Result<(u16, String)> {
    let wrong = || invalid(&format!("status line {line:?}"));
    let rest = line
        .strip_prefix("HTTP/1.1 ")
        .or_else(|| line.strip_prefix("HTTP/1.0 "));
    let (status, reason) = {
        let rest = rest.ok_or_else(wrong)?;
        rest.split_once(' ').unwrap_or((rest, ""))
    };
    let status = status
        .parse()
        .ok()
        .filter(|s| (100..600).contains(s))
        .ok_or_else(wrong)?;
    Ok((status, reason.to_owned()))
}
