//! Entries that leave by TCP, TLS or UDP.

use crossway_sdk::{batch::SinkError, build::BuildError, tls::TlsOptions};
use parking_lot::Mutex;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket, lookup_host},
    sync::OnceCell,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How a server is reached by TCP.
pub(crate) struct TcpOptions {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// For each step: to connect, to write.
    pub(crate) timeout: Duration,
    /// TLS, and the name to ask for there when it is not the host's.
    pub(crate) tls: Option<Option<String>>,
    /// Connections that are kept for later; 0 closes each when its batch is written.
    pub(crate) keep: usize,
}

/// A server that takes bytes.
pub(crate) struct Tcp {
    options: TcpOptions,
    name: Option<ServerName<'static>>,
    tls: OnceCell<Arc<ClientConfig>>,
    idle: Mutex<Vec<Stream>>,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Tcp {
    /// # Errors
    /// The host's name cannot be asked for with TLS.
    pub(crate) fn new(options: TcpOptions) -> Result<Self, BuildError> {
        let name = match &options.tls {
            None => None,
            Some(other) => {
                let asked = other.as_deref().unwrap_or(&options.host);
                let path = if other.is_some() {
                    "/tls_options"
                } else {
                    "/host"
                };
                let name = ServerName::try_from(asked.to_owned())
                    .map_err(|_| BuildError::new(path, "expected the name of a TLS server"))?;
                Some(name)
            }
        };
        Ok(Self {
            options,
            name,
            tls: OnceCell::new(),
            idle: Mutex::default(),
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Nobody is there, or the bytes are not taken in time.
    pub(crate) async fn write(&self, bytes: &[u8]) -> Result<(), SinkError> {
        let (host, port) = (&self.options.host, self.options.port);
        let failed =
            |what: &str, e: io::Error| SinkError::new(format!("{host}:{port}: {what}: {e}"));
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => self
                .within(self.connect())
                .await
                .map_err(|e| failed("cannot connect", e))?,
        };
        self.within(stream.write(bytes))
            .await
            .map_err(|e| failed("cannot write", e))?;
        if self.options.keep > 0 {
            let mut idle = self.idle.lock();
            if idle.len() < self.options.keep {
                idle.push(stream);
            }
            return Ok(());
        }
        self.within(stream.close())
            .await
            .map_err(|e| failed("cannot close", e))
    }

    async fn within<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout(self.options.timeout, work)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// A connection that is still there.
    fn kept(&self) -> Option<Stream> {
        let mut idle = self.idle.lock();
        std::iter::from_fn(|| idle.pop()).find(Stream::alive)
    }

    async fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect((&*self.options.host, self.options.port)).await?;
        stream.set_nodelay(true)?;
        let Some(name) = &self.name else {
            return Ok(Stream::Plain(stream));
        };
        // As in APISIX, the certificate is not verified.
        let config = self
            .tls
            .get_or_try_init(|| async {
                let options = TlsOptions {
                    verify: false,
                    ..TlsOptions::default()
                };
                options.client_config().map(Arc::new)
            })
            .await
            .map_err(io::Error::other)?;
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name.clone(), stream).await?;
        Ok(Stream::Tls(Box::new(stream)))
    }
}

impl Stream {
    /// Whether the other side has neither closed nor said anything.
    fn alive(&self) -> bool {
        let tcp = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        matches!(tcp.try_read(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock)
    }

    fn io(&mut self) -> &mut (dyn AsyncIo + Unpin + Send) {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream,
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let io = self.io();
        io.write_all(bytes).await?;
        io.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        match self.io().shutdown().await {
            // Whoever has read what was said may have gone already.
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }
}

trait AsyncIo: AsyncRead + AsyncWrite {}
impl<T: AsyncRead + AsyncWrite> AsyncIo for T {}

/// A server that takes datagrams.
pub(crate) struct Udp {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// To find the address, and to send.
    pub(crate) timeout: Duration,
}

/// What fits into a datagram over IPv4, in bytes.
pub(crate) const MAX_DATAGRAM: usize = 65_507;

impl Udp {
    /// Sends each as a datagram.
    ///
    /// # Errors
    /// The address is unknown, or the system does not take one of them.
    pub(crate) async fn send(&self, datagrams: &[Vec<u8>]) -> Result<(), SinkError> {
        let (host, port) = (&self.host, self.port);
        let failed = |e: io::Error| SinkError::new(format!("{host}:{port}: {e}"));
        let socket = timeout(self.timeout, self.socket())
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(failed)?;
        for datagram in datagrams {
            timeout(self.timeout, socket.send(datagram))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                .map_err(failed)?;
        }
        Ok(())
    }

    async fn socket(&self) -> io::Result<UdpSocket> {
        let found = lookup_host((&*self.host, self.port)).await?.next();
        let address = found.ok_or(io::ErrorKind::NotFound)?;
        let local = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(address).await?;
        Ok(socket)
    }
}
