//! `http-logger`: entries to an HTTP server.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Post, Recorder};
use config::ConcatMethod;
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    client::ClientOptions,
    prelude::*,
};
use std::time::Duration;

pub use config::Config;

/// See the module.
pub struct HttpLogger {
    recorder: Recorder,
    queue: Queue<Server>,
}

struct Server {
    post: Post,
    method: ConcatMethod,
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
        let body = match self.method {
            ConcatMethod::Json if !self.single => logger::array(lines),
            _ => logger::joined(lines, b"\n"),
        };
        let answer = self.post.send(body).await?;
        logger::plain(&answer, answer.status().as_u16() < 400)
    }
}

#[phases]
impl Plugin for HttpLogger {
    const NAME: &'static str = "http-logger";
    const PRIORITY: i32 = 410;
    const ENCRYPTED: &'static [&'static str] = &["auth_header"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?.naming_unmatched();
        let mut post = Post::new(
            cx,
            [("/uri".to_owned(), &*config.uri)],
            ClientOptions::verifying(config.ssl_verify),
            Duration::from_secs(config.timeout),
        )?;
        let kind = match config.concat_method {
            ConcatMethod::Json => "application/json",
            ConcatMethod::NewLine => "text/plain",
        };
        let authorization = config
            .auth_header
            .as_deref()
            .filter(|text| !text.is_empty());
        post.headers
            .extend([logger::header("", "content-type", kind)?]);
        if let Some(text) = authorization {
            post.headers
                .extend([logger::header("/auth_header", "authorization", text)?]);
        }
        let server = Server {
            post,
            method: config.concat_method,
            single: config.batch.batch_max_size == 1,
        };
        let queue = Queue::new(cx, "http logger", &config.batch, server);
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
