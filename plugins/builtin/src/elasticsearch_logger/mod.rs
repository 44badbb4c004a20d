//! `elasticsearch-logger`: entries to Elasticsearch, by its bulk API.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Post, Recorder};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    client::ClientOptions,
    http::{HeaderMap, HeaderValue, Method, Uri, header, uri::PathAndQuery},
    prelude::*,
};
use serde_json::json;
use std::time::Duration;
use tokio::sync::OnceCell;

pub use config::Config;

/// See the module.
pub struct ElasticsearchLogger {
    recorder: Recorder,
    queue: Queue<Server>,
}

struct Server {
    post: Post,
    index: String,
    kind: Option<String>,
    /// Asked for once.
    version: OnceCell<u32>,
}

impl Sink for Server {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let Some(target) = self.post.target() else {
            return Err(SinkError::new("there is no address to send to"));
        };
        let version = *self.version.get_or_try_init(|| self.ask(target)).await?;
        let mut create = json!({"_index": self.index});
        if let Some(kind) = self.kind.as_ref().filter(|_| version < 9) {
            create["_type"] = kind.as_str().into();
        }
        let action = json!({ "create": create }).to_string();
        let mut body = Vec::new();
        for line in batch {
            body.extend_from_slice(action.as_bytes());
            body.push(b'\n');
            body.extend_from_slice(line);
            body.push(b'\n');
        }
        let mut headers = self.post.headers.clone();
        describe(&mut headers, version);
        let bulk = below(target, "/_bulk")?;
        let answer = self
            .post
            .exchange(Method::POST, bulk, headers, body)
            .await?;
        logger::plain(&answer, answer.status().as_u16() == 200)?;
        let said: Option<Value> = serde_json::from_slice(answer.body()).ok();
        if said.is_some_and(|said| said["errors"] == true) {
            tracing::warn!(
                index = self.index,
                "Elasticsearch did not take all entries of a batch"
            );
        }
        Ok(())
    }
}

impl Server {
    /// The major version of the server.
    async fn ask(&self, target: &Uri) -> Result<u32, SinkError> {
        let headers = self.post.headers.clone();
        let (method, target) = (Method::GET, target.clone());
        let answer = self
            .post
            .exchange(method, target, headers, Vec::new())
            .await?;
        logger::plain(&answer, answer.status().as_u16() == 200)?;
        let said: Value = serde_json::from_slice(answer.body()).map_err(SinkError::new)?;
        let number = said["version"]["number"].as_str();
        number
            .and_then(|number| number.split('.').next()?.parse().ok())
            .ok_or_else(|| SinkError::new("the server does not tell its version"))
    }
}

/// What is sent and understood, in the words of the server's version.
fn describe(headers: &mut HeaderMap, version: u32) {
    let (content, accept) = match version {
        8 => (
            "application/x-ndjson;compatible-with=7",
            "application/vnd.elasticsearch+json;compatible-with=7",
        ),
        9 => (
            "application/x-ndjson;compatible-with=8",
            "application/vnd.elasticsearch+json;compatible-with=8",
        ),
        _ => ("application/x-ndjson", "application/vnd.elasticsearch+json"),
    };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content));
    headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
}

fn below(target: &Uri, path: &str) -> Result<Uri, SinkError> {
    let mut parts = target.clone().into_parts();
    let whole = format!("{}{path}", target.path().trim_end_matches('/'));
    parts.path_and_query = Some(PathAndQuery::try_from(whole).map_err(SinkError::new)?);
    Uri::from_parts(parts).map_err(SinkError::new)
}

#[phases]
impl Plugin for ElasticsearchLogger {
    const NAME: &'static str = "elasticsearch-logger";
    const PRIORITY: i32 = 413;
    const ENCRYPTED: &'static [&'static str] = &["auth.password", "headers"];
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
        for (name, value) in &config.headers {
            let path = format!("/headers/{name}");
            post.headers.extend([logger::header(&path, name, value)?]);
        }
        if let Some(auth) = &config.auth {
            let pair = BASE64_STANDARD.encode(format!("{}:{}", auth.username, auth.password));
            let value = format!("Basic {pair}");
            post.headers
                .extend([logger::header("/auth", "authorization", &value)?]);
        }
        let server = Server {
            post,
            index: config.field.index,
            kind: config.field.kind,
            version: OnceCell::new(),
        };
        let queue = Queue::new(cx, "elasticsearch-logger", &config.batch, server);
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
