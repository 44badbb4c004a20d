//! The listeners for TCP, TLS and UDP.

use super::{
    Failure, edge,
    sockets::{self, Sockets},
};
use crate::{
    listener::{Address, Bound, Edge, Listener, Stop, Tls},
    observe::Metrics,
    settings::{Settings, StreamTls, TcpListener},
    snapshot::Current,
    stream::{StreamProxy, TcpSessions},
};
use rustls::{ServerConfig, server::ClientHello};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::UdpSocket;

/// The listeners that the settings name, bound and not served yet.
pub(super) struct Streams {
    proxy: Arc<StreamProxy>,
    tcp: Vec<(Bound, Listener)>,
    udp: Vec<(SocketAddr, UdpSocket)>,
}

/// Binds the listeners that the settings name. To be called inside the runtime that is to serve.
pub(super) fn bind(
    settings: &Settings,
    current: Arc<Current>,
    metrics: &Arc<Metrics>,
    sockets: &Sockets,
) -> Result<Streams, Failure> {
    let stream = &settings.stream;
    let tls: Arc<dyn Tls> = Arc::new(AnyProtocol(current.clone()));
    let proxy = StreamProxy::new(current, metrics.clone());
    let mut tcp = Vec::new();
    for one in stream.tcp.iter() {
        let listener = listener(settings, one, &proxy, &tls);
        tcp.push((edge::bind(&listener, sockets)?, listener));
    }
    let mut udp = Vec::new();
    for address in stream.udp.iter().flat_map(|udp| udp.iter()) {
        udp.push((address, udp_socket(address, sockets)?));
    }
    Ok(Streams { proxy, tcp, udp })
}

impl Streams {
    /// Serves on them until `stop`. To be called inside the runtime that is to serve.
    pub(super) fn serve(self, edge: &Arc<Edge>, stop: &Stop) -> Result<(), Failure> {
        for (bound, listener) in self.tcp {
            tracing::info!(address = %listener.address, tls = listener.tls.is_some(), "serving TCP");
            tokio::spawn(edge.clone().accept(bound, listener, stop.clone()));
        }
        for (address, socket) in self.udp {
            let server = socket.local_addr().map_err(Failure::new)?;
            let listener = self.proxy.listener(&address.to_string(), false);
            tracing::info!(%address, "serving UDP");
            let serving = self.proxy.clone();
            tokio::spawn(serving.serve_udp(socket, server, listener, stop.clone()));
        }
        Ok(())
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
    Listener {
        setting: "stream.tcp",
        address: Address::Tcp(tcp.address),
        socket: edge::socket_options(settings),
        proxy_protocol: tcp.proxy_protocol,
        tls: (tcp.tls == StreamTls::Terminate).then(|| tls.clone()),
        serve: Arc::new(TcpSessions::new(proxy.clone(), counted, passthrough)),
    }
}

fn udp_socket(address: SocketAddr, sockets: &Sockets) -> Result<UdpSocket, Failure> {
    let label = sockets::udp(address);
    let opened = match sockets.take(&label) {
        Some(inherited) => Ok(inherited.into()),
        None => std::net::UdpSocket::bind(address),
    };
    let bound = opened.and_then(|socket: std::net::UdpSocket| {
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    });
    let bound = bound.map_err(|e| {
        Failure(format!(
            "settings: stream.udp: cannot listen on {address}: {e}"
        ))
    })?;
    sockets.keep(label, &bound)?;
    Ok(bound)
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
