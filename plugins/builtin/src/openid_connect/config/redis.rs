//! The Redis that keeps sessions.

use crate::redis::{Address, Endpoint, Kind, Secret, Server};
use crossway_sdk::build::{BuildCx, BuildError};
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// The Redis that keeps sessions.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Its address.
    #[schemars(length(min = 1))]
    host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    port: u16,
    /// User name, where access control lists are in use; heeded when there is a password.
    #[schemars(length(min = 1))]
    username: Option<String>,
    /// Password.
    password: Option<Secret>,
    /// Number of the database.
    database: u32,
    /// What keys begin with; the name of the cookie and that of the session follow, after `:` each.
    pub(crate) prefix: String,
    /// Whether to speak TLS.
    ssl: bool,
    /// Whether to verify the server's certificate against the system's authorities.
    ssl_verify: bool,
    /// Name that the certificate must have, and that the server is told; without it, `host`.
    #[schemars(length(min = 1))]
    server_name: Option<String>,
    /// Milliseconds that connecting may take.
    #[schemars(range(min = 1))]
    connect_timeout: u64,
    /// Milliseconds that sending may take. An answer has this time and `read_timeout` together.
    #[schemars(range(min = 1))]
    send_timeout: u64,
    /// Milliseconds that an answer may take.
    #[schemars(range(min = 1))]
    read_timeout: u64,
    /// Without effect: one connection carries all requests and stays open.
    #[schemars(range(min = 1))]
    keepalive_timeout: u64,
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            username: None,
            password: None,
            database: 0,
            prefix: "sessions".to_owned(),
            ssl: false,
            ssl_verify: true,
            server_name: None,
            connect_timeout: 1000,
            send_timeout: 1000,
            read_timeout: 1000,
            keepalive_timeout: 10_000,
        }
    }
}

impl Redis {
    /// # Errors
    /// It cannot be used at all. Nothing is connected.
    pub(crate) fn endpoint(&self, cx: &BuildCx<'_>) -> Result<Endpoint, BuildError> {
        if let Some(name) = &self.server_name
            && rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
        {
            let message = "expected a host name or an address";
            return Err(cx.error("/session/redis/server_name", message));
        }
        let password = self.password.as_ref().and_then(Secret::reveal);
        let answer = self.send_timeout.saturating_add(self.read_timeout);
        let endpoint = Endpoint {
            kind: Kind::Server(Server {
                address: Address {
                    host: self.host.clone(),
                    port: self.port,
                },
                tls: self.ssl.then_some(self.ssl_verify),
                server_name: self.server_name.clone(),
            }),
            username: self.username.clone().filter(|_| password.is_some()),
            password: password.map(str::to_owned),
            database: self.database,
            connect_timeout: Duration::from_millis(self.connect_timeout),
            read_timeout: Duration::from_millis(answer),
        };
        let unfit = |e| cx.error("/session/redis", e);
        endpoint.check().map_err(unfit)?;
        Ok(endpoint)
    }
}
