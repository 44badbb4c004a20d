//! The way to the collector.

use super::{
    config::Metadata,
    otlp::{
        ExportTraceServiceRequest, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Span,
        Value,
    },
};
use crate::logger::{self, Post};
use crossway_sdk::{
    batch::{Sink, SinkError},
    build::{BuildCx, BuildError},
    client::ClientOptions,
};
use prost::Message as _;
use std::time::Duration;

/// A collector, and what it is told of this service.
pub(super) struct Collector {
    post: Post,
    resource: Vec<KeyValue>,
}

impl Collector {
    pub(super) fn new(cx: &BuildCx<'_>, metadata: &Metadata) -> Result<Self, BuildError> {
        let collector = &metadata.collector;
        let address = collector.address.trim_end_matches('/');
        let target = match address.contains("://") {
            true => format!("{address}/v1/traces"),
            false => format!("http://{address}/v1/traces"),
        };
        let place = ("/collector/address".to_owned(), &*target);
        let timeout = Duration::from_secs(collector.request_timeout);
        let mut post = Post::new(cx, [place], ClientOptions::default(), timeout)?;
        for (name, value) in &collector.request_headers {
            let path = format!("/collector/request_headers/{name}");
            let text = match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            post.headers.extend([logger::header(&path, name, &text)?]);
        }
        post.headers.extend([logger::header(
            "",
            "content-type",
            "application/x-protobuf",
        )?]);
        let mut resource = Vec::new();
        if !metadata.resource.contains_key("service.name") {
            resource.push(KeyValue::text("service.name", "APISIX"));
        }
        for (name, value) in &metadata.resource {
            let path = format!("/resource/{name}");
            let value = match value {
                serde_json::Value::String(text) => Value::String(text.clone()),
                serde_json::Value::Bool(truth) => Value::Bool(*truth),
                serde_json::Value::Number(number) => Value::Double(number.as_f64().unwrap_or(0.0)),
                _ => return Err(cx.error(path, "expected a text, a number or a truth value")),
            };
            resource.push(KeyValue::new(name, value));
        }
        Ok(Self { post, resource })
    }
}

impl Sink for Collector {
    type Entry = Span;

    fn weight(entry: &Span) -> usize {
        entry.encoded_len()
    }

    async fn send(&self, batch: &[Span]) -> Result<(), SinkError> {
        let mut attributes = vec![KeyValue::text("hostname", logger::this_machine())];
        attributes.extend_from_slice(&self.resource);
        let scope = Scope {
            name: "crossway".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans: batch.to_vec(),
        };
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![spans],
            }],
        };
        let answer = self.post.send(request.encode_to_vec()).await?;
        logger::plain(&answer, answer.status().is_success())
    }
}
