//! `splunk-hec-logging`: events to the HTTP Event Collector of Splunk.

mod config;
mod event;
#[cfg(test)]
mod tests;

use crate::logger::{self, BodyConfig, Line, Post, Recorder};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    client::ClientOptions,
    prelude::*,
};
use std::time::{Duration, SystemTime};

pub use config::Config;

/// See the module.
pub struct SplunkHecLogging {
    recorder: Recorder,
    queue: Queue<Collector>,
}

struct Collector(Post);

impl Sink for Collector {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let body = logger::joined(batch.iter().map(Vec::as_slice), b"");
        let answer = self.0.send(body).await?;
        logger::plain(&answer, answer.status().as_u16() == 200)
    }
}

#[phases]
impl Plugin for SplunkHecLogging {
    const NAME: &'static str = "splunk-hec-logging";
    const PRIORITY: i32 = 409;
    const ENCRYPTED: &'static [&'static str] = &["endpoint.token"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &BodyConfig::default())?;
        let endpoint = config.endpoint;
        let mut options = ClientOptions::verifying(config.ssl_verify);
        options.idle_timeout = Some(Duration::from_millis(endpoint.keepalive_timeout));
        let mut post = Post::new(
            cx,
            [("/endpoint/uri".to_owned(), &*endpoint.uri)],
            options,
            Duration::from_secs(endpoint.timeout),
        )?;
        let token = format!("Splunk {}", endpoint.token);
        post.headers.extend([
            logger::header("", "content-type", "application/json")?,
            logger::header("/endpoint/token", "authorization", &token)?,
        ]);
        if let Some(channel) = &endpoint.channel {
            let path = "/endpoint/channel";
            post.headers
                .extend([logger::header(path, "x-splunk-request-channel", channel)?]);
        }
        let queue = Queue::new(cx, "splunk-hec-logging", &config.batch, Collector(post));
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
        // For formats with variables of the body.
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
        let now = SystemTime::now();
        let event = self.recorder.with(ex, |part| event::of(&part, now));
        self.queue.push(event, &*ex.request);
    }
}
