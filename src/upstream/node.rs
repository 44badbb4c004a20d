//! A live node: where it is, how it is, what it is busy with.

use super::{
    Environment,
    health::{Counters, Health, HealthState, Observation},
    names::Name,
    peer,
    place::{self, BadSocket, Place},
    spec::{NodeSpec, Spec},
};
use crossway_sdk::balance::Load;
use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;
use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

/// A node of an upstream. Load and health are shared with the same node of the configurations before and after.
pub struct Node {
    spec: Arc<Spec>,
    config: NodeSpec,
    address: Address,
    host_header: HeaderValue,
    pub(super) load: Arc<Load>,
    pub(super) state: Arc<HealthState>,
    /// Made at the first use: many nodes of a large configuration never see a request.
    peer: OnceLock<Box<HttpPeer>>,
}

enum Address {
    Fixed(Place),
    Named(Arc<Name>),
}

/// Why a node cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNode {
    /// Its host is none.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// Its Unix socket is none, or not for the gateway.
    #[error(transparent)]
    Socket(#[from] BadSocket),
}

/// The host that a node on a Unix socket goes by, as in nginx.
const LOCALHOST: &str = "localhost";

impl Node {
    pub(super) fn new(
        spec: Arc<Spec>,
        config: NodeSpec,
        environment: &Environment,
        load: Arc<Load>,
        state: Arc<HealthState>,
    ) -> Result<Self, BadNode> {
        let bad = || BadNode::Host(config.host.to_string());
        let host = peer::bare(&config.host);
        let socket = place::unix_socket(host, &environment.unix_sockets).transpose()?;
        let is_socket = socket.is_some();
        let address = match (socket, host.parse::<IpAddr>()) {
            (Some(socket), _) => Address::Fixed(socket),
            (None, Ok(ip)) => Address::Fixed(Place::Inet(SocketAddr::new(ip, config.port))),
            // What TLS can ask for, less the colon of an address, is what a name may consist of.
            (None, Err(_)) if peer::name_of(host) == Some(host) => {
                Address::Named(environment.names.get(host))
            }
            (None, Err(_)) => return Err(bad()),
        };
        let shown = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let host_header = match Some(config.port) == spec.scheme.default_port() {
            _ if is_socket => Ok(HeaderValue::from_static(LOCALHOST)),
            true => HeaderValue::try_from(shown),
            false => HeaderValue::try_from(format!("{shown}:{}", config.port)),
        };
        let host_header = host_header.map_err(|_| bad())?;
        Ok(Self {
            spec,
            config,
            address,
            host_header,
            load,
            state,
            peer: OnceLock::new(),
        })
    }

    /// Name or address as configured.
    pub fn host(&self) -> &Arc<str> {
        &self.config.host
    }

    /// Port.
    pub fn port(&self) -> u16 {
        self.config.port
    }

    /// Weight.
    pub fn weight(&self) -> u32 {
        self.config.weight
    }

    /// Priority; higher ones go first.
    pub fn priority(&self) -> i32 {
        self.config.priority
    }

    /// Whether it is given by name.
    pub fn has_name(&self) -> bool {
        matches!(self.address, Address::Named(_))
    }

    /// Requests that are under way there.
    pub fn inflight(&self) -> u32 {
        self.load.inflight()
    }

    /// `Host` for `pass_host: node`: the node's own host, with its port unless that is the scheme's default.
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// Where it is. Of several addresses of a name each comes in its turn; `None` as long as the name is not resolved.
    pub fn address(&self) -> Option<Place> {
        match &self.address {
            Address::Fixed(place) => Some(place.clone()),
            Address::Named(name) => {
                let address = SocketAddr::new(name.next()?, self.config.port);
                Some(Place::Inet(address))
            }
        }
    }

    /// Where to probe it: [`Node::address`] with turns of its own.
    pub(super) fn address_to_probe(&self) -> Option<Place> {
        match &self.address {
            Address::Fixed(place) => Some(place.clone()),
            Address::Named(name) => {
                let address = SocketAddr::new(name.next_to_probe()?, self.config.port);
                Some(Place::Inet(address))
            }
        }
    }

