//! An event of the HTTP Event Collector.

use crate::logger::{Headers, Latency, Line, Part, Query, hostname, line, url};
use crossway_sdk::{
    expr::{Lookup as _, Variable},
    http::HeaderMap,
    variables,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use std::time::SystemTime;

/// Who made it, as APISIX says it.
const SOURCE: &str = "apache-apisix-splunk-hec-logging";

/// Fields of the event that `log_format_extra` does not replace.
const FIELDS: [&str; 10] = [
    "request_url",
    "request_method",
    "request_headers",
    "request_query",
    "request_size",
    "response_headers",
    "response_status",
    "response_size",
    "latency",
    "upstream",
];

#[derive(Serialize)]
struct Envelope<'a, E> {
    /// Seconds since 1970, with milliseconds.
    time: f64,
    host: String,
    source: &'static str,
    sourcetype: &'static str,
    event: &'a E,
}

pub(super) fn of(part: &Part<'_>, now: SystemTime) -> Line {
    match part.customized() {
        true => enveloped(part, now, part),
        false => enveloped(part, now, &Event(part)),
    }
}

fn enveloped(part: &Part<'_>, now: SystemTime, event: &impl Serialize) -> Line {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    line(&Envelope {
        time: (since.as_secs_f64() * 1e3).round() / 1e3,
        host: hostname(part.ex),
        source: SOURCE,
        sourcetype: "_json",
        event,
    })
}

/// The event of a request that has no format of its own.
struct Event<'a>(&'a Part<'a>);

impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let ex = self.0.ex;
        let (head, none) = (ex.session.req_header(), HeaderMap::new());
        let sent = ex.session.response_written();
        let mut event = to.serialize_map(None)?;
        let to = &mut event;
        to.serialize_entry("request_url", &String::from_utf8_lossy(&url(ex)))?;
        to.serialize_entry("request_method", head.method.as_str())?;
        to.serialize_entry("request_headers", &Headers(&head.headers))?;
        to.serialize_entry("request_query", &Query(ex.request.query(head)))?;
        to.serialize_entry("request_size", &variables::request_length(ex.session))?;
        to.serialize_entry(
            "response_headers",
            &Headers(sent.map_or(&none, |h| &h.headers)),
        )?;
        to.serialize_entry("response_status", &ex.request.response.status)?;
        to.serialize_entry("response_size", &variables::bytes_sent(ex.session))?;
        to.serialize_entry("latency", &Latency::of(ex.request).total)?;
        if let Some(upstream) = ex.lookup(&Variable::UpstreamAddr) {
            let mut text = Vec::new();
            upstream.write_to(&mut text);
            to.serialize_entry("upstream", &String::from_utf8_lossy(&text))?;
        }
        self.0.extra::<S>(&FIELDS, to)?;
        event.end()
    }
}
