//! Calls of the provider's endpoints.

use super::single_flight::Failed;
use crate::remote::MOST;
use crossway_sdk::{bytes::Bytes, client::Client};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};

/// What stays as it is in a form and in a query (RFC 3986 §2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A text for a form or a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Pairs as `application/x-www-form-urlencoded`.
pub(super) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs = pairs.into_iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The way to the provider.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) client: Arc<Client>,
    pub(super) timeout: Duration,
}

impl Caller {
    /// Fetches a JSON document.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        what: &str,
        uri: &Uri,
        authorization: Option<HeaderValue>,
    ) -> Result<T, Failed> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value);
        }
        let answer = self
            .call(what, Method::GET, uri, headers, Bytes::new())
            .await?;
        read(what, &answer)
    }

    /// Sends a form, and reads the answer as JSON.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        what: &str,
        uri: &Uri,
        headers: HeaderMap,
        body: String,
    ) -> Result<T, Failed> {
        read(what, &self.send(what, uri, headers, body).await?)
    }

    /// Sends a form.
    pub(super) async fn send(
        &self,
        what: &str,
        uri: &Uri,
        mut headers: HeaderMap,
        body: String,
    ) -> Result<Bytes, Failed> {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        self.call(what, Method::POST, uri, headers, body.into())
            .await
    }

    async fn call(
        &self,
        what: &str,
        method: Method,
        uri: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Bytes, Failed> {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        let answer = self.client.send(request, self.timeout, MOST).await;
        let answer = answer.map_err(|error| Failed::new(format!("{what}: {error}")))?;
        match answer.status() {
            // 201 for what was pushed (RFC 9126 §2.2).
            StatusCode::OK | StatusCode::CREATED => Ok(answer.into_body()),
            status => Err(Failed::new(format!(
                "{what}: the provider answered {}{}",
                status.as_u16(),
                code(answer.body())
            ))),
        }
    }
}

/// The error code of RFC 6749 §5.2, if the answer has one that looks like one.
fn code(body: &[u8]) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let code = body.as_ref().and_then(|body| body.get("error")?.as_str());
    code.filter(|code| is_code(code))
        .map_or(String::new(), |code| format!(" ({code})"))
}

/// Whether this is a code that may be logged, and nothing longer.
pub(super) fn is_code(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// Nothing of the document is in the error: it may hold tokens.
fn read<T: DeserializeOwned>(what: &str, body: &[u8]) -> Result<T, Failed> {
    serde_json::from_slice(body).map_err(|_| {
        Failed::new(format!(
            "{what}: the answer is not the JSON that was expected"
        ))
    })
}