    /// The host to name to it where nothing else says one.
    pub(super) fn host_to_name(&self) -> &str {
        match &self.address {
            Address::Fixed(Place::Unix(_)) => LOCALHOST,
            _ => &self.config.host,
        }
    }

    /// Whether requests can be sent there as far as its address goes.
    pub fn has_address(&self) -> bool {
        match &self.address {
            Address::Fixed(_) => true,
            Address::Named(name) => name.is_resolved(),
        }
    }

    pub(super) fn name(&self) -> Option<&Arc<Name>> {
        match &self.address {
            Address::Fixed(_) => None,
            Address::Named(name) => Some(name),
        }
    }

    /// All IP addresses, without taking turns; empty as long as a name is not resolved, and for a Unix socket.
    pub fn addresses(&self) -> Vec<IpAddr> {
        match &self.address {
            Address::Fixed(place) => place.inet().map(|a| a.ip()).into_iter().collect(),
            Address::Named(name) => name.all(),
        }
    }

    /// What to connect to: a copy of a peer that is made once. `address` is one that [`Node::address`] gave.
    /// `client_host` is the `Host` that the node will get when the upstream passes the client's; it is the name to ask
    /// for in TLS then.
    pub fn peer(&self, address: &Place, client_host: Option<&str>) -> Box<HttpPeer> {
        let template = self
            .peer
            .get_or_init(|| Box::new(peer::template(&self.spec, &self.config.host, address)));
        let mut peer = template.clone();
        if self.has_name() {
            peer._address = address.for_pingora();
        }
        if peer::follows_client(&self.spec)
            && let Some(name) = client_host.and_then(peer::name_of)
        {
            name.clone_into(&mut peer.sni);
        }
        peer
    }

    /// How it is.
    pub fn health(&self) -> Health {
        self.state.health()
    }

    /// How it is, and the observations that count.
    pub fn health_and_counters(&self) -> (Health, Counters) {
        self.state.get()
    }

    /// Traffic got this status. Counts only when the upstream has passive checks.
    pub fn report_http(&self, status: u16) {
        let Some(passive) = self.spec.checks.as_ref().and_then(|c| c.passive.as_ref()) else {
            return;
        };
        if passive.healthy_statuses.contains(status) {
            self.observe(
                Observation::Success,
                passive.successes,
                &format_args!("status {status}"),
            );
        } else if passive.unhealthy_statuses.contains(status) {
            let limit = passive.http_failures;
            self.observe(
                Observation::HttpFailure,
                limit,
                &format_args!("status {status}"),
            );
        }
    }

    /// Traffic got no connection, or a broken one. Counts only when the upstream has checks.
    pub fn report_tcp_failure(&self) {
        if let Some(checks) = &self.spec.checks {
            let (_, limit) = checks.passive_failures();
            self.observe(Observation::TcpFailure, limit, &"connection failed");
        }
    }

    /// Traffic got no answer in time. Counts only when the upstream has checks.
    pub fn report_timeout(&self) {
        if let Some(checks) = &self.spec.checks {
            let (limit, _) = checks.passive_failures();
            self.observe(Observation::Timeout, limit, &"timed out");
        }
    }

    pub(super) fn observe(&self, what: Observation, limit: u8, why: &dyn fmt::Display) {
        let Some(change) = self.state.observe(what, limit) else {
            return;
        };
        let NodeSpec { host, port, .. } = &self.config;
        let (upstream, from, to) = (&self.spec.key, change.from, change.to);
        // A node that goes in or out of use is news; the states between are detail.
        if from.is_usable() == to.is_usable() {
            tracing::debug!(%upstream, node = %host, port, %from, %to, %why, "node health");
        } else if to.is_usable() {
            tracing::info!(%upstream, node = %host, port, %from, %to, %why, "node in use again");
        } else {
            tracing::warn!(%upstream, node = %host, port, %from, %to, %why, "node out of use");
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("config", &self.config)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
