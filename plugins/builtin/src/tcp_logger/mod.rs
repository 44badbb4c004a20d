//! `tcp-logger`: entries to a TCP server, a connection for each batch.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Recorder, Tcp, TcpOptions};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    prelude::*,
};
use std::time::Duration;

pub use config::Config;

/// See the module.
pub struct TcpLogger {
    recorder: Recorder,
    queue: Queue<Server>,
}

struct Server {
    tcp: Tcp,
    /// Batches of one are sent without an array around the entry.
    single: bool,
}

impl Sink for Server {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let lines = batch.iter().map(Vec::as_slice);
        let bytes = match self.single {
            true => logger::joined(lines, b"\n"),
            false => logger::array(lines),
        };
        self.tcp.write(&bytes).await
    }
}

#[phases]
impl Plugin for TcpLogger {
    const NAME: &'static str = "tcp-logger";
    const PRIORITY: i32 = 405;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let tcp = Tcp::new(TcpOptions {
            host: config.host,
            port: config.port,
            timeout: Duration::from_millis(config.timeout),
            tls: config.tls.then_some(config.tls_options),
            keep: 0,
        })?;
        let single = config.batch.batch_max_size == 1;
        let queue = Queue::new(cx, "tcp logger", &config.batch, Server { tcp, single });
        Ok(Self { recorder, queue })
    }

    fn metadata_schema() -> Option<Value> {
        logger::metadata_schema::<logger::Metadata>()
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
        let entry = self.recorder.entry(ex);
        self.queue.push(entry, &*ex.request);
    }
}
