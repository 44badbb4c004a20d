//! What all names share: cryptography, the versions and the resumption that hold where nothing else is said.

use super::{Staples, Version};
use rustls::{
    SupportedProtocolVersion,
    crypto::{CryptoProvider, ring},
    server::{
        NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    },
};
use std::{fmt, sync::Arc};

/// What the settings say of TLS.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name taken for clients that send none.
    pub fallback_sni: Option<Box<str>>,
    /// Versions, for names that say nothing of them.
    pub protocols: Vec<Version>,
    /// Whether sessions are resumed by tickets, which clients keep.
    pub session_tickets: bool,
    /// How many sessions are remembered for clients without tickets; 0 for none.
    pub session_cache: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fallback_sni: None,
            protocols: vec![Version::Tls12, Version::Tls13],
            session_tickets: true,
            session_cache: 4096,
        }
    }
}

/// What all names share. There is one for the gateway.
#[derive(Debug)]
pub struct Environment {
    pub(super) options: Options,
    pub(super) provider: Arc<CryptoProvider>,
    /// For names that ask for no client certificate. A session knows its name, and is resumed for no other.
    pub(super) open: Resumption,
    /// OCSP responses to staple.
    pub staples: Arc<Staples>,
}

impl Environment {
    /// # Errors
    /// The system gives no random numbers for the keys of tickets.
    pub fn new(options: Options, staples: Arc<Staples>) -> Result<Self, rustls::Error> {
        Ok(Self {
            open: Resumption::new(&options, options.session_cache)?,
            provider: Arc::new(ring::default_provider()),
            options,
            staples,
        })
    }

    /// Resumption of its own, for a name that verifies clients: a session that another name began must never pass for
    /// one of a verified client.
    pub(super) fn resumption(&self) -> Result<Resumption, rustls::Error> {
        Resumption::new(&self.options, self.options.session_cache.min(1024))
    }
}

/// How sessions are resumed. Keys of tickets are made at random, replaced every six hours and forgotten after twelve.
#[derive(Clone)]
pub(super) struct Resumption {
    pub(super) tickets: Option<Arc<dyn ProducesTickets>>,
    pub(super) sessions: Arc<dyn StoresServerSessions>,
}

impl Resumption {
    fn new(options: &Options, remembered: usize) -> Result<Self, rustls::Error> {
        Ok(Self {
            tickets: options
                .session_tickets
                .then(ring::Ticketer::new)
                .transpose()?,
            sessions: match remembered {
                0 => Arc::new(NoServerSessionStorage {}),
                count => ServerSessionMemoryCache::new(count),
            },
        })
    }
}

impl fmt::Debug for Resumption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resumption")
            .field("tickets", &self.tickets.is_some())
            .finish_non_exhaustive()
    }
}

/// The versions as rustls takes them.
pub(super) fn supported(versions: &[Version]) -> Vec<&'static SupportedProtocolVersion> {
    let version = |version: &Version| match version {
        Version::Tls12 => &rustls::version::TLS12,
        Version::Tls13 => &rustls::version::TLS13,
    };
    versions.iter().map(version).collect()
}
