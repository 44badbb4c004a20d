//! A request as an upstream received it.

use serde_json::{Value, json};

use super::Headers;

/// One request on a test upstream, exactly as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Which connection of this upstream it came on, counted from 0.
    pub connection: usize,
    pub method: String,
    /// The request target, not decoded.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    pub headers: Headers,
    pub body: Vec<u8>,
    /// Fields after a chunked body.
    pub trailers: Headers,
}

impl Received {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// What the echoing upstream answers.
    pub fn as_json(&self, upstream: &str) -> Value {
        let headers: Vec<Value> = self
            .headers
            .iter()
            .map(|(n, v)| json!([n, String::from_utf8_lossy(v)]))
            .collect();
        json!({
            "upstream": upstream,
            "method": self.method,
            "target": self.target,
            "version": self.version,
            "headers": headers,
            "body": String::from_utf8_lossy(&self.body),
        })
    }
}
