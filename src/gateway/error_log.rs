//! The gateway's own log for `error-log-logger`, a plugin that is told what to do by its metadata alone.

use crate::{compile::Workshop, observe::tap, sync::Authority};
use crossway_plugins::error_log_logger::{ErrorLogLogger, Level, Shipper};
use crossway_sdk::{
    build::{BuildCx, BuildError, Enabled, Host},
    plugin::Plugin,
    shared::SharedStates,
    upstream::UpstreamHandle,
};
use serde_json::Value;
use std::sync::Arc;

/// The plugin's metadata, as one resource of several.
const PLACE: &str = "plugin_metadata/error-log-logger";

/// Ships the log for as long as there is metadata that says where.
pub(super) async fn ship(authority: Arc<Authority>) {
    let mut status = authority.status();
    let mut metadata: Option<Arc<Value>> = None;
    let mut shipping: Option<(Shipper, tap::Reader)> = None;
    loop {
        let now = authority
            .state()
            .plugin_metadata(ErrorLogLogger::NAME)
            .cloned();
        if now != metadata {
            // What the old one holds is sent when it is dropped.
            drop(shipping.take());
            shipping = begin(authority.state().workshop(), now.as_deref());
            metadata = now;
        }
        let changed = match &mut shipping {
            None => status.changed().await,
            Some((shipper, reader)) => tokio::select! {
                changed = status.changed() => changed,
                line = reader.next() => {
                    if let Some(line) = line {
                        shipper.push(line);
                        continue;
                    }
                    drop(shipping.take());
                    Ok(())
                }
            },
        };
        if changed.is_err() {
            return;
        }
    }
}

fn begin(workshop: &Workshop, metadata: Option<&Value>) -> Option<(Shipper, tap::Reader)> {
    let surroundings = Surroundings(workshop);
    let cx = BuildCx::new(PLACE, ErrorLogLogger::NAME, metadata, None, &surroundings);
    match Shipper::new(&cx) {
        Ok(shipper) => {
            let shipper = shipper?;
            let reader = tap::read(severity(shipper.level()));
            Some((shipper, reader))
        }
        Err(error) => {
            tracing::error!(%error, "the log is not shipped: the metadata of error-log-logger is not valid");
            None
        }
    }
}

fn severity(level: Level) -> tracing::Level {
    match level {
        Level::Stderr | Level::Emerg | Level::Alert | Level::Crit | Level::Err | Level::Error => {
            tracing::Level::ERROR
        }
        Level::Warn => tracing::Level::WARN,
        Level::Notice | Level::Info => tracing::Level::INFO,
        Level::Debug => tracing::Level::DEBUG,
    }
}

/// What the plugin sees of the gateway: it has no place of use, and so no upstreams.
struct Surroundings<'a>(&'a Workshop);

impl Host for Surroundings<'_> {
    fn upstream(&self, _: &str) -> Option<UpstreamHandle> {
        None
    }

    fn inline_upstream(&self, _: &str, _: &str, _: &Value) -> Result<UpstreamHandle, BuildError> {
        Err(BuildError::new(
            "",
            "there is no place for an upstream here",
        ))
    }

    fn metrics(&self) -> &prometheus::Registry {
        &self.0.metrics
    }

    fn shared(&self) -> &SharedStates {
        &self.0.shared
    }

    fn runtime(&self) -> tokio::runtime::Handle {
        self.0.environment.runtime.clone()
    }

    fn attribute(&self, plugin: &str) -> Option<&Value> {
        self.0.attributes.get(plugin)
    }

    fn plugin(&self, _: &str) -> Option<Enabled<'_>> {
        None
    }
}
