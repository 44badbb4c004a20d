//! From an upstream to a connection with one of its nodes.

use crate::upstream::{Node, Picked, Place, ProxyProtocol, Scheme, Tried, Upstream, server_name};
use crossway_sdk::{
    balance::Outcome,
    request::Try,
    stream::{StreamSession, Transport},
};
use std::{
    io,
    time::{Duration, Instant},
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A connection with a node.
pub(super) enum NodeStream {
    Plain(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Picks nodes for one session, none twice unless it is the only one, as often as the upstream allows.
pub(super) struct Picks<'u> {
    upstream: &'u Upstream,
    key: u64,
    tried: Tried,
    left: u32,
    deadline: Option<Instant>,
}

/// No node took the session; the status that it is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoNode(pub(super) u16);

impl<'u> Picks<'u> {
    pub(super) fn new(upstream: &'u Upstream, session: &StreamSession) -> Self {
        let limit = upstream.spec().retry_timeout;
        Self {
            upstream,
            key: upstream.hash_key(session),
            tried: Tried::default(),
            left: upstream.attempts(),
            deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
        }
    }

    /// The next node; its attempt is put down in the session.
    pub(super) fn next(&mut self, session: &mut StreamSession) -> Result<Picked, NoNode> {
        let first = self.tried.is_empty();
        let late = self.deadline.is_some_and(|d| Instant::now() > d);
        if self.left == 0 || (!first && late) {
            return Err(NoNode(502));
        }
        self.left -= 1;
        let picked = match self.upstream.pick(self.key, &self.tried) {
            Ok(picked) => picked,
            Err(error) => {
                if first {
                    tracing::warn!(%error, client = %session.client, "a session gets no node");
                }
                return Err(NoNode(if first { error.status().as_u16() } else { 502 }));
            }
        };
        self.tried.insert(picked.index());
        let node = picked.node();
        session.tries.push(Try {
            address: picked.address().inet(),
            host: node.host().clone(),
            port: node.port(),
            scheme: match (session.transport, self.upstream.spec().scheme) {
                (Transport::Udp, _) => "udp",
                (Transport::Tcp, Scheme::Tls) => "tls",
                (Transport::Tcp, _) => "tcp",
            },
            status: None,
            stale: false,
            began: Instant::now(),
            connected: None,
            answered: None,
            ended: None,
        });
        Ok(picked)
    }
}

/// Connects to a node of the upstream, to another one when that fails.
pub(super) async fn connect(
    upstream: &Upstream,
    session: &mut StreamSession,
    proxy_protocol: Option<ProxyProtocol>,
) -> Result<(NodeStream, Picked), NoNode> {
    let mut picks = Picks::new(upstream, session);
    loop {
        let mut picked = picks.next(session)?;
        let began = Instant::now();
        let dialled = dial(upstream, &picked, session, proxy_protocol).await;
        let took = began.elapsed();
        if let Some(attempt) = session.tries.last_mut() {
            attempt.connected = dialled.is_ok().then_some(took);
            attempt.ended = dialled.is_err().then_some(took);
        }
        match dialled {
            Ok(stream) => {
                picked.report(Outcome {
                    connect: Some(took),
                    ..Outcome::default()
                });
                return Ok((stream, picked));
            }
            Err(error) => {
                picked.report(Outcome {
                    failed: true,
                    ..Outcome::default()
                });
                failed(picked.node(), picked.address(), &error);
            }
        }
    }
}

/// Tells health and the log that a node did not take a session.
pub(super) fn failed(node: &Node, address: &Place, error: &io::Error) {
    match error.kind() {
        io::ErrorKind::TimedOut => node.report_timeout(),
        _ => node.report_tcp_failure(),
    }
    tracing::warn!(%address, %error, "a node did not take a session");
}

async fn dial(
    upstream: &Upstream,
    picked: &Picked,
    session: &StreamSession,
    proxy_protocol: Option<ProxyProtocol>,
) -> io::Result<NodeStream> {
    let limit = upstream.spec().timeouts.connect;
    let protocol = upstream.spec().proxy_protocol.or(proxy_protocol);
    let header = protocol.map(|p| p.header(session.client, session.server));
    let header = header.unwrap_or_default();
    let address = match picked.address() {
        Place::Inet(address) => *address,
        Place::Unix(_) => {
            // Their upstreams have no TLS: that is seen to when they are built.
            let path = picked.address().path().ok_or(io::ErrorKind::NotFound)?;
            let unix = in_time(limit, async {
                let mut unix = UnixStream::connect(path).await?;
                unix.write_all(&header).await?;
                Ok(unix)
            });
            return unix.await.map(NodeStream::Unix);
        }
    };
    let tcp = in_time(limit, async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        tcp.write_all(&header).await?;
        Ok(tcp)
    })
    .await?;
    let Some(config) = upstream.tls() else {
        return Ok(NodeStream::Plain(tcp));
    };
    let name = server_name(session.sni.as_deref(), picked.node().host());
    let name = name.ok_or_else(|| io::Error::other("its host is no name for TLS"))?;
    let connector = TlsConnector::from(config.clone());
    let stream = in_time(limit, connector.connect(name, tcp)).await?;
    Ok(NodeStream::Tls(Box::new(stream)))
}

async fn in_time<T>(limit: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || Err(io::ErrorKind::TimedOut.into());
    timeout(limit, what).await.unwrap_or_else(|_| late())
}
