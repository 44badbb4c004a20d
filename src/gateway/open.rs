//! From settings to a store and an empty state: what `run`, `check` and `explain` have in common.

use super::{Failure, Parts, options};
use crate::{
    acme,
    compile::Workshop,
    matcher::Mode,
    secret::{Keyring, Sealer, Secrets},
    settings::{self, RouterMode, Settings, StoreKind, TlsProtocol},
    store::{Embedded, FileStore, HistoryLimit, Memory, Store, embedded::EmbeddedOptions},
    tls,
    upstream::{Environment, names::SystemResolver},
};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use std::{fs::DirBuilder, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};
use tokio::runtime::Handle;

/// Documents of the only gateway group live below this prefix, as in APISIX.
const PREFIX: &str = "/apisix";

/// Everything that compiling needs.
pub(super) fn workshop(
    mut parts: Parts,
    settings: &Settings,
    metrics: prometheus::Registry,
    runtime: Handle,
    checks_enabled: bool,
) -> Result<Arc<Workshop>, Failure> {
    // A plugin that is switched off may still have secrets in documents.
    let sealer = Arc::new(Sealer::new(&parts.registry, keyring(settings)?));
    if let Some(enabled) = &settings.plugins {
        let unknown = parts.registry.retain(enabled);
        if !unknown.is_empty() {
            return Err(Failure(format!(
                "settings: plugins: unknown plugin [{}]",
                unknown.join(", ")
            )));
        }
    }
    let resolver = resolver(settings)?;
    let ca_file = ca_file(settings)?;
    let ca = ca_file.as_ref().map(std::fs::read_to_string).transpose();
    let ca = ca.map_err(|e| Failure(format!("settings: upstream.ca_file: {e}")))?;
    let mut environment = Environment::new(runtime, resolver, ca_file);
    environment.balancers = parts.balancers;
    environment.checks_enabled = checks_enabled;
    environment
        .unix_sockets
        .clone_from(&settings.upstream.unix_sockets);
    Ok(Arc::new(Workshop {
        sealer,
        registry: parts.registry,
        environment: Arc::new(environment),
        tls: Arc::new(tls(settings)?),
        https_port: settings
            .listen
            .https
            .as_ref()
            .and_then(|all| all.iter().next())
            .map(|address| address.port()),
        mode: mode(settings.router.mode),
        metrics,
        shared: Default::default(),
        attributes: attributes(settings),
        live: Default::default(),
        secrets: Secrets::new(options::of_secrets(settings), ca.map(Into::into)),
    }))
}

/// Who answers for names of nodes.
pub(super) fn resolver(settings: &Settings) -> Result<Arc<SystemResolver>, Failure> {
    let servers: Vec<_> = settings.upstream.dns.servers.iter().collect();
    let resolver = match servers.as_slice() {
        [] => SystemResolver::from_system(),
        servers => SystemResolver::with_servers(servers),
    };
    resolver.map(Arc::new).map_err(Failure::new)
}

/// The file with the authorities of nodes, which must be there and hold some: Pingora would trust nobody, or panic.
pub(super) fn ca_file(settings: &Settings) -> Result<Option<String>, Failure> {
    let Some(path) = &settings.upstream.ca_file else {
        return Ok(None);
    };
    let failure = |error: &dyn std::fmt::Display| {
        Failure(format!(
            "settings: upstream.ca_file: {}: {error}",
            path.display()
        ))
    };
    let mut store = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| failure(&e))? {
        let certificate = certificate.map_err(|e| failure(&e))?;
        store.add(certificate).map_err(|e| failure(&e))?;
    }
    if store.is_empty() {
        return Err(failure(&"no CERTIFICATE section found"));
    }
    let path = path
        .to_str()
        .ok_or_else(|| failure(&"the path is not UTF-8"))?;
    Ok(Some(path.to_owned()))
}

