//! The entry of a request that has no format of its own: all that APISIX's loggers tell.

use super::{
    format::{Format, Source},
    json::{Json, Text},
};
use crossway_sdk::{
    exchange::Exchange,
    expr::{Lookup as _, Value, Variable},
    http::HeaderMap,
    request::Request,
    variables::{self, arguments},
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use std::time::{Duration, SystemTime};

/// The default entry.
pub(super) struct Entry<'a> {
    pub(super) ex: &'a Exchange<'a>,
    pub(super) request_body: Option<&'a [u8]>,
    pub(super) response_body: Option<&'a [u8]>,
    pub(super) extra: Option<&'a Format>,
    /// Id of the route when there is none.
    pub(super) unmatched: Option<&'static str>,
}

/// Headers by name in lower case; of several with one name, a list.
pub(crate) struct Headers<'a>(pub(crate) &'a HeaderMap);

/// Arguments of the query, decoded; one without `=` is `true`, and of several with one name there is a list.
pub(crate) struct Query<'a>(pub(crate) Option<&'a [u8]>);

/// Milliseconds of a request: altogether, in the upstream, in the gateway.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Latency {
    pub(crate) total: f64,
    pub(crate) upstream: Option<f64>,
    pub(crate) gateway: f64,
}

impl Latency {
    pub(crate) fn of(request: &Request) -> Self {
        let total = request.started.elapsed();
        // What a node that failed took counts as well.
        let tries = request.tries.iter().filter_map(|t| t.ended.or(t.answered));
        let upstream = (!request.tries.is_empty()).then(|| tries.sum::<Duration>());
        let gateway = total.saturating_sub(upstream.unwrap_or_default());
        Self {
            total: millis(total),
            upstream: upstream.map(millis),
            gateway: millis(gateway),
        }
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// The name of this machine, where there is no request.
pub(crate) fn this_machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map(|name| name.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

/// The name of this machine.
pub(crate) fn hostname(ex: &Exchange<'_>) -> String {
    match ex.lookup(&Variable::Hostname) {
        Some(Value::Bytes(name)) => String::from_utf8_lossy(&name).into_owned(),
        _ => String::new(),
    }
}

/// The address that the client asked for, whole.
pub(crate) fn url(ex: &Exchange<'_>) -> Vec<u8> {
    let request = &ex.request;
    let scheme = if request.tls { "https" } else { "http" };
    let (host, port) = (&request.host, request.server.port());
    let mut url = format!("{scheme}://{host}:{port}").into_bytes();
    if let Some(target) = ex.lookup(&Variable::RequestUri) {
        target.write_to(&mut url);
    }
    url
}

/// When the request began, in milliseconds since 1970.
pub(crate) fn started(request: &Request) -> u64 {
    let since = request.started_at.duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.keys().map(|name| {
            let values: Vec<_> = self
                .0
                .get_all(name)
                .iter()
                .map(|v| Text(v.as_bytes()))
                .collect();
            (name.as_str(), OneOrMany(values))
        }))
    }
}

struct OneOrMany<T>(Vec<T>);

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &*self.0 {
            [one] => one.serialize(to),
            many => many.serialize(to),
        }
    }
}

impl Serialize for Query<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut by_name = indexmap::IndexMap::<Vec<u8>, Vec<Value<'_>>>::new();
        for (name, value) in arguments(self.0.unwrap_or_default()) {
            by_name.entry(name.into_owned()).or_default().push(value);
        }
        to.collect_map(by_name.iter().map(|(name, values)| {
            let values = values.iter().map(Json).collect();
            (String::from_utf8_lossy(name), OneOrMany(values))
        }))
    }
}

/// `request`.
struct RequestPart<'a>(&'a Entry<'a>);

impl Serialize for RequestPart<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ex = self.0.ex;
        let head = ex.session.req_header();
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("url", &Text(&url(ex)))?;
        let uri = ex.lookup(&Variable::RequestUri);
        object.serialize_entry("uri", &uri.as_ref().map(Json))?;
        object.serialize_entry("method", head.method.as_str())?;
        object.serialize_entry("headers", &Headers(&head.headers))?;
        object.serialize_entry("querystring", &Query(ex.request.query(head)))?;
        object.serialize_entry("size", &variables::request_length(ex.session))?;
        if let Some(body) = self.0.request_body {
            object.serialize_entry("body", &Text(body))?;
        }
        object.end()
    }
}

/// `response`.
struct ResponsePart<'a>(&'a Entry<'a>);

impl Serialize for ResponsePart<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ex = self.0.ex;
        let none = HeaderMap::new();
        let sent = ex.session.response_written();
        let mut object = to.serialize_map(None)?;
        object.serialize_entry("status", &ex.request.response.status)?;
        object.serialize_entry(
            "headers",
            &Headers(sent.map_or(&none, |head| &head.headers)),
        )?;
        object.serialize_entry("size", &variables::bytes_sent(ex.session))?;
        if let Some(body) = self.0.response_body {
            object.serialize_entry("body", &Text(body))?;
        }
        object.end()
    }
}

#[derive(Serialize)]
struct ServerPart {
    hostname: String,
    version: &'static str,
}

#[derive(Serialize)]
struct ConsumerPart<'a> {
    username: &'a str,
}

impl Entry<'_> {
    /// A field, unless `log_format_extra` has one of that name.
    fn field<S: Serializer>(
        &self,
        to: &mut S::SerializeMap,
        name: &str,
        value: &impl Serialize,
    ) -> Result<(), S::Error> {
        match self.extra.is_some_and(|extra| extra.has(name)) {
            true => Ok(()),
            false => to.serialize_entry(name, value),
        }
    }
}

impl Serialize for Entry<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let (ex, request) = (self.ex, &*self.ex.request);
        let mut object = to.serialize_map(None)?;
        let to = &mut object;
        self.field::<S>(to, "request", &RequestPart(self))?;
        self.field::<S>(to, "response", &ResponsePart(self))?;
        let server = ServerPart {
            hostname: hostname(ex),
            version: env!("CARGO_PKG_VERSION"),
        };
        self.field::<S>(to, "server", &server)?;
        if let Some(upstream) = ex.lookup(&Variable::UpstreamAddr) {
            self.field::<S>(to, "upstream", &Json(&upstream))?;
        }
        match &request.route {
            Some(route) => {
                let service = route.service_id.as_deref().unwrap_or("");
                self.field::<S>(to, "service_id", &service)?;
                self.field::<S>(to, "route_id", &&*route.id)?;
            }
            None => {
                self.field::<S>(to, "service_id", &&*request.host)?;
                if let Some(name) = self.unmatched {
                    self.field::<S>(to, "route_id", &name)?;
                }
            }
        }
        if let Some(username) = request.consumer_name() {
            self.field::<S>(to, "consumer", &ConsumerPart { username })?;
        }
        self.field::<S>(to, "client_ip", &request.client.ip())?;
        self.field::<S>(to, "start_time", &started(request))?;
        let latency = Latency::of(request);
        self.field::<S>(to, "latency", &latency.total)?;
        if let Some(upstream) = latency.upstream {
            self.field::<S>(to, "upstream_latency", &upstream)?;
        }
        self.field::<S>(to, "apisix_latency", &latency.gateway)?;
        if let Some(extra) = self.extra {
            let source = Source {
                from: ex,
                request_body: self.request_body,
                response_body: self.response_body,
            };
            extra.write::<S>(source, &[], to)?;
        }
        object.end()
    }
}
