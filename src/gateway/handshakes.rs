//! Certificates for handshakes: those of the configuration that serves when a client says hello.

use crate::{acme::Pending, listener::Tls, snapshot::Current};
use rustls::{ServerConfig, server::ClientHello};
use std::sync::Arc;

/// Chooses by what serves now. A handshake under way ends with what it began with.
pub(super) struct Handshakes {
    pub(super) current: Arc<Current>,
    /// Proofs that certificate authorities ask for in handshakes of their own kind.
    pub(super) proofs: Option<Arc<Pending>>,
}

impl Tls for Handshakes {
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if let Some(proof) = self.proofs.as_ref().and_then(|p| p.config(hello)) {
            return Some(proof);
        }
        let snapshot = self.current.load();
        let site = snapshot.certificates.for_client(hello.server_name())?;
        Some(site.config().clone())
    }
}
