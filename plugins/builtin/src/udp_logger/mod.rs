//! `udp-logger`: entries to a UDP server.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, MAX_DATAGRAM, Recorder, Udp};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    prelude::*,
};
use std::time::Duration;

pub use config::Config;

/// See the module.
pub struct UdpLogger {
    recorder: Recorder,
    queue: Queue<Server>,
}

struct Server {
    udp: Udp,
    /// Batches of one are sent without an array around the entry.
    single: bool,
}

impl Sink for Server {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        if self.single {
            return self.udp.send(batch).await;
        }
        let arrays = parts(batch).map(|part| logger::array(part.iter().map(Vec::as_slice)));
        let arrays: Vec<_> = arrays.collect();
        self.udp.send(&arrays).await
    }
}

/// Parts of a batch that fit into a datagram each. What does not fit alone stands alone: the system says that it is too long.
fn parts(mut batch: &[Line]) -> impl Iterator<Item = &[Line]> {
    std::iter::from_fn(move || {
        // Brackets, and a comma after each.
        let mut size = 1;
        let fits = batch.iter().take_while(|line| {
            size += line.len() + 1;
            size <= MAX_DATAGRAM
        });
        let count = fits.count().max(1);
        let (part, rest) = batch.split_at_checked(count)?;
        batch = rest;
        Some(part)
    })
}

#[phases]
impl Plugin for UdpLogger {
    const NAME: &'static str = "udp-logger";
    const PRIORITY: i32 = 400;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let udp = Udp {
            host: config.host,
            port: config.port,
            timeout: Duration::from_secs(config.timeout),
        };
        let single = config.batch.batch_max_size == 1;
        let queue = Queue::new(cx, "udp logger", &config.batch, Server { udp, single });
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
