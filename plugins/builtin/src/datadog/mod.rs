//! `datadog`: metrics of each request to DogStatsD, by UDP.

mod config;
#[cfg(test)]
mod tests;

use crate::logger::{self, Latency, Udp};
use crossway_sdk::{
    batch::{Queue, Sink, SinkError},
    prelude::*,
    variables,
};
use std::{fmt::Write as _, time::Duration};

pub use config::Config;

/// In which the server's name has to be resolved, and a datagram to be sent.
const TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub struct Datadog {
    config: Config,
    queue: Queue<Server>,
}

struct Server {
    udp: Udp,
    /// Ends with a point unless it is empty.
    prefix: String,
    constant_tags: String,
}

/// What is reported of a request.
struct Report {
    tags: String,
    latency: Latency,
    bytes_in: u64,
    bytes_out: u64,
}

impl Sink for Server {
    type Entry = Report;

    fn weight(entry: &Report) -> usize {
        entry.tags.len()
    }

    async fn send(&self, batch: &[Report]) -> Result<(), SinkError> {
        let metrics: Vec<_> = batch
            .iter()
            .flat_map(|report| self.metrics(report))
            .collect();
        self.udp.send(&metrics).await
    }
}

impl Server {
    /// The datagrams of a request.
    fn metrics(&self, report: &Report) -> impl Iterator<Item = Vec<u8>> {
        let upstream = report
            .latency
            .upstream
            .map(|time| ("upstream.latency", time.to_string(), "h"));
        let metrics = [
            Some(("request.counter", "1".to_owned(), "c")),
            Some(("request.latency", report.latency.total.to_string(), "h")),
            upstream,
            Some(("apisix.latency", report.latency.gateway.to_string(), "h")),
            Some(("ingress.size", report.bytes_in.to_string(), "ms")),
            Some(("egress.size", report.bytes_out.to_string(), "ms")),
        ];
        let tags = [&*self.constant_tags, &*report.tags];
        let tags: Vec<_> = tags.into_iter().filter(|tags| !tags.is_empty()).collect();
        let tags = match tags.is_empty() {
            true => String::new(),
            false => format!("|#{}", tags.join(",")),
        };
        metrics
            .into_iter()
            .flatten()
            .map(move |(name, value, kind)| {
                format!("{}{name}:{value}|{kind}{tags}", self.prefix).into_bytes()
            })
    }
}

#[phases]
impl Plugin for Datadog {
    const NAME: &'static str = "datadog";
    const PRIORITY: i32 = 495;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let metadata = match cx.metadata() {
            None => config::Metadata::default(),
            Some(written) => serde_json::from_value(written.clone())
                .map_err(|e| cx.error("", format!("plugin metadata: {e}")))?,
        };
        let prefix = match &*metadata.namespace {
            "" => String::new(),
            namespace => format!("{namespace}."),
        };
        let tags = metadata.constant_tags.iter().chain(&config.constant_tags);
        let server = Server {
            udp: Udp {
                host: metadata.host,
                port: metadata.port,
                timeout: TIMEOUT,
            },
            prefix,
            constant_tags: tags.map(String::as_str).collect::<Vec<_>>().join(","),
        };
        let queue = Queue::new(cx, "datadog", &config.batch, server);
        Ok(Self { config, queue })
    }

    fn metadata_schema() -> Option<Value> {
        logger::metadata_schema::<config::Metadata>()
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let report = Report {
            tags: self.tags(ex),
            latency: Latency::of(ex.request),
            bytes_in: variables::request_length(ex.session),
            bytes_out: variables::bytes_sent(ex.session),
        };
        self.queue.push(report, &*ex.request);
    }
}

impl Datadog {
    fn tags(&self, ex: &Exchange<'_>) -> String {
        let request = &ex.request;
        let mut tags = String::new();
        let mut tag = |name: &str, value: &str| {
            if !value.is_empty() {
                let comma = if tags.is_empty() { "" } else { "," };
                // Writing to a string cannot fail.
                write!(tags, "{comma}{name}:{}", Clean(value)).ok();
            }
        };
        if let Some(route) = &request.route {
            let named = |name: &Option<_>| name.clone().filter(|_| self.config.prefer_name);
            tag(
                "route_name",
                &named(&route.name).unwrap_or_else(|| route.id.clone()),
            );
            let service = named(&route.service_name).or_else(|| route.service_id.clone());
            tag("service_name", service.as_deref().unwrap_or_default());
        }
        tag("consumer", request.consumer_name().unwrap_or_default());
        if let Some(last) = request.last_try() {
            let ip = last.address.map(|address| address.ip().to_string());
            tag("balancer_ip", ip.as_deref().unwrap_or(&last.host));
        }
        tag("response_status", &request.response.status.to_string());
        tag("scheme", request.last_try().map_or("", |last| last.scheme));
        if self.config.include_path {
            tag(
                "path",
                request
                    .matched
                    .as_ref()
                    .map_or("", |matched| &*matched.path),
            );
        }
        if self.config.include_method {
            tag("method", ex.session.req_header().method.as_str());
        }
        tags
    }
}

/// A value that cannot end its tag.
struct Clean<'a>(&'a str);

impl std::fmt::Display for Clean<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            ',' | '|' | '#' => f.write_char('_'),
            c if c.is_control() => f.write_char('_'),
            c => f.write_char(c),
        })
    }
}
