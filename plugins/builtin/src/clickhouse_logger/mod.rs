//! `clickhouse-logger`: entries into a table of ClickHouse.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Post, Recorder};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    client::ClientOptions,
    prelude::*,
};
use std::time::Duration;

pub use config::Config;

/// See the module.
pub struct ClickhouseLogger {
    recorder: Recorder,
    queue: Queue<Server>,
}

struct Server {
    post: Post,
    table: String,
}

impl Sink for Server {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let mut body = format!("INSERT INTO {} FORMAT JSONEachRow ", self.table).into_bytes();
        body.extend(logger::joined(batch.iter().map(Vec::as_slice), b" "));
        let answer = self.post.send(body).await?;
        logger::plain(&answer, answer.status().as_u16() < 400)
    }
}

#[phases]
impl Plugin for ClickhouseLogger {
    const NAME: &'static str = "clickhouse-logger";
    const PRIORITY: i32 = 398;
    const ENCRYPTED: &'static [&'static str] = &["password"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?;
        let options = ClientOptions::verifying(config.ssl_verify);
        let timeout = Duration::from_secs(config.timeout);
        let targets = logger::endpoints(cx, config.endpoint_addr, config.endpoint_addrs)?;
        let places = targets
            .iter()
            .map(|(path, target)| (path.clone(), &**target));
        let mut post = Post::new(cx, places, options, timeout)?;
        post.headers.extend([
            logger::header("", "content-type", "application/json")?,
            logger::header("/user", "x-clickhouse-user", &config.user)?,
            logger::header("/password", "x-clickhouse-key", &config.password)?,
            logger::header("/database", "x-clickhouse-database", &config.database)?,
        ]);
        let table = config.logtable;
        let queue = Queue::new(
            cx,
            "clickhouse logger",
            &config.batch,
            Server { post, table },
        );
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
