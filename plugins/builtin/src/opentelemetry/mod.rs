//! `opentelemetry`: takes part in traces told by `traceparent`, and reports its spans by OTLP.

mod collector;
mod config;
mod context;
mod otlp;
#[cfg(test)]
mod tests;

use crate::logger;
use collector::Collector;
use config::{Metadata, TraceIdSource};
use context::Context;
use crossway_sdk::{
    batch::{BatchConfig, Queue},
    expr::{Lookup as _, Variable},
    prelude::*,
};
use otlp::{KeyValue, Span, SpanKind, Status, StatusCode};
use rand::RngExt as _;
use std::time::{Duration, SystemTime};

pub use config::Config;

/// See the module.
pub struct OpenTelemetry {
    config: Config,
    attributes: Vec<(String, Variable)>,
    source: TraceIdSource,
    /// `None` without metadata: nothing is traced.
    queue: Option<Queue<Collector>>,
}

/// A request that is part of a trace.
#[derive(Default)]
struct Tracing(Option<Trace>);

#[derive(Clone, Copy)]
struct Trace {
    parent: Option<Context>,
    /// The span of the request.
    server: Context,
    /// The span of what is asked of the upstream.
    client: Context,
}

#[phases]
impl Plugin for OpenTelemetry {
    const NAME: &'static str = "opentelemetry";
    const PRIORITY: i32 = 12009;
    // Of the metadata. Services that collect traces take their tokens there.
    const ENCRYPTED: &'static [&'static str] = &["collector.request_headers"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let names = config.additional_attributes.iter().flatten().enumerate();
        let read = |(n, name): (usize, &String)| match Variable::parse(name) {
            Ok(variable) => Ok((name.clone(), variable)),
            Err(e) => Err(cx.error(format!("/additional_attributes/{n}"), e.to_string())),
        };
        let attributes = names.map(read).collect::<Result<_, _>>()?;
        let metadata: Option<Metadata> = match cx.metadata() {
            None => None,
            Some(written) => Some(
                serde_json::from_value(written.clone())
                    .map_err(|e| cx.error("", format!("plugin metadata: {e}")))?,
            ),
        };
        let Some(metadata) = metadata else {
            return Ok(Self {
                config,
                attributes,
                source: TraceIdSource::Random,
                queue: None,
            });
        };
        let collector = Collector::new(cx, &metadata)
            .map_err(|e| cx.error("", format!("plugin metadata: {e}")))?;
        let processor = &metadata.batch_span_processor;
        let batch = BatchConfig {
            batch_max_size: processor.max_export_batch_size,
            inactive_timeout: seconds(processor.inactive_timeout),
            buffer_duration: seconds(processor.batch_timeout),
            ..BatchConfig::default()
        };
        let limit = processor.max_queue_size;
        Ok(Self {
            config,
            attributes,
            source: metadata.trace_id_source,
            queue: Some(Queue::bounded(cx, Self::NAME, &batch, limit, collector)),
        })
    }

    fn metadata_schema() -> Option<Value> {
        logger::metadata_schema::<Metadata>()
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.queue.is_none() {
            return Step::next();
        }
        let parent = Context::read(&ex.session.req_header().headers);
        let trace = match (parent, self.source) {
            (Some(parent), _) => parent.trace,
            (None, TraceIdSource::XRequestId) => {
                context::trace_of(ex.request.id()).unwrap_or_else(random_trace)
            }
            (None, TraceIdSource::Random) => random_trace(),
        };
        let sampled = self.config.sampler.samples(parent, trace);
        let span = || Context {
            trace,
            span: rand::rng().random_range(1..=u64::MAX),
            sampled,
        };
        let (server, client) = (span(), span());
        let trace = Trace {
            parent,
            server,
            client,
        };
        ex.state::<Tracing>().0 = Some(trace);
        Step::next()
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        let tracing = ex.existing_state::<Tracing>().and_then(|t| t.0);
        if let Some(header) = tracing.and_then(|trace| trace.client.header()) {
            head.insert_header(context::TRACEPARENT, header)?;
        }
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let tracing = ex.existing_state::<Tracing>().and_then(|t| t.0);
        let (Some(trace), Some(queue)) = (tracing, &self.queue) else {
            return;
        };
        if !trace.server.sampled {
            return;
        }
        queue.push(self.server(trace, ex), &*ex.request);
        if let Some(span) = client(trace, ex) {
            queue.push(span, &*ex.request);
        }
    }
}

fn random_trace() -> u128 {
    rand::rng().random_range(1..=u128::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and what is too large becomes the largest"
)]
fn seconds(time: f64) -> u64 {
    time.ceil() as u64
}

