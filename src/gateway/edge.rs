//! The data plane's listeners: from settings to sockets that accept.

use super::{
    Failure,
    connections::Counted,
    sockets::{self, Sockets},
};
use crate::{
    listener::{
        Address, Bound, Census, Counters, Edge, Govern, Listener, Reason, Serve, SocketOptions,
        Stop, Tls,
    },
    observe::{
        Metrics,
        metrics::{Family, Kind},
    },
    settings::{Endpoint, Settings},
};
use std::sync::Arc;

/// The key of a setting, an address that it names, and who gives certificates there.
type Wanted = (&'static str, Address, Option<Arc<dyn Tls>>);

/// Binds all listeners of HTTP: a gateway that cannot have them all serves nobody. To be called inside the runtime that is to
/// serve.
pub(super) fn bind_all(
    settings: &Settings,
    http: Arc<dyn Serve>,
    tls: Option<Arc<dyn Tls>>,
    sockets: &Sockets,
) -> Result<Vec<(Bound, Listener)>, Failure> {
    let plain = |setting, address| (setting, address, None);
    let mut wanted: Vec<Wanted> = Vec::new();
    let listen = &settings.listen;
    wanted.extend(
        listen
            .http
            .iter()
            .map(|a| plain("listen.http", Address::Tcp(a))),
    );
    let unix = listen.unix.iter().cloned();
    wanted.extend(unix.map(|path| plain("listen.unix", Address::Unix(path))));
    if let Some(tls) = tls {
        let https = listen.https.iter().flat_map(|a| a.iter());
        wanted.extend(https.map(|a| ("listen.https", Address::Tcp(a), Some(tls.clone()))));
    }
    let mut bound = Vec::with_capacity(wanted.len());
    for (setting, address, tls) in wanted {
        let listener = Listener {
            setting,
            socket: socket_options(settings),
            proxy_protocol: has_proxy_protocol(settings, &address),
            tls,
            serve: http.clone(),
            address,
        };
        bound.push((bind(&listener, sockets)?, listener));
    }
    Ok(bound)
}

/// Accepts on them until `stop`.
pub(super) fn accept_all(bound: Vec<(Bound, Listener)>, edge: &Arc<Edge>, stop: &Stop) {
    for (bound, listener) in bound {
        tracing::info!(address = %listener.address, tls = listener.tls.is_some(), "serving HTTP");
        tokio::spawn(edge.clone().accept(bound, listener, stop.clone()));
    }
}

pub(super) fn bind(listener: &Listener, sockets: &Sockets) -> Result<Bound, Failure> {
    let label = match &listener.address {
        Address::Tcp(address) => sockets::tcp(*address),
        Address::Unix(path) => sockets::unix(path),
    };
    let inherited = sockets.take(&label);
    let bound = Bound::open(
        listener.setting,
        &listener.address,
        &listener.socket,
        inherited,
    )
    .map_err(Failure::new)?;
    sockets.keep(label, &bound)?;
    Ok(bound)
}

/// What all listeners share.
pub(super) fn edge(
    govern: Arc<dyn Govern>,
    metrics: &Metrics,
    counters: Arc<Counters>,
) -> Result<Arc<Edge>, Failure> {
    export(metrics, counters.clone()).map_err(Failure::new)?;
    let census: Arc<dyn Census> = Arc::new(Counted(metrics.traffic().clone()));
    Ok(Edge::new(govern, census, counters))
}

fn export(metrics: &Metrics, counters: Arc<Counters>) -> Result<(), prometheus::Error> {
    let family = Family {
        name: "edge_stopped_total",
        help: "Connections and requests that the edge ended, by reason",
        kind: Kind::Counter,
        labels: &["reason"],
    };
    metrics.export(family, move |samples| {
        for reason in Reason::ALL {
            samples.push(&[reason.as_str()], counters.get(*reason) as f64);
        }
    })
}

pub(super) fn socket_options(settings: &Settings) -> SocketOptions {
    let listen = &settings.listen;
    let keepalive = listen.tcp_keepalive.0;
    SocketOptions {
        backlog: listen.backlog,
        reuse_port: listen.reuse_port,
        keepalive: (!keepalive.is_zero()).then_some(keepalive),
        ..SocketOptions::default()
    }
}

/// Whether connections to this address begin with a PROXY protocol header.
fn has_proxy_protocol(settings: &Settings, address: &Address) -> bool {
    let is_this = |endpoint: &Endpoint| match (endpoint, address) {
        (Endpoint::Tcp(one), Address::Tcp(other)) => one == other,
        (Endpoint::Unix(one), Address::Unix(other)) => one == other,
        _ => false,
    };
    settings.listen.proxy_protocol.on.iter().any(is_this)
}
