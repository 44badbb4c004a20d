//! The form of answers: envelopes of APISIX's Admin API version 3, and the headers that every answer carries.

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_TYPE, SERVER},
    },
    response::Response,
};
use serde_json::{Value, json};

use super::{
    Admin, Options,
    error::{Failure, Said},
};
use crate::{
    model::{Kind, ResourceKey},
    secret::Sealer,
    store::Entry,
};
use std::sync::Arc;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// Headers that let a web page of another origin read answers.
const CORS: [(&str, &str); 4] = [
    ("access-control-allow-origin", "*"),
    ("access-control-allow-credentials", "true"),
    ("access-control-expose-headers", "*"),
    ("access-control-max-age", "3600"),
];
/// The answer to a web page that asks whether it may call.
const PREFLIGHT: [(&str, &str); 5] = [
    ("access-control-allow-origin", "*"),
    (
        "access-control-allow-methods",
        "POST, GET, PUT, OPTIONS, DELETE, PATCH",
    ),
    ("access-control-max-age", "3600"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-credentials", "true"),
];

/// A successful answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Answer {
    /// JSON with a line end, as APISIX ends it.
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self::of(status, JSON, format!("{body}\n"))
    }

    /// Plain text as it stands.
    pub(super) fn text(status: StatusCode, text: &str) -> Self {
        Self::of(status, TEXT, text.to_owned())
    }

    /// Nothing but a status.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: HeaderMap::new(),
            body: String::new(),
        }
    }

    /// A body of any type.
    pub(super) fn of(status: StatusCode, content_type: HeaderValue, body: String) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type);
        Self {
            status,
            headers,
            body,
        }
    }

    /// The same with one more header.
    pub(super) fn with(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }
}

impl From<Failure> for Answer {
    fn from(failure: Failure) -> Self {
        match failure.body {
            Said::Json(body) => Self::json(failure.status, &body),
            Said::Text(text) => Self::text(failure.status, text),
        }
    }
}

impl Admin {
    /// An answer with what every answer carries.
    pub(super) fn respond(&self, answer: Answer, options: &Options) -> Response {
        let mut response = Response::new(Body::from(answer.body));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        *headers = answer.headers;
        headers.insert(SERVER, options.server_header.clone());
        headers.insert(
            HeaderName::from_static("x-api-version"),
            HeaderValue::from_static("v3"),
        );
        if options.cors {
            fill(headers, CORS);
        }
        response
    }

    /// The answer to `OPTIONS` where other origins are let in.
    pub(super) fn preflight(&self, options: &Options) -> Response {
        let mut answer = Answer::text(StatusCode::OK, "");
        fill(&mut answer.headers, PREFLIGHT);
        self.respond(answer, options)
    }

    /// A document's key as clients see it: `/apisix/routes/1`.
    pub(super) fn shown_key(&self, key: &str) -> String {
        format!("{}/{key}", self.rules.load().options.prefix)
    }

    /// Which fields are secret.
    pub(super) fn sealer(&self) -> Arc<Sealer> {
        self.authority.state().workshop().sealer.clone()
    }

    /// A document as lists show it, and viewers get it: its secrets are encrypted, be they so at rest or not.
    pub(super) fn veiled(&self, entry: &Entry, mut document: Value) -> Value {
        if let Ok(key) = entry.key.as_str().parse::<ResourceKey>() {
            self.sealer().veil(&key, &mut document);
        }
        document
    }

    /// One document as `GET` and lists show it. `None` when the store holds no JSON under its key.
    pub(super) fn item(&self, kind: Kind, entry: &Entry, value: Value) -> Value {
        json!({
            "key": self.shown_key(entry.key.as_str()),
            "value": shown(kind, value),
            "createdIndex": entry.created.0,
            "modifiedIndex": entry.modified.0,
        })
    }

    /// One document as the answer to its write shows it.
    pub(super) fn written(&self, created: bool, key: &ResourceKey, document: Value) -> Answer {
        let status = if created {
            StatusCode::CREATED
        } else {
            StatusCode::OK
        };
        let body = json!({
            "key": self.shown_key(&key.to_string()),
            "value": shown(key.kind, document),
        });
        Answer::json(status, &body)
    }
}

fn fill<const N: usize>(headers: &mut HeaderMap, pairs: [(&'static str, &'static str); N]) {
    for (name, value) in pairs {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert(HeaderValue::from_static(value));
    }
}

/// A document as clients may see it: the private keys of certificates are never shown.
pub(super) fn shown(kind: Kind, mut document: Value) -> Value {
    if let (Kind::Ssl, Value::Object(fields)) = (kind, &mut document) {
        fields.remove("key");
        fields.remove("keys");
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_keys_of_certificates_are_not_shown() {
        let ssl = json!({"cert": "c", "key": "k", "certs": ["c"], "keys": ["k"], "sni": "a"});
        assert_eq!(
            shown(Kind::Ssl, ssl),
            json!({"cert": "c", "certs": ["c"], "sni": "a"})
        );
        let route = json!({"key": "k"});
        assert_eq!(shown(Kind::Route, route.clone()), route);
    }
}
