//! The listeners for TCP, TLS and UDP.

use super::Failure;
use crate::{
    listener::{
        Address, Bound, Census, Edge, Listener, ProxyProtocol, SocketOptions, Stop, Stopping,
        Tls,
    },
    observe::Metrics,
    settings::{Settings, Stream, StreamTls, TcpListener},
    stream::{Options, StreamProxy, TcpSessions},
    sync::Authority,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::UdpSocket, runtime::Runtime};

/// How long a client may take for its PROXY header.
const PROXY_HEADER: Duration = Duration::from_secs(10);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What serves sessions, as long as it is held.
pub(super) struct Streams {
    stopping: Stopping,
    /// Its threads are those of the sessions; there as long as this is.
    runtime: Option<Runtime>,
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Whoever drops this may be a task, which must not wait.
            runtime.shutdown_background();
        }
    }
}

impl Streams {
    /// Accepts no more; sessions go on.
    pub(super) fn stop(&self) {
        self.stopping.give();
    }
}

/// Opens the listeners that the settings name; `None` when they name none. `tls` has the certificates for those that end TLS.
pub(super) fn open(
    settings: &Settings,
    authority: &Authority,
    metrics: &Arc<Metrics>,
    tls: Option<&Arc<dyn Tls>>,
) -> Result<Option<Streams>, Failure> {
    let stream = &settings.stream;
    if !stream.enabled() {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.worker_threads().get())
        .thread_name("crossway-stream")
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let (stopping, stop) = Stop::new();
    let proxy = StreamProxy::new(authority.current(), of_sessions(stream), metrics.clone());
    let edge = Edge::new(0, 0, Arc::new(CountedElsewhere));
    let inside = runtime.enter();
    for tcp in stream.tcp.iter() {
        let listener = listener(settings, tcp, &proxy, tls)?;
        let bound = Bound::open(listener.setting, &listener.address, &listener.socket, None)
            .map_err(Failure::new)?;
        tracing::info!(address = %tcp.address, tls = ?tcp.tls, "serving TCP");
        runtime.spawn(edge.clone().accept(bound, listener, stop.clone()));
    }
    for address in stream.udp.iter().flat_map(|udp| udp.iter()) {
        let socket = udp_socket(address)?;
        let server = socket.local_addr().map_err(Failure::new)?;
        let listener = proxy.listener(&address.to_string(), false);
        tracing::info!(%address, "serving UDP");
        let serving = proxy.clone();
        runtime.spawn(serving.serve_udp(socket, server, listener, stop.clone()));
    }
    drop(inside);
    Ok(Some(Streams {
        stopping,
        runtime: Some(runtime),
    }))
}

fn of_sessions(stream: &Stream) -> Options {
    Options {
        idle: stream.idle_timeout.0,
        udp_idle: stream.udp_idle_timeout.0,
        udp_sessions: stream.udp_sessions,
        hello: stream.hello_timeout.0,
        buffer: stream.buffer,
        proxy_protocol: stream.proxy_protocol_to_upstream,
    }
}

fn listener(
    settings: &Settings,
    tcp: &TcpListener,
    proxy: &Arc<StreamProxy>,
    tls: Option<&Arc<dyn Tls>>,
) -> Result<Listener, Failure> {
    let tls = match (tcp.tls, tls) {
        (StreamTls::Off | StreamTls::Passthrough, _) => None,
        (StreamTls::Terminate, Some(tls)) => Some(tls.clone()),
        (StreamTls::Terminate, None) => {
            let address = tcp.address;
            return Err(Failure(format!(
                "settings: stream.tcp: {address}: tls is not available yet"
            )));
        }
    };
    let counted = proxy.listener(&tcp.address.to_string(), true);
    let passthrough = tcp.tls == StreamTls::Passthrough;
    let sessions = TcpSessions::new(proxy.clone(), counted, passthrough);
    Ok(Listener {
        setting: "stream.tcp",
        address: Address::Tcp(tcp.address),
        socket: SocketOptions::default(),
        proxy_protocol: tcp.proxy_protocol.then(|| ProxyProtocol {
            trusted: settings.trusted_addresses.set().clone(),
            timeout: PROXY_HEADER,
        }),
        tls,
        handshake_timeout: HANDSHAKE,
        serve: Arc::new(sessions),
    })
}

fn udp_socket(address: SocketAddr) -> Result<UdpSocket, Failure> {
    let bound = std::net::UdpSocket::bind(address).and_then(|socket| {
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    });
    bound.map_err(|e| {
        Failure(format!(
            "settings: stream.udp: cannot listen on {address}: {e}"
        ))
    })
}

/// Sessions are counted by their listeners (`stream_active_connections`).
struct CountedElsewhere;

impl Census for CountedElsewhere {
    fn opened(&self) {}
    fn closed(&self) {}
}
