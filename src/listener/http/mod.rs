//! HTTP on a connection: each request's head is read and judged here before Pingora sees it, and Pingora is given exactly one
//! request at a time, with its body and no byte more.

pub mod chunks;
mod connection;
mod cut;
mod framing;
pub mod head;
pub mod http2;
mod pace;
mod refusal;
mod wire;

pub use connection::{Http, LAST_CALL};
pub use cut::Cut;
pub use refusal::Refusal;

use std::time::Duration;

/// Bounds of HTTP connections.
#[derive(Clone, Debug)]
pub struct Options {
    /// How large a request's head may be.
    pub head: head::Limits,
    /// From the first byte of a request to the last of its head.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub keepalive_timeout: Duration,
    /// Requests after which a connection is closed; 0 for any number.
    pub requests: u32,
    /// Bytes each second that a request body must have on average; 0 for no bound.
    pub body_rate: u64,
    /// Bytes each second that a client must take of an answer on average; 0 for no bound.
    pub response_rate: u64,
    /// Whether a plain connection may begin with HTTP/2 (prior knowledge).
    pub h2c: bool,
    /// HTTP/2.
    pub http2: Http2,
}

/// Bounds of HTTP/2 connections.
#[derive(Clone, Debug)]
pub struct Http2 {
    /// Requests at a time on one connection.
    pub streams: u32,
    /// Bytes of a request's fields, decoded, as RFC 9113 §6.5.2 counts them.
    pub header_list: u32,
    /// Bytes of a request body that may be on the way before somebody reads them.
    pub stream_window: u32,
    /// The same of all requests of a connection together.
    pub connection_window: u32,
    /// What a client may send besides requests.
    pub frames: http2::frames::Limits,
}

/// As the settings have it by default.
impl Default for Options {
    fn default() -> Self {
        Self {
            head: head::Limits {
                target: 8192,
                fields: 32768,
                count: 100,
            },
            header_timeout: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(60),
            requests: 0,
            body_rate: 240,
            response_rate: 240,
            h2c: false,
            http2: Http2 {
                streams: 128,
                header_list: 44160,
                stream_window: 65535,
                connection_window: 1_048_576,
                frames: http2::frames::Limits {
                    resets: 100,
                    control: 1000,
                    continuations: 4,
                },
            },
        }
    }
}
