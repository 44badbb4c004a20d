//! UDP: datagrams of one client address are a session, as long as they or the node's answers keep coming.
//!
//! A listener has one task that hands datagrams out, and each session one of its own. Whatever cannot be handed on at once
//! is dropped, as the network would.

mod session;
mod table;

use super::StreamProxy;
use crate::{listener::Stop, observe::metrics::StreamListener};
use bytes::Bytes;
use crossway_sdk::stream::{StreamSession, Transport};
use session::UdpSession;
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use table::{Given, Table};
use tokio::net::UdpSocket;

/// The largest datagram there is.
const LARGEST: usize = 65_535;
/// A socket that fails is not asked again before.
const AFTER_A_FAILURE: Duration = Duration::from_millis(50);

impl StreamProxy {
    /// Serves the datagrams of a socket. When `stop` says so, no new session begins; those that there are go on until the
    /// process ends. A process that takes over gets all datagrams from then on. `server` is what routes compare `server_addr` and `server_port` with.
    pub async fn serve_udp(
        self: Arc<Self>,
        socket: UdpSocket,
        server: SocketAddr,
        listener: Arc<StreamListener>,
        mut stop: Stop,
    ) {
        let socket = Arc::new(socket);
        let table = Table::default();
        let mut buffer = vec![0; LARGEST];
        let mut stopping = false;
        loop {
            let received = tokio::select! {
                biased;
                () = stop.given(), if !stopping => {
                    if stop.has_successor() {
                        return;
                    }
                    stopping = true;
                    continue;
                }
                received = socket.recv_from(&mut buffer) => received,
            };
            let (count, client) = match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::warn!(%error, listener = %listener.address(), "UDP cannot be received");
                    tokio::time::sleep(AFTER_A_FAILURE).await;
                    continue;
                }
            };
            let datagram = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            let datagram = match table.give(client, datagram) {
                Given::Taken => continue,
                Given::Full => {
                    listener.dropped.fetch_add(1, Relaxed);
                    continue;
                }
                Given::Unknown(datagram) => datagram,
            };
            let mut session =
                StreamSession::new(Transport::Udp, client, server, listener.address().clone());
            let route = (!stop.is_given()).then(|| self.route(&session)).flatten();
            let most = self.conduct().sessions.udp_sessions;
            let place = route.and_then(|route| Some((route, table.enter(client, most)?)));
            let Some((route, (place, datagrams))) = place else {
                listener.dropped.fetch_add(1, Relaxed);
                continue;
            };
            session.route = Some(route.info.clone());
            let udp = UdpSession {
                proxy: self.clone(),
                socket: socket.clone(),
                client,
                listener: listener.clone(),
                route,
                datagrams,
                place,
            };
            tokio::spawn(udp.run(session, datagram));
        }
    }
}
