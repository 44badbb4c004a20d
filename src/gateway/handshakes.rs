//! Certificates for handshakes: those of the configuration that serves when a client says hello.

use crate::{listener::Tls, snapshot::Current};
use rustls::{ServerConfig, server::ClientHello};
use std::sync::Arc;

/// Chooses by what serves now. A handshake under way ends with what it began with.
pub(super) struct Handshakes(pub(super) Arc<Current>);

impl Tls for Handshakes {
    fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let snapshot = self.0.load();
        let site = snapshot.certificates.for_client(hello.server_name())?;
        Some(site.config().clone())
    }
}
