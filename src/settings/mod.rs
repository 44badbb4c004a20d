//! `conf/crossway.yaml`, typed: every key is documented where it is declared, and what cannot be understood is refused.
//!
//! Precedence: environment, file, default. Nothing here opens a socket or starts anything.

mod acme;
mod admin_key;
mod check;
mod encryption;
mod endpoints;
mod environment;
mod error;
mod keys;
mod limits;
mod listen;
mod logging;
mod reference;
mod secrets;
mod store;
mod stream;
mod tls;
mod traffic;
mod value;
mod yaml;

pub use acme::{Acme, AcmeCertificate, AcmeChallenge, ExternalAccount};
pub use admin_key::{AdminKeyError, KeyOrigin, admin_keys};
pub use encryption::DataEncryption;
pub use endpoints::{Admin, AdminKey, Control, Metrics, Role};
pub use environment::process as environment;
pub use error::SettingsError;
pub use limits::{Http2, Limits};
pub use listen::{Listen, ProxyProtocol};
pub use logging::{AccessLog, Log, LogFormat, LogLevel};
pub use secrets::Secrets;
pub use store::{Store, StoreKind};
pub use stream::{Stream, StreamTls, TcpListener, TcpListeners};
pub use tls::{Tls, TlsProtocol};
pub use traffic::{Dns, Router, RouterMode, Shutdown, Upstream};
pub use value::{
    Address, Addresses, Endpoint, HeaderText, LogTarget, NameServers, Networks, Seconds, Secret,
};

use http::HeaderValue;
use keys::{Key, Misfit};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{collections::BTreeMap, num::NonZero, path::Path, path::PathBuf, thread};

/// All settings.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where clients connect.
    pub listen: Listen,
    /// Where TCP, TLS and UDP sessions come in.
    pub stream: Stream,
    /// The Admin API.
    pub admin: Admin,
    /// The control API: status, health, explanations.
    pub control: Control,
    /// The endpoint that Prometheus scrapes.
    pub metrics: Metrics,
    /// The directory for all that the gateway writes: the embedded store, the generated admin key. Made with mode 0700 when it
    /// is missing. A relative path starts at the working directory; packages and images use /var/lib/crossway.
    pub data_dir: PathBuf,
    /// Where routes, services, upstreams, … are kept.
    pub store: Store,
    /// Threads that serve requests; 0 for as many as there are cores.
    #[schemars(range(max = 1024))]
    pub threads: usize,
    /// How the gateway stops.
    pub shutdown: Shutdown,
    /// TLS towards clients. The certificates themselves are resources: `ssls`.
    pub tls: Tls,
    /// Automatic certificates by ACME (RFC 8555). They are ordered, renewed ahead of their end, and kept in the store as `ssls`.
    /// The store must be one that the gateway writes: `embedded` or `memory`.
    pub acme: Acme,
    /// How a request finds its route.
    pub router: Router,
    /// Connections to upstreams.
    pub upstream: Upstream,
    /// IP addresses and networks whose `X-Forwarded-*` and `X-Real-IP` headers are believed. From everybody else they are
    /// replaced.
    pub trusted_addresses: Networks,
    /// The `Server` header of responses. It replaces the upstream's.
    pub server_header: HeaderText,
    /// Whether the `Server` header carries the version: when `false`, what follows the first `/` is cut off, the `/` too.
    pub server_tokens: bool,
    /// Whether every response carries `X-APISIX-Upstream-Status`. When `false`, only those do that the upstream answered with
    /// 5xx.
    pub show_upstream_status_in_response_header: bool,
    /// Values that configurations refer to by `$secret://`: how long they count.
    pub secrets: Secrets,
    /// Encryption of secret fields where documents are stored.
    pub data_encryption: DataEncryption,
    /// What clients may not exceed.
    pub limits: Limits,
    /// One line for each request.
    pub access_log: AccessLog,
    /// What the gateway says of itself, on standard error.
    pub log: Log,
    /// The names of the plugins that may be used. Without it: all that are built in.
    pub plugins: Option<Vec<String>>,
    /// Settings of plugins, by plugin. What they mean stands with each plugin.
    pub plugin_attr: BTreeMap<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            stream: Stream::default(),
            admin: Admin::default(),
            control: Control::default(),
            metrics: Metrics::default(),
            data_dir: "data".into(),
            store: Store::default(),
            threads: 0,
            shutdown: Shutdown::default(),
            tls: Tls::default(),
            acme: Acme::default(),
            router: Router::default(),
            upstream: Upstream::default(),
            trusted_addresses: Networks::default(),
            server_header: HeaderText::from_static(concat!("Crossway/", env!("CARGO_PKG_VERSION"))),
            server_tokens: true,
            show_upstream_status_in_response_header: false,
            secrets: Secrets::default(),
            data_encryption: DataEncryption::default(),
            limits: Limits::default(),
            access_log: AccessLog::default(),
            log: Log::default(),
            plugins: None,
            plugin_attr: BTreeMap::new(),
        }
    }
}

