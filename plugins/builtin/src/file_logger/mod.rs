//! `file-logger`: entries to a file, one on each line, written where no request is served.

mod config;
mod file;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Recorder};
use crossway_sdk::{
    batch::{BatchConfig, Queue, Sink, SinkError},
    expr::Expression,
    prelude::*,
};
use file::LogFile;
use std::sync::Arc;

pub use config::Config;

/// Entries that are written at once at most.
const AT_ONCE: usize = 1000;

/// See the module.
pub struct FileLogger {
    recorder: Recorder,
    conditions: Option<Vec<Expression>>,
    queue: Queue<Appending>,
}

struct Appending(Arc<LogFile>);

impl Sink for Appending {
    type Entry = Line;

    /// Lines keep their order.
    const PARALLEL: usize = 1;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let lines = logger::joined(batch.iter().map(Vec::as_slice), b"\n");
        let file = self.0.clone();
        let written = tokio::task::spawn_blocking(move || file.append(lines)).await;
        let written = written.map_err(SinkError::new)?;
        written.map_err(|e| SinkError::new(format!("{}: {e}", self.0.path().display())))
    }
}

#[phases]
impl Plugin for FileLogger {
    const NAME: &'static str = "file-logger";
    const PRIORITY: i32 = 399;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let metadata = || cx.metadata()?.get("path")?.as_str();
        let path = config.path.as_deref().or_else(metadata).ok_or_else(|| {
            let message = "property \"path\" is required, here or in the plugin metadata";
            cx.error("", message)
        })?;
        let conditions = config.conditions.map(|items| {
            let item = |(index, item): (usize, Value)| {
                condition(item).map_err(|e| cx.error(format!("/match/{index}"), e.to_string()))
            };
            items
                .into_iter()
                .enumerate()
                .map(item)
                .collect::<Result<Vec<_>, _>>()
        });
        // What waits is written as soon as the file takes it.
        let at_once = BatchConfig {
            batch_max_size: AT_ONCE,
            inactive_timeout: 0,
            ..BatchConfig::default()
        };
        let file = cx.shared(path, || LogFile::new(path));
        Ok(Self {
            recorder,
            conditions: conditions.transpose()?.filter(|all| !all.is_empty()),
            queue: Queue::new(cx, "file logger", &at_once, Appending(file)),
        })
    }

    fn metadata_schema() -> Option<Value> {
        logger::metadata_schema::<config::Metadata>()
    }
    fn request_body(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.recorder.request_body(ex, chunk.as_ref(), end);
        Ok(())
    }

    fn body_filter(
        &self,
        ex: &mut Exchange<'_>,
        chunk: &mut Option<Bytes>,
        end: bool,
    ) -> Result<(), Error> {
        self.recorder.response_body(ex, chunk.as_ref(), end);
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let met = |all: &Vec<Expression>| all.iter().any(|condition| condition.matches(ex));
        if self.conditions.as_ref().is_none_or(met) {
            let entry = self.recorder.entry(ex);
            self.queue.push(entry, &*ex.request);
        }
    }
}

/// A list of conditions, or one condition alone.
fn condition(item: Value) -> Result<Expression, crossway_sdk::expr::ExpressionError> {
    let alone = item.as_array().and_then(|parts| parts.first()?.as_str());
    let operator = |name: &str| matches!(name, "AND" | "OR" | "!AND" | "!OR");
    match alone {
        Some(name) if !operator(name) => Expression::parse(&Value::Array(vec![item])),
        _ => Expression::parse(&item),
    }
}
