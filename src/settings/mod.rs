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
mod paths;
mod places;
mod reference;
mod secrets;
mod store;
mod stream;
mod tls;
mod traffic;
mod value;
mod written;
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
pub use paths::{DotSegments, DoubleSlash, ForwardedPath, PathPolicy, Paths};
pub use secrets::Secrets;
pub use store::{Store, StoreKind};
pub use stream::{Stream, StreamTls, TcpListener, TcpListeners};
pub use tls::{Tls, TlsProtocol};
pub use traffic::{Dns, Router, RouterMode, Shutdown, Upstream, UpstreamLimits};
pub use value::{
    Address, Addresses, Endpoint, HeaderText, LogTarget, NameServers, Networks, Seconds, Secret,
};
pub use written::{Difference, Renewal, Written};

use http::HeaderValue;
use keys::Key;
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Deserialize;
use serde_json::Value;
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
    #[schemars(extend("x-applies" = "restart"))]
    pub data_dir: PathBuf,
    /// Where routes, services, upstreams, … are kept.
    pub store: Store,
    /// Threads that serve requests; 0 for as many as there are cores.
    #[schemars(range(max = 1024))]
    #[schemars(extend("x-applies" = "restart"))]
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
    /// What becomes of paths that servers read in more than one way. Routes and plugins see one normal path: decoded once, `//`
    /// merged, `.` and `..` resolved. An upstream that reads another path in the same bytes could be reached past the plugins
    /// of the route of that path; these policies say what happens to such bytes. With `same_route`, the default, a request
    /// passes when all readings have the same route, and is answered with 400 otherwise. Rules inside of plugins (such as those
    /// of `uri-blocker`) go by the normal path alone: for them, write `refuse`. What has no use at all is refused in any case:
    /// NUL and other control bytes, raw backslashes, `..` above the root, `..;`, `..%5C`, and a `..` that goes up over `//`.
    pub paths: Paths,
    /// Connections to upstreams.
    pub upstream: Upstream,
    /// IP addresses and networks whose `X-Forwarded-*` and `X-Real-IP` headers are believed. From everybody else they are
    /// replaced.
    #[schemars(extend("x-applies" = "live"))]
    pub trusted_addresses: Networks,
    /// The `Server` header of responses. It replaces the upstream's.
    #[schemars(extend("x-applies" = "live"))]
    pub server_header: HeaderText,
    /// Whether the `Server` header carries the version: when `false`, what follows the first `/` is cut off, the `/` too.
    #[schemars(extend("x-applies" = "live"))]
    pub server_tokens: bool,
    /// Whether every response carries `X-APISIX-Upstream-Status`. When `false`, only those do that the upstream answered with
    /// 5xx.
    #[schemars(extend("x-applies" = "live"))]
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
    #[schemars(extend("x-applies" = "restart"))]
    pub plugins: Option<Vec<String>>,
    /// Settings of plugins, by plugin. What they mean stands with each plugin.
    #[schemars(extend("x-applies" = "restart", "writeOnly" = true))]
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
            paths: Paths::default(),
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
        Written::read(path, env).map(Written::into_settings)
    }

    /// The JSON Schema of the settings file, in draft-07, without references.
    pub fn schema() -> Value {
        let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
        settings
            .into_generator()
            .into_root_schema_for::<Self>()
            .to_value()
    }

    /// The keys of which a change takes effect on SIGHUP.
    #[cfg(test)]
    pub(crate) fn live_keys() -> Vec<String> {
        let schema = Self::schema();
        let tree = Key::tree(&schema);
        let live = keys::leaves(&tree).into_iter().filter(|key| key.is_live());
        live.map(|key| key.path.clone()).collect()
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

#[cfg(test)]
mod tests;
