//! TLS to the nodes of stream routes. For HTTP Pingora has its own, made from the same [`Tls`].

use super::{Environment, peer, spec::Tls};
use crossway_sdk::tls::{AnyCertificate, system_roots};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use std::sync::Arc;

/// TLS to nodes cannot be as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tls: {0}")]
pub struct BadTls(String);

/// The authorities in a file, else those of the system. What cannot be read is left out and logged.
pub(super) fn authorities(file: Option<&str>) -> RootCertStore {
    let Some(file) = file else {
        return system_roots().clone();
    };
    let mut roots = RootCertStore::empty();
    match CertificateDer::pem_file_iter(file) {
        Ok(found) => {
            let (_, left_out) = roots.add_parsable_certificates(found.map_while(Result::ok));
            if left_out > 0 {
                tracing::warn!(file, left_out, "some authorities of nodes cannot be used");
            }
        }
        Err(error) => tracing::error!(file, %error, "the authorities of nodes cannot be read"),
    }
    roots
}

/// A client that trusts and shows what `tls` says.
pub(super) fn client(tls: &Tls, environment: &Environment) -> Result<Arc<ClientConfig>, BadTls> {
    let bad = |e: rustls::Error| BadTls(e.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(bad)?;
    let builder = match (tls.verify, &tls.ca) {
        (false, _) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate::new(provider))),
        (true, None) => builder.with_root_certificates(environment.authorities()),
        (true, Some(authorities)) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities.iter() {
                let der = CertificateDer::from(authority.borrow_raw_cert().to_vec());
                roots.add(der).map_err(bad)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let config = match &tls.client_cert {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let certs = std::iter::once(pair.leaf()).chain(pair.intermediates());
            let chain = certs.map(|c| CertificateDer::from(c.borrow_raw_cert().to_vec()));
            let key = PrivateKeyDer::try_from(pair.key().to_vec())
                .map_err(|e| BadTls(format!("client_key: {e}")))?;
            builder
                .with_client_auth_cert(chain.collect(), key)
                .map_err(bad)?
        }
    };
    Ok(Arc::new(config))
}

/// The name to ask a node for: the one that the client asked for, else the node's own host. An address is verified, but
/// not sent. `None` when the host can be neither.
pub fn server_name(client: Option<&str>, host: &str) -> Option<ServerName<'static>> {
    let of = |name: &str| ServerName::try_from(name.to_owned()).ok();
    client.and_then(of).or_else(|| of(peer::bare(host)))
}

#[cfg(test)]
mod tests {
    use super::server_name;

    #[test]
    fn the_clients_name_goes_before_the_nodes() {
        let name = |client, host| server_name(client, host).map(|n| n.to_str().into_owned());
        assert_eq!(name(Some("a.test"), "node.test").as_deref(), Some("a.test"));
        assert_eq!(name(None, "node.test").as_deref(), Some("node.test"));
        assert_eq!(name(None, "[::1]").as_deref(), Some("::1"));
        assert_eq!(name(None, "no name"), None);
    }
}