impl Settings {
    /// Reads the file, lays the environment over it and judges the result. Without a file: environment and defaults.
    ///
    /// # Errors
    /// The first problem, with the key and with the file or the variable that it came from.
    pub fn load(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let (text, origin) = match path {
            None => (String::new(), "the defaults".to_owned()),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => (text, path.display().to_string()),
                Err(source) => {
                    return Err(SettingsError::Read {
                        path: path.to_owned(),
                        source,
                    });
                }
            },
        };
        Self::parse(&text, origin, env)
    }

    fn parse(
        text: &str,
        file: String,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let schema = Self::schema();
        let keys = Key::tree(&schema);
        let document = yaml::parse(text).map_err(|message| SettingsError::Syntax {
            origin: file.clone(),
            message,
        })?;
        let mut document = match document {
            Value::Null => Value::Object(Map::new()),
            document => document,
        };
        keys::fit(&mut document, &keys, "").map_err(|misfit| misfit.in_origin(file.clone()))?;
        let mut from = Vec::new();
        if let Value::Object(map) = &mut document {
            from = environment::overlay(map, &keys, env)?;
        }
        let origin = |key: &str| {
            let variable = from.iter().find(|(path, _)| {
                key.strip_prefix(path.as_str())
                    .is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
            });
            variable.map_or_else(|| file.clone(), |(_, variable)| variable.clone())
        };
        // Once more: a variable may hold a list of objects.
        keys::fit(&mut document, &keys, "").map_err(|misfit| {
            let origin = origin(misfit.key());
            misfit.in_origin(origin)
        })?;
        check::typed(&schema, document).map_err(|(key, message)| SettingsError::Value {
            origin: origin(&key),
            key,
            message,
        })
    }

    /// The JSON Schema of the settings file, in draft-07, without references.
    pub fn schema() -> Value {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        settings
            .into_generator()
            .into_root_schema_for::<Self>()
            .to_value()
    }

    /// The reference of all keys and variables, in Markdown.
    pub fn reference() -> String {
        reference::write(&Key::tree(&Self::schema()))
    }

    /// How many threads serve requests.
    pub fn worker_threads(&self) -> NonZero<usize> {
        NonZero::new(self.threads)
            .or_else(|| thread::available_parallelism().ok())
            .unwrap_or(NonZero::<usize>::MIN)
    }

    /// The `Server` header of responses, as `server_header` and `server_tokens` have it.
    pub fn server(&self) -> HeaderValue {
        let whole = self.server_header.value();
        if self.server_tokens {
            return whole.clone();
        }
        let product = whole
            .as_bytes()
            .split(|byte| *byte == b'/')
            .next()
            .unwrap_or_default();
        HeaderValue::from_bytes(product).unwrap_or_else(|_| whole.clone())
    }
}

impl Misfit {
    fn key(&self) -> &str {
        match self {
            Self::Unknown { key, .. } | Self::NoSection { key, .. } | Self::NoList { key } => key,
        }
    }

    fn in_origin(self, origin: String) -> SettingsError {
        match self {
            Self::Unknown { key, expected } => SettingsError::UnknownKey {
                key,
                origin,
                expected,
            },
            Self::NoList { key } => SettingsError::Value {
                key,
                origin,
                message: "expected a list".to_owned(),
            },
            Self::NoSection { key, expected } => SettingsError::Value {
                key: if key.is_empty() {
                    "the document".to_owned()
                } else {
                    key
                },
                origin,
                message: format!("expected keys and values: {}", expected.join(", ")),
            },
        }
    }
}

#[cfg(test)]
mod tests;
