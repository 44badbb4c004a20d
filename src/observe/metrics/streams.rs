//! What the listeners for TCP, TLS and UDP do, under the names of APISIX.

use super::{Family, Kind, Metrics};
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// All listeners for streams.
#[derive(Debug, Default)]
pub struct Streams(Mutex<Vec<Arc<StreamListener>>>);

/// Sessions of one listener, and their bytes.
#[derive(Debug)]
pub struct StreamListener {
    address: Arc<str>,
    /// Whether its sessions hold up the end of the process: connections do, datagrams do not.
    connections: bool,
    opened: AtomicU64,
    closed: AtomicU64,
    /// Bytes from clients.
    pub received: AtomicU64,
    /// Bytes to clients.
    pub sent: AtomicU64,
    /// Bytes from nodes.
    pub upstream_received: AtomicU64,
    /// Bytes to nodes.
    pub upstream_sent: AtomicU64,
    /// Datagrams that were dropped: no route, too many sessions, or faster than a session takes them.
    pub dropped: AtomicU64,
}

/// A session, as long as it is not dropped.
#[derive(Debug)]
pub struct OpenSession(Arc<StreamListener>);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Relaxed);
    }
}

impl Streams {
    /// A listener at this address (`0.0.0.0:9100`); `connections` says whether it is one for TCP.
    pub fn listener(&self, address: &str, connections: bool) -> Arc<StreamListener> {
        let listener = Arc::new(StreamListener {
            address: address.into(),
            connections,
            opened: AtomicU64::new(0),
            closed: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            upstream_received: AtomicU64::new(0),
            upstream_sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        });
        self.0.lock().push(listener.clone());
        listener
    }

    /// TCP sessions that are open.
    pub fn open_connections(&self) -> u64 {
        let listeners = self.0.lock();
        let tcp = listeners.iter().filter(|l| l.connections);
        tcp.map(|l| l.active()).sum()
    }

    fn each(&self, mut sample: impl FnMut(&StreamListener)) {
        for listener in &*self.0.lock() {
            sample(listener);
        }
    }
}

impl StreamListener {
    /// Where it listens, as configured.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// A session begins.
    pub fn open(self: &Arc<Self>) -> OpenSession {
        self.opened.fetch_add(1, Relaxed);
        OpenSession(self.clone())
    }

    /// Sessions that are open.
    pub fn active(&self) -> u64 {
        // The end before the beginning: what begins in between must not make the difference negative.
        let closed = self.closed.load(Relaxed);
        self.opened.load(Relaxed).saturating_sub(closed)
    }
}

impl Metrics {
    pub(super) fn export_streams(&self) -> Result<(), prometheus::Error> {
        let active = Family {
            name: "stream_active_connections",
            help: "Sessions of TCP, TLS and UDP that are open",
            kind: Kind::Gauge,
            labels: &["listen_addr"],
        };
        let streams = self.streams().clone();
        self.export(active, move |samples| {
            streams.each(|l| samples.push(&[&l.address], l.active() as f64));
        })?;
        let bandwidth = Family {
            name: "stream_bandwidth",
            help: "Bytes of sessions of TCP, TLS and UDP: ingress is what the gateway receives",
            kind: Kind::Counter,
            labels: &["listen_addr", "type", "side"],
        };
        let streams = self.streams().clone();
        self.export(bandwidth, move |samples| {
            streams.each(|l| {
                for (kind, side, bytes) in [
                    ("ingress", "downstream", &l.received),
                    ("egress", "downstream", &l.sent),
                    ("ingress", "upstream", &l.upstream_received),
                    ("egress", "upstream", &l.upstream_sent),
                ] {
                    samples.push(&[&l.address, kind, side], bytes.load(Relaxed) as f64);
                }
            });
        })?;
        let dropped = Family {
            name: "stream_datagrams_dropped_total",
            help: "UDP datagrams that were dropped",
            kind: Kind::Counter,
            labels: &["listen_addr"],
        };
        let streams = self.streams().clone();
        self.export(dropped, move |samples| {
            streams.each(|l| {
                if !l.connections {
                    samples.push(&[&l.address], l.dropped.load(Relaxed) as f64);
                }
            });
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_hold_up_the_end() {
        let streams = Streams::default();
        let tcp = streams.listener("127.0.0.1:1", true);
        let udp = streams.listener("127.0.0.1:1", false);
        let (one, _two, _other) = (tcp.open(), tcp.open(), udp.open());
        assert_eq!((streams.open_connections(), udp.active()), (2, 1));
        drop(one);
        assert_eq!(streams.open_connections(), 1);
    }
}
