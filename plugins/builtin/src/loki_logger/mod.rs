//! `loki-logger`: entries to Grafana Loki.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Post, Recorder};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    client::{self, ClientOptions},
    expr::Template,
    prelude::*,
};
use serde_json::json;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use config::Config;

/// See the module.
pub struct LokiLogger {
    recorder: Recorder,
    labels: Labels,
    queue: Queue<Server>,
}

/// Labels of a stream.
enum Labels {
    /// The same for every request.
    Constant(Arc<BTreeMap<String, String>>),
    Rendered(Vec<(String, Template)>),
}

struct Entry {
    labels: Arc<BTreeMap<String, String>>,
    /// Nanoseconds since 1970.
    at: u128,
    line: Line,
}

struct Server(Post);

impl Sink for Server {
    type Entry = Entry;

    fn weight(entry: &Entry) -> usize {
        entry.line.len()
    }

    async fn send(&self, batch: &[Entry]) -> Result<(), SinkError> {
        let mut streams = BTreeMap::<&BTreeMap<_, _>, Vec<Value>>::new();
        for entry in batch {
            let line = String::from_utf8_lossy(&entry.line);
            let value = json!([entry.at.to_string(), line]);
            streams.entry(&*entry.labels).or_default().push(value);
        }
        let stream = |(labels, values)| json!({"stream": labels, "values": values});
        let streams: Vec<_> = streams.into_iter().map(stream).collect();
        let body = json!({ "streams": streams }).to_string();
        let answer = self.0.send(body.into_bytes()).await?;
        logger::plain(&answer, answer.status().as_u16() < 300)
    }
}

impl Labels {
    fn new(cx: &BuildCx<'_>, written: BTreeMap<String, String>) -> Result<Self, BuildError> {
        let read = |(name, text): (&String, &String)| {
            let path = format!("/log_labels/{name}");
            if text.is_empty() {
                return Err(cx.error(path, "expected a value that is not empty"));
            }
            let template = Template::parse(text).map_err(|e| cx.error(path, e.to_string()))?;
            Ok((name.clone(), template))
        };
        let rendered = written.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let constant = rendered.iter().all(|(_, t)| t.is_constant().is_some());
        Ok(match constant {
            true => Self::Constant(Arc::new(written)),
            false => Self::Rendered(rendered),
        })
    }

    fn of(&self, ex: &Exchange<'_>) -> Arc<BTreeMap<String, String>> {
        match self {
            Self::Constant(labels) => labels.clone(),
            Self::Rendered(templates) => {
                let render = |(name, template): &(String, Template)| {
                    let mut text = Vec::new();
                    template.render(ex, &mut text);
                    (name.clone(), String::from_utf8_lossy(&text).into_owned())
                };
                Arc::new(templates.iter().map(render).collect())
            }
        }
    }
}

#[phases]
impl Plugin for LokiLogger {
    const NAME: &'static str = "loki-logger";
    const PRIORITY: i32 = 414;
    const ENCRYPTED: &'static [&'static str] = &["headers"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let recorder = Recorder::new(cx, &config.format, &config.bodies)?.naming_unmatched();
        let mut options = ClientOptions::verifying(config.ssl_verify);
        options.idle_timeout = Some(Duration::from_millis(config.keepalive_timeout));
        options.idle_per_host = if config.keepalive {
            config.keepalive_pool
        } else {
            0
        };
        // Judged by itself, so that a refusal does not point at an address that is right.
        client::target(
            "/endpoint_uri",
            &format!("http://host{}", config.endpoint_uri),
        )?;
        let targets: Vec<_> = config
            .endpoint_addrs
            .iter()
            .map(|address| format!("{}{}", address.trim_end_matches('/'), config.endpoint_uri))
            .collect();
        let places = targets.iter().enumerate();
        let places = places.map(|(n, target)| (format!("/endpoint_addrs/{n}"), &**target));
        let mut post = Post::new(cx, places, options, Duration::from_millis(config.timeout))?;
        for (name, value) in &config.headers {
            let path = format!("/headers/{name}");
            post.headers.extend([logger::header(&path, name, value)?]);
        }
        post.headers.extend([
            logger::header("", "content-type", "application/json")?,
            logger::header("/tenant_id", "x-scope-orgid", &config.tenant_id)?,
        ]);
        Ok(Self {
            recorder,
            labels: Labels::new(cx, config.log_labels)?,
            queue: Queue::new(cx, "loki logger", &config.batch, Server(post)),
        })
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
        let began = ex.request.started_at.duration_since(SystemTime::UNIX_EPOCH);
        let entry = Entry {
            labels: self.labels.of(ex),
            at: began.unwrap_or_default().as_nanos(),
            line: self.recorder.entry(ex),
        };
        self.queue.push(entry, &*ex.request);
    }
}
