//! Who answers for names: the system's name servers, or those of the settings.

use async_trait::async_trait;
use hickory_resolver::{
    Resolver, ResolverBuilder, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// Answers for names.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a name and how long they hold.
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError>;
}

/// The addresses of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// In the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResolveError(String);

impl ResolveError {
    /// For this reason.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// `/etc/hosts` first, then name servers; IPv6 addresses only for names that have no others. Both files are read once.
pub struct SystemResolver(TokioResolver);

impl SystemResolver {
    /// With the name servers, the search list and the options of `/etc/resolv.conf`.
    pub fn from_system() -> Result<Self, ResolveError> {
        Self::build(TokioResolver::builder_tokio().map_err(error)?)
    }

    /// With these name servers, without a search list.
    pub fn with_servers(servers: &[SocketAddr]) -> Result<Self, ResolveError> {
        let server = |address: &SocketAddr| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        };
        let config = ResolverConfig::from_name_servers(servers.iter().map(server).collect());
        let provider = TokioRuntimeProvider::default();
        Self::build(Resolver::builder_with_config(config, provider))
    }

    fn build(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<Self, ResolveError> {
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        // When to ask again is decided here, not by the resolver: a name that is new must not stay unknown for long.
        options.negative_max_ttl = Some(Duration::from_secs(1));
        builder.build().map(Self).map_err(error)
    }
}

fn error(error: impl std::fmt::Display) -> ResolveError {
    ResolveError(error.to_string())
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        let found = self.0.lookup_ip(name).await.map_err(error)?;
        Ok(Answer {
            addresses: found.iter().collect(),
            ttl: found
                .valid_until()
                .saturating_duration_since(Instant::now()),
        })
    }
}
