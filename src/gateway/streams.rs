//! The listeners for TCP, TLS and UDP.

use super::{Failure, edge};
use crate::{
    listener::{Address, Edge, Listener, ProxyProtocol, Stop, Tls},
    observe::Metrics,
    settings::{Settings, Stream, StreamTls, TcpListener},
    snapshot::Current,
    stream::{Options, StreamProxy, TcpSessions},
};
use rustls::{ServerConfig, server::ClientHello};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::UdpSocket;

/// Opens the listeners that the settings name, and serves on them until `stop`. To be called inside the runtime that is to
/// serve.
pub(super) fn open(
    settings: &Settings,
    current: Arc<Current>,
    metrics: &Arc<Metrics>,
    edge: &Arc<Edge>,
    stop: &Stop,
) -> Result<(), Failure> {
    let stream = &settings.stream;
    let tls: Arc<dyn Tls> = Arc::new(AnyProtocol(current.clone()));
    let proxy = StreamProxy::new(current, of_sessions(stream), metrics.clone());
    for tcp in stream.tcp.iter() {
        let listener = listener(settings, tcp, &proxy, &tls);
        let bound = edge::bind(&listener).map_err(Failure::new)?;
        tracing::info!(address = %tcp.address, tls = ?tcp.tls, "serving TCP");
        tokio::spawn(edge.clone().accept(bound, listener, stop.clone()));
    }
    for address in stream.udp.iter().flat_map(|udp| udp.iter()) {
        let socket = udp_socket(address)?;
        let server = socket.local_addr().map_err(Failure::new)?;
        let listener = proxy.listener(&address.to_string(), false);
        tracing::info!(%address, "serving UDP");
        let serving = proxy.clone();
        tokio::spawn(serving.serve_udp(socket, server, listener, stop.clone()));
    }
    Ok(())
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
    tls: &Arc<dyn Tls>,
) -> Listener {
    let counted = proxy.listener(&tcp.address.to_string(), true);
    let passthrough = tcp.tls == StreamTls::Passthrough;
    let protocol = &settings.listen.proxy_protocol;
    Listener {
        setting: "stream.tcp",
        address: Address::Tcp(tcp.address),
        socket: edge::socket_options(settings),
        proxy_protocol: tcp.proxy_protocol.then(|| ProxyProtocol {
            trusted: protocol.trusted.set().clone(),
            timeout: protocol.timeout.0,
        }),
        tls: (tcp.tls == StreamTls::Terminate).then(|| tls.clone()),
        handshake_timeout: settings.limits.tls_handshake_timeout.0,
        serve: Arc::new(TcpSessions::new(proxy.clone(), counted, passthrough)),
    }
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

/// The certificates of the configuration that serves, for protocols that the gateway does not know: none is negotiated
/// (ALPN), as none of those of HTTP may be meant.
struct AnyProtocol(Arc<Current>);

impl Tls for AnyProtocol {
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let snapshot = self.0.load();
        let site = snapshot.certificates.for_client(hello.server_name())?;
        // What weighs in it is shared.
        let mut config = ServerConfig::clone(site.config());
        config.alpn_protocols.clear();
        Some(Arc::new(config))
    }
}
