//! A client that speaks HTTP/2 over TLS, on one connection for as long as it lives.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::message::invalid;

/// A connection over which HTTP/2 was agreed on. A clone has streams of its own on the same connection.
#[derive(Clone)]
pub struct Http2(SendRequest<String>);

impl Http2 {
    /// Connects, asking for `sni` and for HTTP/2 alone.
    pub async fn open(
        to: SocketAddr,
        sni: &str,
        mut config: rustls::ClientConfig,
    ) -> io::Result<Self> {
        config.alpn_protocols = vec![b"h2".to_vec()];
        let stream = TcpStream::connect(to).await?;
        let name = ServerName::try_from(sni.to_owned()).map_err(|_| invalid("server name"))?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(invalid("HTTP/2 was not agreed on"));
        }
        let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// Whether it takes no new streams: the other end said so (GOAWAY), or it is closed.
    pub async fn is_closed(&mut self) -> bool {
        self.0.is_closed() || self.0.ready().await.is_err()
    }

    /// GET; status and body.
    pub async fn get(&mut self, authority: &str, path: &str) -> io::Result<(u16, String)> {
        let request = http::Request::get(format!("https://{authority}{path}"))
            .body(String::new())
            .map_err(io::Error::other)?;
        let exchange = async {
            self.0.ready().await.map_err(io::Error::other)?;
            let answer = self.0.send_request(request).await;
            let answer = answer.map_err(io::Error::other)?;
            let status = answer.status().as_u16();
            Ok((status, text(answer.into_body()).await?))
        };
        timeout(Duration::from_secs(30), exchange)
            .await
            .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    }
}

async fn text(mut body: Incoming) -> io::Result<String> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            bytes.extend(data);
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
