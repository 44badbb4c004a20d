//! What a plugin decides: go on, or answer; at once, or after waiting.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use std::{future::Future, pin::Pin};

/// A boxed future; only a phase that waits makes one.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A plugin failed. The client gets a 500 without details; the log names the plugin and this text.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    /// An error with a text for the operator.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl From<Box<pingora_core::Error>> for Error {
    fn from(e: Box<pingora_core::Error>) -> Self {
        Self(e.to_string())
    }
}

/// What the plugin decided.
#[derive(Debug)]
pub enum Flow {
    /// The next plugin, and in the end the upstream.
    Next,
    /// This answer ends the request.
    Respond(Reply),
}

/// The answer that a plugin gives in place of the upstream.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers beside those that the gateway sets itself. Without a Content-Type, a body is sent as
    /// `text/plain; charset=utf-8`, as Apache APISIX does.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: ReplyBody,
}

/// Body of a [`Reply`].
#[derive(Debug, Clone)]
pub enum ReplyBody {
    /// Nothing was said: from status 400 on the gateway's error page is sent, below it an empty body.
    Default,
    /// These bytes, which may be none.
    Bytes(Bytes),
}

impl Reply {
    /// An answer without a body of its own: from 400 on, the gateway's error page. A status outside 100–999 becomes 500.
    pub fn status(status: u16) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            headers: Vec::new(),
            body: ReplyBody::Default,
        }
    }

    /// These bytes.
    pub fn bytes(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            body: ReplyBody::Bytes(body.into()),
            ..Self::status(status)
        }
    }

    /// A JSON document and a line feed, as APISIX writes it.
    pub fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::bytes(status, format!("{body}\n"))
    }

    /// `{"message":"…"}`.
    pub fn message(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "message": message }))
    }

    /// `{"error_msg":"…"}`.
    pub fn error_msg(status: u16, message: &str) -> Self {
        Self::json(status, &serde_json::json!({ "error_msg": message }))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the Content-Type.
    #[must_use]
    pub fn content_type(self, value: &'static str) -> Self {
        self.header(header::CONTENT_TYPE, HeaderValue::from_static(value))
    }
}

/// A phase either finished or has to wait. Only waiting allocates.
pub enum Step<'a> {
    /// Decided at once.
    Done(Result<Flow, Error>),
    /// Decided when this future is done.
    Wait(BoxFuture<'a, Result<Flow, Error>>),
}

impl<'a> Step<'a> {
    /// Go on.
    pub fn next() -> Self {
        Step::Done(Ok(Flow::Next))
    }

    /// End the request with this answer.
    pub fn respond(reply: Reply) -> Self {
        Step::Done(Ok(Flow::Respond(reply)))
    }

    /// Fail: 500 for this request, and a log line.
    pub fn fail(error: Error) -> Self {
        Step::Done(Err(error))
    }

    /// Wait for something. The future may borrow the plugin and the exchange.
    pub fn wait(future: impl Future<Output = Result<Flow, Error>> + Send + 'a) -> Self {
        Step::Wait(Box::pin(future))
    }
}
