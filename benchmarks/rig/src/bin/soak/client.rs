//! Connections to the gateway: HTTP/1.1 in the clear and over TLS, HTTP/2 over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::origin::collect;
use crate::payload::Payload;

/// How long a request may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
pub(crate) enum Connection {
    One(http1::SendRequest<Payload>),
    Two(http2::SendRequest<Payload>),
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
                    let stream = TokioIo::new(secure(stream, config.clone()).await?);
                    let made = http2::handshake(TokioExecutor::new(), stream).await;
                    let (sender, connection) = made.map_err(io::Error::other)?;
                    tokio::spawn(connection);
                    Ok(Self::Two(sender))
                }
            }
        };
        within(opening).await
    }

    /// Whether a request can still be sent on it.
    pub(crate) async fn is_open(&mut self) -> bool {
        match self {
            Self::One(sender) => sender.ready().await.is_ok(),
            Self::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    /// Sends a request; returns the status and the body of the answer.
    pub(crate) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Payload,
    ) -> io::Result<(u16, Vec<u8>)> {
        let target = match self {
            Self::One(_) => path.to_owned(),
            Self::Two(_) => format!("https://{NAME}{path}"),
        };
        let mut request = Request::builder().method(method).uri(target);
        if matches!(self, Self::One(_)) {
            request = request.header("host", NAME);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(io::Error::other)?;
        let exchange = async {
            let answer = match self {
                Self::One(sender) => sender.send_request(request).await,
                Self::Two(sender) => sender.send_request(request).await,
            };
            let answer = answer.map_err(io::Error::other)?;
            let status = answer.status().as_u16();
            let body = collect(answer.into_body()).await;
            Ok((status, body.map_err(io::Error::other)?))
        };
        within(exchange).await
    }
}

async fn one<S>(stream: S) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(io::Error::other)?;
    tokio::spawn(connection);
    Ok(Connection::One(sender))
}

async fn secure(
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    TlsConnector::from(config).connect(name, stream).await
}

/// What `doing` gives, unless it takes too long.
pub(crate) async fn within<T>(doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    timeout(PATIENCE, doing).await.unwrap_or_else(late)
}

/// A client that trusts this certificate alone and offers this protocol alone.
pub(crate) fn trusting(
    certificate: CertificateDer<'static>,
    alpn: &[u8],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config))
}
