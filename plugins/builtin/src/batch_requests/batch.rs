//! What a client asks for, and the requests that come of it.

use bytes::Bytes;
use crossway_sdk::prelude::RequestHeader;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{net::SocketAddr, time::Duration};

/// All that is not unreserved in a URI (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The longest time that a client may ask for, in milliseconds.
const LONGEST: u64 = 300_000;

/// Fields that belong to one connection, and those that only the gateway writes.
const NOT_TAKEN: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    crossway_sdk::relay::HEADER,
];

/// A batch.
#[derive(Debug, Deserialize)]
pub(crate) struct Batch {
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default = "half_a_minute")]
    timeout: u64,
    pub(crate) pipeline: Vec<Item>,
}

/// One request of it. `version` and `ssl_verify` are taken without effect.
#[derive(Debug, Deserialize)]
pub(crate) struct Item {
    #[serde(default)]
    method: Verb,
    path: String,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Option<String>,
}

/// The methods of a batch.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Verb {
    #[default]
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
}

fn half_a_minute() -> u64 {
    30_000
}

impl Batch {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// What is wrong with it, for the client.
    pub(crate) fn read(body: &[u8], most: usize) -> Result<Self, String> {
        let document: Value = serde_json::from_slice(body)
            .map_err(|e| format!("invalid request body: it is not JSON: {e}"))?;
        let batch: Self =
            serde_json::from_value(document).map_err(|e| format!("bad request body: {e}"))?;
        match batch.pipeline.len() {
            0 => Err("bad request body: property \"pipeline\" validation failed: expect array to have at least 1 items".into()),
            items if items > most => Err(format!("bad request body: property \"pipeline\" validation failed: expect array to have at most {most} items")),
            _ if !(1..=LONGEST).contains(&batch.timeout) => Err(format!("bad request body: property \"timeout\" validation failed: expected 1 to {LONGEST} milliseconds")),
            _ => Ok(batch),
        }
    }

    /// How long one request may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout)
    }

    /// The requests, to be sent to `server`; `outer` is the head of the request that brought the batch. What an item does
    /// not say comes from the batch, then from `outer`.
    ///
    /// # Errors
    /// What is wrong with an item, for the client.
    pub(crate) fn requests(
        self,
        scheme: &str,
        server: SocketAddr,
        outer: &RequestHeader,
    ) -> Result<Vec<Request<Bytes>>, String> {
        let (query, headers) = (self.query, self.headers);
        let each = self.pipeline.into_iter().enumerate().map(|(index, item)| {
            item.request(scheme, server, &query, &headers, outer)
                .map_err(|e| format!("bad request body: pipeline[{index}]: {e}"))
        });
        each.collect()
    }
}

impl Item {
    fn request(
        mut self,
        scheme: &str,
        server: SocketAddr,
        query: &Map<String, Value>,
        headers: &Map<String, Value>,
        outer: &RequestHeader,
    ) -> Result<Request<Bytes>, String> {
        let bad = |c: char| c.is_control() || c == ' ' || c == '#';
        if !self.path.starts_with('/') || self.path.contains(bad) {
            return Err(
                "path: expected a path that begins with /, without spaces and fragments".into(),
            );
        }
        for (name, value) in query {
            self.query.entry(name).or_insert_with(|| value.clone());
        }
        // The address stands first and ends where the path begins: no path names another server.
        let mut target = format!("{scheme}://{server}{}", self.path);
        let mut separator = if self.path.contains('?') { '&' } else { '?' };
        for (name, value) in &self.query {
            target.push(separator);
            separator = '&';
            target.extend(utf8_percent_encode(name, ESCAPED));
            target.push('=');
            target.extend(utf8_percent_encode(&text(value)?, ESCAPED));
        }
        let uri: Uri = target
            .parse()
            .map_err(|_| "path: it is no request target")?;
        let mut request = Request::new(Bytes::from(self.body.unwrap_or_default()));
        *request.uri_mut() = uri;
        *request.method_mut() = self.method.into();
        let all = request.headers_mut();
        put(all, &self.headers)?;
        let own: Vec<HeaderName> = all.keys().cloned().collect();
        let mut common = HeaderMap::new();
        put(&mut common, headers)?;
        let outer = outer.headers.iter().filter(|(name, _)| {
            !name.as_str().starts_with("content-") && !common.contains_key(*name)
        });
        for (name, value) in common.iter().chain(outer) {
            if !own.contains(name) && !NOT_TAKEN.contains(name) {
                all.append(name.clone(), value.clone());
            }
        }
        Ok(request)
    }
}

/// Sets headers that are written as JSON; those of [`NOT_TAKEN`] are left out.
fn put(headers: &mut HeaderMap, written: &Map<String, Value>) -> Result<(), String> {
    for (name, value) in written {
        let field = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&text(value)?);
        match (field, value) {
            (Ok(field), Ok(value)) if !NOT_TAKEN.contains(&field) => {
                drop(headers.insert(field, value))
            }
            (Ok(_), Ok(_)) => {}
            _ => return Err(format!("headers: {name:?} cannot be sent")),
        }
    }
    Ok(())
}

fn text(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        _ => Err("expected texts, numbers or truth values in query and headers".into()),
    }
}

impl From<Verb> for Method {
    fn from(verb: Verb) -> Self {
        match verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Delete => Method::DELETE,
            Verb::Patch => Method::PATCH,
            Verb::Head => Method::HEAD,
            Verb::Options => Method::OPTIONS,
        }
    }
}
