//! What a name is served with: certificates, versions, the verification of clients; ready for handshakes.

use super::{
    ClientVerification, Environment, Pair, Staples, Unfit,
    environment::{Resumption, supported},
    staples::Stapled,
};
use rustls::{
    ServerConfig, SignatureAlgorithm,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// A version of TLS that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// What a name is to be served with.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Certificates with their keys, at least one; the client's abilities decide between them.
    pub pairs: Vec<Pair>,
    /// What is asked of clients; `None`: nothing.
    pub client: Option<ClientSpec>,
    /// Versions; empty for those of the settings.
    pub protocols: Vec<Version>,
}

/// What is asked of clients' certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientSpec {
    /// The authorities that may have issued them, in PEM.
    pub ca: String,
    /// How many intermediate certificates may stand between. More than six are never accepted.
    pub depth: u32,
    /// Paths that need no certificate: regular expressions.
    pub skip: Vec<String>,
}

/// Why a name cannot be served so.
#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    /// What is asked of clients cannot be used.
    #[error(transparent)]
    Client(#[from] Unfit),
    /// rustls does not take it.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
}

/// What one or more names are served with.
#[derive(Debug)]
pub struct Site {
    config: Arc<ServerConfig>,
    client: Option<Verifying>,
}

#[derive(Clone, Debug)]
struct Verifying {
    spec: ClientSpec,
    verification: Arc<ClientVerification>,
    resumption: Resumption,
}

impl Site {
    /// Prepares everything that a handshake needs. From `previous`, which served the same names before, it takes over the
    /// sessions of verified clients, when the same is asked of them.
    ///
    /// # Errors
    /// See [`SiteError`].
    pub fn new(
        spec: Spec,
        previous: Option<&Self>,
        environment: &Environment,
    ) -> Result<Self, SiteError> {
        let client = match spec.client {
            None => None,
            Some(wanted) => Some(Verifying::new(wanted, previous, environment)?),
        };
        let versions = match spec.protocols.is_empty() {
            true => supported(&environment.options.protocols),
            false => supported(&spec.protocols),
        };
        let builder = ServerConfig::builder_with_provider(environment.provider.clone())
            .with_protocol_versions(&versions)?;
        let builder = match &client {
            Some(client) => builder.with_client_cert_verifier(client.verification.clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Keys::new(spec.pairs, environment)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let resumption = client.as_ref().map_or(&environment.open, |c| &c.resumption);
        config.session_storage = resumption.sessions.clone();
        if let Some(tickets) = &resumption.tickets {
            config.ticketer = tickets.clone();
        }
        Ok(Self {
            config: Arc::new(config),
            client,
        })
    }

    /// For a handshake.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// What requests have to be judged by; `None`: clients need no certificate.
    pub fn client(&self) -> Option<&Arc<ClientVerification>> {
        self.client.as_ref().map(|c| &c.verification)
    }
}

impl Verifying {
    fn new(
        spec: ClientSpec,
        previous: Option<&Site>,
        environment: &Environment,
    ) -> Result<Self, SiteError> {
        let same = previous
            .and_then(|p| p.client.as_ref())
            .filter(|p| p.spec == spec);
        if let Some(same) = same {
            return Ok(same.clone());
        }
        Ok(Self {
            verification: Arc::new(ClientVerification::new(&spec, &environment.provider)?),
            resumption: environment.resumption()?,
            spec,
        })
    }
}

/// The certificates of a name; each handshake gets the first that its client can verify.
#[derive(Debug)]
struct Keys {
    keys: Box<[Stapled]>,
    staples: Arc<Staples>,
}

impl Keys {
    fn new(mut pairs: Vec<Pair>, environment: &Environment) -> Self {
        // Elliptic curves sign faster than RSA does; otherwise the order of the configuration holds.
        pairs.sort_by_key(|pair| pair.0.key.algorithm() == SignatureAlgorithm::RSA);
        Self {
            keys: pairs.into_iter().map(|p| Stapled::new(p.0)).collect(),
            staples: environment.staples.clone(),
        }
    }
}

impl ResolvesServerCert for Keys {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Stapled| {
            let key = &key.plain().key;
            key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let key = self.keys.iter().find(fits)?;
        Some(key.current(&self.staples))
    }
}