/// What all names share that are served over TLS.
fn tls(settings: &Settings) -> Result<tls::Environment, Failure> {
    let settings = &settings.tls;
    let staples = tls::Staples::none();
    staples
        .move_to(settings.ocsp_dir.as_deref(), settings.ocsp_reload.0)
        .map_err(|e| no_staples(settings, &e))?;
    let version = |protocol: &TlsProtocol| match protocol {
        TlsProtocol::V1_2 => tls::Version::Tls12,
        TlsProtocol::V1_3 => tls::Version::Tls13,
    };
    let options = tls::Options {
        fallback_sni: settings
            .fallback_sni
            .as_deref()
            .map(|n| tls::normal(n).into()),
        protocols: settings.protocols.iter().map(version).collect(),
        session_tickets: settings.session_tickets,
        session_cache: settings.session_cache,
    };
    tls::Environment::new(options, staples).map_err(Failure::new)
}

/// The directory with OCSP responses cannot be read.
pub(super) fn no_staples(settings: &settings::Tls, error: &std::io::Error) -> Failure {
    let directory = settings.ocsp_dir.as_deref().unwrap_or(Path::new(""));
    Failure(format!(
        "settings: tls.ocsp_dir: {}: {error}",
        directory.display()
    ))
}

/// `plugin_attr`, and where plugins may keep files.
fn attributes(settings: &Settings) -> serde_json::Map<String, serde_json::Value> {
    let mut all: serde_json::Map<_, _> = settings.plugin_attr.clone().into_iter().collect();
    let cache = all
        .entry("proxy-cache")
        .or_insert_with(|| serde_json::json!({}));
    if let Some(cache) = cache.as_object_mut() {
        let directory = settings.data_dir.join("proxy-cache");
        cache
            .entry("directory")
            .or_insert_with(|| directory.to_string_lossy().into());
    }
    all
}

/// The keys of encryption at rest, when it is on.
fn keyring(settings: &Settings) -> Result<Option<Keyring>, Failure> {
    let settings = &settings.data_encryption;
    if !settings.enabled {
        return Ok(None);
    }
    let keys = settings.keyring.iter().map(|key| key.expose());
    let keyring = Keyring::new(keys);
    let failure = |e| Failure(format!("settings: data_encryption.keyring: {e}"));
    keyring.map(Some).map_err(failure)
}

fn mode(mode: RouterMode) -> Mode {
    match mode {
        RouterMode::HostUri => Mode::HostThenPath,
        RouterMode::Uri => Mode::PathThenHost,
        RouterMode::UriWithParameter => Mode::PathWithParameters,
    }
}

/// The store that the settings name.
pub(super) async fn store(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    Ok(stores(settings).await?.documents)
}

/// The store that the settings name, by groups.
pub(super) struct Stores {
    /// The documents that the gateway serves.
    pub(super) documents: Arc<dyn Store>,
    /// What it keeps for itself to have certificates; `None` where it writes nothing.
    pub(super) acme: Option<Arc<dyn Store>>,
}

/// Opens the store that the settings name.
pub(super) async fn stores(settings: &Settings) -> Result<Stores, Failure> {
    Ok(match settings.store.kind() {
        StoreKind::Memory => {
            let memory = Memory::new(HistoryLimit::default());
            Stores {
                documents: Arc::new(memory.group(PREFIX)),
                acme: Some(Arc::new(memory.group(acme::GROUP))),
            }
        }
        StoreKind::File => {
            let path = settings.store.file.as_deref().ok_or_else(|| {
                Failure("settings: store.kind is file, but store.file names none".to_owned())
            })?;
            Stores {
                documents: Arc::new(FileStore::open(path).await.map_err(Failure::new)?),
                acme: None,
            }
        }
        StoreKind::Embedded => {
            data_dir(&settings.data_dir)?;
            let directory = settings.data_dir.clone();
            let opened = tokio::task::spawn_blocking(move || {
                Embedded::open(&directory, EmbeddedOptions::default())
            });
            let embedded = opened.await.map_err(Failure::new)?.map_err(Failure::new)?;
            Stores {
                documents: Arc::new(embedded.group(PREFIX)),
                acme: Some(Arc::new(embedded.group(acme::GROUP))),
            }
        }
    })
}

/// Makes the data directory, for nobody else's eyes.
pub(super) fn data_dir(path: &Path) -> Result<(), Failure> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|e| {
        Failure(format!(
            "data directory {}: {e} (setting data_dir, CROSSWAY_DATA_DIR)",
            path.display()
        ))
    })
}
