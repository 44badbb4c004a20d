//! What all upstreams share: balancers, names, and where their tasks run.

use super::{
    balance::Balancers,
    health::ProbeConnector,
    names::{Lifetimes, Names, Resolve},
    tls,
};
use rustls::RootCertStore;
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};
use tokio::runtime::Handle;

/// What all upstreams share. There is one for the gateway.
pub struct Environment {
    /// Balancers by name.
    pub balancers: Balancers,
    /// Names that are being resolved.
    pub names: Arc<Names>,
    /// Where probes and name resolution run.
    pub runtime: Handle,
    /// Whether `checks` are heeded; else all nodes are taken for healthy.
    pub checks_enabled: bool,
    /// Directories that Unix sockets of nodes may be in, and below.
    pub unix_sockets: Vec<PathBuf>,
    pub(super) connector: Arc<ProbeConnector>,
    ca_file: Option<String>,
    authorities: OnceLock<Arc<RootCertStore>>,
}

impl Environment {
    /// With the built-in balancers. `ca_file` holds the authorities that certificates of nodes are verified by when
    /// probed, and those of nodes of stream routes in any case, in PEM; `None`: those of the system.
    pub fn new(runtime: Handle, resolver: Arc<dyn Resolve>, ca_file: Option<String>) -> Self {
        Self {
            balancers: Balancers::builtin(),
            names: Names::new(resolver, Lifetimes::default()),
            runtime,
            checks_enabled: true,
            unix_sockets: Vec::new(),
            connector: Arc::new(ProbeConnector::new(ca_file.clone())),
            ca_file,
            authorities: OnceLock::new(),
        }
    }

    /// The authorities for upstreams that name none, read when the first one needs them. Without any, nobody is trusted.
    pub(super) fn authorities(&self) -> Arc<RootCertStore> {
        let read = || Arc::new(tls::authorities(self.ca_file.as_deref()));
        self.authorities.get_or_init(read).clone()
    }
}
