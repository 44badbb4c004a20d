//! One UDP session: the client's datagrams to a node, the node's answers to the client.

use super::{LARGEST, table::Place};
use crate::{
    observe::metrics::StreamListener,
    snapshot::StreamRoute,
    stream::{
        StreamProxy,
        connect::{NoNode, Picks, failed},
    },
    upstream::{self, Picked},
};
use bytes::Bytes;
use crossway_sdk::{balance::Outcome, stream::StreamSession};
use std::{
    cell::RefCell,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::{net::UdpSocket, sync::mpsc, time::timeout};

thread_local! {
    /// For answers: sessions wait without a buffer of their own.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGEST]);
}

pub(super) struct UdpSession {
    pub(super) proxy: Arc<StreamProxy>,
    /// The listener's, from which answers come.
    pub(super) socket: Arc<UdpSocket>,
    /// Where answers go; the socket's own form of the address.
    pub(super) client: SocketAddr,
    pub(super) listener: Arc<StreamListener>,
    pub(super) route: Arc<StreamRoute>,
    pub(super) datagrams: mpsc::Receiver<Bytes>,
    pub(super) place: Place,
}

/// Why a session's way to a node is no more.
enum Over {
    /// Silence.
    Idle,
    /// The node, or the way to it, refuses; the last datagram that was for it.
    Node(io::Error, Bytes),
}

impl UdpSession {
    pub(super) async fn run(mut self, mut session: StreamSession, first: Bytes) {
        let open = self.listener.open();
        let route = self.route.clone();
        self.meet(&mut session, first).await;
        // Who comes again from here on begins a new session.
        drop((self.place, open));
        self.proxy.end(&mut session, &route);
    }

    async fn meet(&mut self, session: &mut StreamSession, first: Bytes) {
        self.count_received(session, &first);
        let upstream = match self.proxy.admit(session, &self.route).await {
            Ok(upstream) => upstream,
            Err(refused) => {
                session.status = refused.status();
                let stream_route = &*self.route.info.id;
                tracing::debug!(client = %session.client, stream_route, reason = %refused, "a session was refused");
                return;
            }
        };
        let otherwise = || self.proxy.conduct().sessions.udp_idle;
        let idle = upstream.spec().idle.unwrap_or_else(otherwise);
        let mut picks = Picks::new(&upstream, session);
        let mut datagram = first;
        loop {
            let (node, mut picked) = match pick(&mut picks, session).await {
                Ok(found) => found,
                Err(none) => {
                    session.status = none.0;
                    return;
                }
            };
            let answers = session.bytes.upstream_received;
            let over = self.carry(session, &node, datagram, idle).await;
            let attempt = session.tries.last_mut();
            if let Some(attempt) = attempt {
                attempt.ended = Some(attempt.began.elapsed());
            }
            match over {
                Over::Idle => {
                    session.status = 200;
                    return;
                }
                Over::Node(error, last) => {
                    picked.report(Outcome {
                        failed: true,
                        ..Outcome::default()
                    });
                    failed(picked.node(), picked.address(), &error);
                    session.status = 502;
                    // A node that has answered knows of the session; another would not.
                    if session.bytes.upstream_received > answers {
                        return;
                    }
                    datagram = last;
                }
            }
        }
    }

    /// Carries datagrams until silence or a failure.
    async fn carry(
        &mut self,
        session: &mut StreamSession,
        node: &UdpSocket,
        first: Bytes,
        idle: Duration,
    ) -> Over {
        let mut last = first;
        if let Err(error) = self.send(session, node, &last).await {
            return Over::Node(error, last);
        }
        loop {
            let next = async {
                tokio::select! {
                    datagram = self.datagrams.recv() => Ok(datagram),
                    ready = node.readable() => ready.map(|()| None),
                }
            };
            match timeout(idle, next).await {
                Err(_) => return Over::Idle,
                Ok(Err(error)) => return Over::Node(error, last),
                Ok(Ok(Some(datagram))) => {
                    self.count_received(session, &datagram);
                    last = datagram;
                    if let Err(error) = self.send(session, node, &last).await {
                        return Over::Node(error, last);
                    }
                }
                Ok(Ok(None)) => {
                    if let Err(error) = self.answer(session, node).await {
                        return Over::Node(error, last);
                    }
                }
            }
        }
    }

    async fn send(
        &self,
        session: &mut StreamSession,
        node: &UdpSocket,
        datagram: &[u8],
    ) -> io::Result<()> {
        let sent = node.send(datagram).await? as u64;
        session.bytes.upstream_sent += sent;
        self.listener.upstream_sent.fetch_add(sent, Relaxed);
        Ok(())
    }

    /// Hands one answer to the client. One that the client's side does not take at once is dropped.
    async fn answer(&self, session: &mut StreamSession, node: &UdpSocket) -> io::Result<()> {
        let client = self.client;
        let (received, sent) = BUFFER.with_borrow_mut(|buffer| {
            let count = match node.try_recv(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((0, 0)),
                received => received?,
            };
            let answer = buffer.get(..count).unwrap_or_default();
            let sent = self.socket.try_send_to(answer, client).unwrap_or_else(|_| {
                self.listener.dropped.fetch_add(1, Relaxed);
                0
            });
            Ok::<_, io::Error>((count as u64, sent as u64))
        })?;
        session.bytes.upstream_received += received;
        session.bytes.sent += sent;
        let listener = &self.listener;
        listener.upstream_received.fetch_add(received, Relaxed);
        listener.sent.fetch_add(sent, Relaxed);
        // Many answers in a row must not keep the thread from others.
        tokio::task::consume_budget().await;
        Ok(())
    }

    fn count_received(&self, session: &mut StreamSession, datagram: &[u8]) {
        let count = datagram.len() as u64;
        session.bytes.received += count;
        self.listener.received.fetch_add(count, Relaxed);
    }
}

/// A socket towards the next node. A node that no socket can be had for counts as tried.
async fn pick(
    picks: &mut Picks<'_>,
    session: &mut StreamSession,
) -> Result<(UdpSocket, Picked), NoNode> {
    loop {
        let mut picked = picks.next(session)?;
        match towards(picked.address()).await {
            Ok(socket) => return Ok((socket, picked)),
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

async fn towards(node: &upstream::Place) -> io::Result<UdpSocket> {
    let node = node
        .inet()
        .ok_or_else(|| io::Error::other("a Unix socket takes no UDP"))?;
    let any: SocketAddr = match node {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(node).await?;
    Ok(socket)
}