impl OpenTelemetry {
    /// The span of the request.
    fn server(&self, trace: Trace, ex: &Exchange<'_>) -> Span {
        let request = &ex.request;
        let head = ex.session.req_header();
        let method = head.method.as_str();
        let mut name = method.to_owned();
        let mut attributes = Vec::new();
        let mut set = |key: &str, value: &str| attributes.push(KeyValue::text(key, value));
        set("net.host.name", &request.host);
        set("http.method", method);
        set("http.scheme", if request.tls { "https" } else { "http" });
        set(
            "http.target",
            &text(ex, &Variable::RequestUri).unwrap_or_default(),
        );
        if let Some(agent) = head.headers.get("user-agent") {
            set(
                "http.user_agent",
                &String::from_utf8_lossy(agent.as_bytes()),
            );
        }
        if let Some(route) = &request.route {
            set("apisix.route_id", &route.id);
            if let Some(name) = &route.name {
                set("apisix.route_name", name);
            }
            if let Some(service) = &route.service_id {
                set("apisix.service_id", service);
            }
            if let Some(service) = &route.service_name {
                set("apisix.service_name", service);
            }
        }
        if let Some(matched) = &request.matched {
            set("http.route", &matched.path);
            name = format!("{method} {}", matched.path);
        }
        for (key, variable) in &self.attributes {
            if let Some(value) = text(ex, variable) {
                set(key, &value);
            }
        }
        for wanted in self
            .config
            .additional_header_prefix_attributes
            .iter()
            .flatten()
        {
            for (key, value) in &head.headers {
                let fits = match wanted.strip_suffix('*').filter(|prefix| !prefix.is_empty()) {
                    Some(prefix) => starts_with(key.as_str(), prefix),
                    None => key.as_str().eq_ignore_ascii_case(wanted),
                };
                if fits {
                    set(key.as_str(), &String::from_utf8_lossy(value.as_bytes()));
                }
            }
        }
        let parent = trace.parent.map(|parent| parent.span);
        let elapsed = (Duration::ZERO, request.started.elapsed());
        let mut span = of(trace.server, parent, SpanKind::Server, request, elapsed);
        span.name = name;
        span.attributes = attributes;
        judged(&mut span, request.response.status);
        span
    }
}

fn starts_with(text: &str, prefix: &str) -> bool {
    let start = text.get(..prefix.len());
    start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The span of what was asked of the upstream, the last attempt at it.
fn client(trace: Trace, ex: &Exchange<'_>) -> Option<Span> {
    let request = &ex.request;
    let last = request.last_try()?;
    let began = last.began.saturating_duration_since(request.started);
    let took = last.ended.or(last.answered);
    let ended = took.map_or_else(|| request.started.elapsed(), |took| began + took);
    let parent = Some(trace.server.span);
    let mut span = of(
        trace.client,
        parent,
        SpanKind::Client,
        request,
        (began, ended),
    );
    span.name = ex.session.req_header().method.to_string();
    span.attributes
        .push(KeyValue::text("net.peer.name", &*last.host));
    if let Some(address) = last.address {
        span.attributes
            .push(KeyValue::text("net.peer.ip", address.ip().to_string()));
    }
    let port = otlp::Value::Int(last.port.into());
    span.attributes.push(KeyValue::new("net.peer.port", port));
    if let Some(status) = last.status {
        judged(&mut span, status);
    }
    Some(span)
}

/// A span of a request, from one moment to another, counted from its beginning.
fn of(
    context: Context,
    parent: Option<u64>,
    kind: SpanKind,
    request: &Request,
    (from, to): (Duration, Duration),
) -> Span {
    let began = request
        .started_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let nanos = |after: Duration| u64::try_from((began + after).as_nanos()).unwrap_or(u64::MAX);
    Span {
        trace_id: context.trace.to_be_bytes().to_vec(),
        span_id: context.span.to_be_bytes().to_vec(),
        parent_span_id: parent
            .map(|span| span.to_be_bytes().to_vec())
            .unwrap_or_default(),
        kind: kind.into(),
        start_time_unix_nano: nanos(from),
        end_time_unix_nano: nanos(to.max(from)),
        ..Span::default()
    }
}

/// The status of the answer, and whether it is a failure.
fn judged(span: &mut Span, status: u16) {
    let code = otlp::Value::Int(status.into());
    span.attributes
        .push(KeyValue::new("http.status_code", code));
    if status >= 500 {
        span.status = Some(Status {
            message: format!("upstream response status: {status}"),
            code: StatusCode::Error.into(),
        });
    }
}

fn text(ex: &Exchange<'_>, variable: &Variable) -> Option<String> {
    let value = ex.lookup(variable)?;
    let mut text = Vec::new();
    value.write_to(&mut text);
    Some(String::from_utf8_lossy(&text).into_owned())
}
