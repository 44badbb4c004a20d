//! `zipkin`: takes part in traces told by B3, and reports its spans.

mod b3;
mod config;
mod span;
#[cfg(test)]
mod tests;

use crate::logger::{self, Line, Post};
use b3::Context;
use crossway_sdk::{
    batch::{BatchConfig, Queue, Sink, SinkError},
    client::ClientOptions,
    expr::{Lookup as _, Variable},
    http::HeaderValue,
    prelude::*,
};
use rand::RngExt as _;
use span::{Endpoint, Span, micros, since_1970};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

pub use config::Config;

/// Within which the collector has to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Zipkin {
    config: Config,
    queue: Queue<Collector>,
}

struct Collector(Post);

impl Sink for Collector {
    type Entry = Line;

    fn weight(entry: &Line) -> usize {
        entry.len()
    }

    async fn send(&self, batch: &[Line]) -> Result<(), SinkError> {
        let body = logger::array(batch.iter().map(Vec::as_slice));
        let answer = self.0.send(body).await?;
        logger::plain(&answer, answer.status().is_success())
    }
}

/// A request that is traced.
struct Trace {
    context: Context,
    id: Arc<str>,
    request: String,
    proxy: String,
    rewritten: Instant,
    admitted: Option<Instant>,
    answered: Option<Instant>,
}

/// What was decided of a request.
#[derive(Default)]
enum Decision {
    #[default]
    Open,
    No,
    Yes(Box<Trace>),
}

fn random_id() -> String {
    format!("{:016x}", rand::rng().random_range(1..=u64::MAX))
}

#[phases]
impl Plugin for Zipkin {
    const NAME: &'static str = "zipkin";
    const PRIORITY: i32 = 12011;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let target = [("/endpoint".to_owned(), &*config.endpoint)];
        // As in APISIX, the certificate is not verified.
        let mut post = Post::new(cx, target, ClientOptions::verifying(false), TIMEOUT)?;
        post.headers
            .extend([logger::header("", "content-type", "application/json")?]);
        let queue = Queue::new(
            cx,
            "zipkin_report",
            &BatchConfig::default(),
            Collector(post),
        );
        Ok(Self { config, queue })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let Ok(context) = Context::read(&ex.session.req_header().headers) else {
            return Step::respond(Reply::status(400));
        };
        let ratio = self.config.sample_ratio;
        let sampled = context
            .sampled
            .unwrap_or_else(|| rand::rng().random::<f64>() < ratio);
        *ex.state::<Decision>() = match sampled {
            false => Decision::No,
            true => Decision::Yes(Box::new(Trace {
                id: context
                    .trace
                    .clone()
                    .unwrap_or_else(|| format!("{}{}", random_id(), random_id()))
                    .into(),
                request: random_id(),
                proxy: random_id(),
                context,
                rewritten: Instant::now(),
                admitted: None,
                answered: None,
            })),
        };
        Step::next()
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if let Decision::Yes(trace) = ex.state() {
            trace.admitted = Some(Instant::now());
        }
        Step::next()
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        let trace = match ex.existing_state() {
            None | Some(Decision::Open) => return Ok(()),
            Some(Decision::No) => {
                head.remove_header(b3::SINGLE);
                head.insert_header(b3::SAMPLED, HeaderValue::from_static("0"))?;
                return Ok(());
            }
            Some(Decision::Yes(trace)) => trace,
        };
        head.remove_header(b3::SINGLE);
        head.insert_header(b3::TRACE, &*trace.id)?;
        head.insert_header(b3::SPAN, &*trace.proxy)?;
        head.insert_header(b3::PARENT, &*trace.request)?;
        if trace.context.debug {
            head.remove_header(b3::SAMPLED);
            head.insert_header(b3::FLAGS, HeaderValue::from_static("1"))?;
        } else {
            head.remove_header(b3::FLAGS);
            head.insert_header(b3::SAMPLED, HeaderValue::from_static("1"))?;
        }
        Ok(())
    }

    fn header_filter(&self, ex: &mut Exchange<'_>, _: &mut ResponseHeader) -> Result<(), Error> {
        if let Decision::Yes(trace) = ex.state() {
            trace.answered = Some(Instant::now());
        }
        Ok(())
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let Some(Decision::Yes(trace)) = ex.existing_state() else {
            return;
        };
        for span in self.spans(trace, ex) {
            self.queue.push(logger::line(&span), &*ex.request);
        }
    }
}

impl Zipkin {
    fn spans(&self, trace: &Trace, ex: &Exchange<'_>) -> Vec<Span> {
        let (request, end) = (&ex.request, Instant::now());
        let server = self
            .config
            .server_addr
            .map_or(request.server.ip(), Into::into);
        let name = Some(self.config.service_name.clone());
        let here = Arc::new(Endpoint::new(name, server, request.server.port()));
        let span = |name, id: &str, parent: Option<&str>, from: Instant, to: Instant| Span {
            trace_id: trace.id.clone(),
            name,
            parent_id: parent.map(str::to_owned),
            id: id.to_owned(),
            kind: None,
            timestamp: since_1970(request.started_at) + offset(request.started, from),
            duration: micros(to.saturating_duration_since(from)),
            local_endpoint: here.clone(),
            remote_endpoint: None,
            tags: BTreeMap::new(),
        };
        let parent = trace.context.span.as_deref();
        let mut whole = span(
            "apisix.request",
            &trace.request,
            parent,
            request.started,
            end,
        );
        whole.kind = Some("SERVER");
        let client = request.client;
        whole.remote_endpoint = Some(Endpoint::new(None, client.ip(), client.port()));
        let mut uri = Vec::new();
        if let Some(value) = ex.lookup(&Variable::RequestUri) {
            value.write_to(&mut uri);
        }
        whole.tags = BTreeMap::from([
            ("component", "apisix".to_owned()),
            ("http.method", ex.session.req_header().method.to_string()),
            ("http.url", String::from_utf8_lossy(&uri).into_owned()),
            ("http.status_code", request.response.status.to_string()),
        ]);
        let inner = Some(&*trace.request);
        let answered = trace.answered.unwrap_or(end);
        let mut spans = vec![whole];
        if self.config.span_version == 2 {
            spans.push(span(
                "apisix.proxy",
                &trace.proxy,
                inner,
                request.started,
                answered,
            ));
            let response = random_id();
            spans.push(span(
                "apisix.response_span",
                &response,
                inner,
                answered,
                end,
            ));
            return spans;
        }
        let rewritten = trace.rewritten;
        spans.push(span(
            "apisix.rewrite",
            &random_id(),
            inner,
            request.started,
            rewritten,
        ));
        if let Some(admitted) = trace.admitted {
            spans.push(span(
                "apisix.access",
                &random_id(),
                inner,
                rewritten,
                admitted,
            ));
            spans.push(span("apisix.proxy", &trace.proxy, inner, admitted, end));
            let filter = random_id();
            spans.push(span(
                "apisix.body_filter",
                &filter,
                Some(&trace.proxy),
                answered,
                end,
            ));
        }
        spans
    }
}

/// Microseconds from the one to the other.
fn offset(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
