//! `error-log-logger`: the gateway's own log, to a server. It is told where by its metadata; the gateway hands it the lines.

mod config;
mod destination;
#[cfg(test)]
mod tests;

use crate::logger;
use crossway_sdk::{
    batch::{Origin, Queue},
    prelude::*,
};
use destination::Destination;

pub use config::{Config, Level};

/// See the module. In a place of use it does nothing.
pub struct ErrorLogLogger;

#[phases]
impl Plugin for ErrorLogLogger {
    const NAME: &'static str = "error-log-logger";
    const PRIORITY: i32 = 1091;
    const ENCRYPTED: &'static [&'static str] =
        &["clickhouse.password", "kafka.brokers.sasl_config.password"];
    type Config = Config;

    fn build(_: Config, _: &BuildCx<'_>) -> Result<Self, BuildError> {
        Ok(Self)
    }

    fn metadata_schema() -> Option<Value> {
        let mut schema = logger::metadata_schema::<config::Metadata>()?;
        let one = |name: &str| serde_json::json!({ "required": [name] });
        schema["oneOf"] = ["tcp", "kafka", "clickhouse", "skywalking"].map(one).into();
        Some(schema)
    }
}

/// Takes lines of the log to where the metadata says.
pub struct Shipper {
    level: Level,
    queue: Queue<Destination>,
}

impl Shipper {
    /// As the metadata in `cx` says; `None` without any.
    ///
    /// # Errors
    /// The metadata names no place that could be sent to.
    pub fn new(cx: &BuildCx<'_>) -> Result<Option<Self>, BuildError> {
        let Some(metadata) = cx.metadata() else {
            return Ok(None);
        };
        let metadata: config::Metadata =
            serde_json::from_value(metadata.clone()).map_err(|e| cx.error("", e.to_string()))?;
        let batch = metadata.batch();
        let level = metadata.level;
        let destination = Destination::new(cx, metadata)?;
        Ok(Some(Self {
            level,
            queue: Queue::new(cx, ErrorLogLogger::NAME, &batch, destination),
        }))
    }

    /// The least severe lines that are wanted.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Takes a line, without its line feed. Never waits.
    pub fn push(&self, line: String) {
        self.queue.push(line, Origin::default());
    }
}
