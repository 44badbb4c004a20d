//! From settings to a store and an empty state: what `run`, `check` and `explain` have in common.

use super::{Failure, Parts};
use crate::{
    compile::Workshop,
    matcher::Mode,
    settings::{RouterMode, Settings, StoreKind},
    store::{Embedded, FileStore, HistoryLimit, Memory, Store, embedded::EmbeddedOptions},
    upstream::{Environment, names::SystemResolver},
};
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
    if let Some(enabled) = &settings.plugins {
        let unknown = parts.registry.retain(enabled);
        if !unknown.is_empty() {
            return Err(Failure(format!(
                "settings: plugins: unknown plugin [{}]",
                unknown.join(", ")
            )));
        }
    }
    let servers: Vec<_> = settings.upstream.dns.servers.iter().collect();
    let resolver = match servers.as_slice() {
        [] => SystemResolver::from_system(),
        servers => SystemResolver::with_servers(servers),
    };
    let resolver = Arc::new(resolver.map_err(Failure::new)?);
    let mut environment = Environment::new(runtime, resolver, None);
    environment.balancers = parts.balancers;
    environment.checks_enabled = checks_enabled;
    Ok(Arc::new(Workshop {
        registry: parts.registry,
        environment: Arc::new(environment),
        mode: mode(settings.router.mode),
        metrics,
        shared: Default::default(),
        attributes: attributes(settings),
        live: Default::default(),
    }))
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

fn mode(mode: RouterMode) -> Mode {
    match mode {
        RouterMode::HostUri => Mode::HostThenPath,
        RouterMode::Uri => Mode::PathThenHost,
        RouterMode::UriWithParameter => Mode::PathWithParameters,
    }
}

/// The store that the settings name.
pub(super) async fn store(settings: &Settings) -> Result<Arc<dyn Store>, Failure> {
    Ok(match settings.store.kind() {
        StoreKind::Memory => Arc::new(Memory::new(HistoryLimit::default()).group(PREFIX)),
        StoreKind::File => {
            let path = settings.store.file.as_deref().ok_or_else(|| {
                Failure("settings: store.kind is file, but store.file names none".to_owned())
            })?;
            Arc::new(FileStore::open(path).await.map_err(Failure::new)?)
        }
        StoreKind::Embedded => {
            data_dir(&settings.data_dir)?;
            let directory = settings.data_dir.clone();
            let opened = tokio::task::spawn_blocking(move || {
                Embedded::open(&directory, EmbeddedOptions::default())
            });
            Arc::new(
                opened
                    .await
                    .map_err(Failure::new)?
                    .map_err(Failure::new)?
                    .group(PREFIX),
            )
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
