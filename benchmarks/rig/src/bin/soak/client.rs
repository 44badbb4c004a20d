//! Connections to the gateway: HTTP/1.1 in the clear and over TLS, HTTP/2 over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::flow::Counted;
use crate::payload::{Payload, collect};

/// How long a request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The name that the gateway has a certificate for.
pub(crate) const NAME: &str = "soak.test";

/// How to talk.
#[derive(Clone)]
pub(crate) enum Over {
    Plain,
    Tls(Arc<ClientConfig>),
    Http2(Arc<ClientConfig>),
}

/// A connection that is kept.
pub(crate) struct Connection {
    sender: Sender,
    heard: Arc<AtomicU64>,
}

enum Sender {
    One(http1::SendRequest<Payload>),
    Two(http2::SendRequest<Payload>),
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// Why there was no whole answer.
pub(crate) struct Broken {
    why: String,
    /// Whether the other side can have begun with the request.
    pub(crate) sent: bool,
    /// Whether any of the answer came.
    pub(crate) heard: bool,
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        Self::other(broken.to_string())
    }
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let far = match (self.sent, self.heard) {
            (false, _) => "nobody began with it",
            (true, false) => "sent, nothing came back",
            (true, true) => "amid the answer",
        };
        write!(f, "{far}: {}", self.why)
    }
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr, over: &Over) -> io::Result<Self> {
        let opening = async {
            let stream = TcpStream::connect(to).await?;
            stream.set_nodelay(true)?;
            match over {
                Over::Plain => one(stream).await,
                Over::Tls(config) => one(secure(stream, config.clone()).await?).await,
                Over::Http2(config) => {
                    let (stream, heard) = Counted::new(secure(stream, config.clone()).await?);
                    let stream = TokioIo::new(stream);
                    let made = http2::handshake(TokioExecutor::new(), stream).await;
                    let (sender, connection) = made.map_err(io::Error::other)?;
                    tokio::spawn(connection);
                    let sender = Sender::Two(sender);
                    Ok(Self { sender, heard })
                }
            }
        };
        within(opening).await
    }

    /// Whether a request can still be sent on it.
    pub(crate) async fn is_open(&mut self) -> bool {
        match &mut self.sender {
            Sender::One(sender) => sender.ready().await.is_ok(),
            Sender::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Payload,
    ) -> Result<Answer, Broken> {
        let (target, host) = match self.sender {
            Sender::One(_) => (path.to_owned(), Some(("host", NAME))),
            Sender::Two(_) => (format!("https://{NAME}{path}"), None),
        };
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in host.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|error| Broken {
            why: error.to_string(),
            sent: false,
            heard: false,
        })?;
        match timeout(PATIENCE, self.exchange(request)).await {
            Ok(done) => done,
            Err(_) => Err(Broken {
                why: format!("no whole answer within {} s", PATIENCE.as_secs()),
                sent: true,
                heard: true,
            }),
        }
    }

    async fn exchange(&mut self, request: Request<Payload>) -> Result<Answer, Broken> {
        let before = self.heard.load(Relaxed);
        let (answer, multiplexed) = match &mut self.sender {
            Sender::One(sender) => (sender.try_send_request(request).await, false),
            Sender::Two(sender) => (sender.try_send_request(request).await, true),
        };
        let answer = answer.map_err(|mut error| Broken {
            sent: error.take_message().is_none() && !came_too_late(error.error()),
            // Of HTTP/2, frames of the connection come at any time: here only the head of the answer counts.
            heard: !multiplexed && self.heard.load(Relaxed) > before,
            why: in_full(&error.into_error()),
        })?;
        let status = answer.status().as_u16();
        let collected = collect(answer.into_body()).await;
        let (body, trailers) = collected.map_err(|error| Broken {
            why: in_full(&error),
            sent: true,
            heard: true,
        })?;
        Ok(Answer {
            status,
            body,
            trailers,
        })
    }
}

/// Whether the other side has said of this request that it will not begin with it: the stream's number is above the last one that
/// it accepts, or the stream was not opened any more (RFC 9113 §6.8).
fn came_too_late(error: &hyper::Error) -> bool {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .is_some_and(|cause| cause.is_go_away() && cause.is_remote())
}

/// An error with its causes.
fn in_full(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

async fn one<S>(stream: S) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, heard) = Counted::new(stream);
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(io::Error::other)?;
    tokio::spawn(connection);
    let sender = Sender::One(sender);
    Ok(Connection { sender, heard })
}

/// A TLS handshake for [`NAME`].
pub(crate) async fn secure(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// What `doing` gives, unless it takes too long.
pub(crate) async fn within<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    timeout(PATIENCE, doing).await.unwrap_or_else(late)
}

/// A client that trusts this certificate alone and offers these protocols alone.
pub(crate) fn trusting(
    certificate: CertificateDer<'static>,
    alpn: &[&[u8]],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
