//! Settings of what clients may not exceed.

use super::value::Seconds;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Duration;

/// What a request or a connection may not exceed. What was stopped is counted in `edge_stopped_total`, by reason.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of the request target, query included. Above it the answer is 414.
    #[schemars(range(min = 64, max = 65000))]
    #[schemars(extend("x-applies" = "live"))]
    pub uri_bytes: usize,
    /// Bytes of all request headers together. Above it the answer is 431.
    #[schemars(range(min = 1024, max = 524_288))]
    #[schemars(extend("x-applies" = "live"))]
    pub header_bytes: usize,
    /// Number of request headers. Above it the answer is 431.
    #[schemars(range(min = 1, max = 256))]
    #[schemars(extend("x-applies" = "live"))]
    pub header_count: usize,
    /// Bytes of a request body; 0 for no limit. Above it the answer is 413.
    #[schemars(extend("x-applies" = "live"))]
    pub body_bytes: u64,
    /// Seconds from the first byte of a request to the end of its head; of a new connection, also to the first byte. Above it
    /// the answer is 408.
    #[schemars(range(min = 0.1))]
    #[schemars(extend("x-applies" = "live"))]
    pub header_timeout: Seconds,
    /// Seconds that a connection may stay open without a request.
    #[schemars(range(min = 0.1))]
    #[schemars(extend("x-applies" = "live"))]
    pub keepalive_timeout: Seconds,
    /// Bytes each second that a request body must have on average, after 10 seconds of grace; 0 for no bound. Time in which
    /// the upstream is waited for does not count. Below it the answer is 408. A body that stands still for a minute ends in
    /// any case. Of a gRPC call over HTTP/2 the minute alone counts, an hour after its first message, and none once it is answered.
    #[schemars(range(max = 1_073_741_824))]
    #[schemars(extend("x-applies" = "live"))]
    pub body_rate: u64,
    /// Bytes each second that a client must take of a response on average, after 30 seconds of grace; 0 for no bound. Below it
    /// the connection is closed, and after a minute without one byte in any case. In HTTP/2, each piece of a response, of up to
    /// 64 KiB, must be taken in the time that this gives for it, and in a minute in any case, or its stream ends.
    #[schemars(range(max = 1_073_741_824))]
    #[schemars(extend("x-applies" = "live"))]
    pub response_rate: u64,
    /// Client connections at a time; 0 for as many as the system lets the process have files, less an eighth for other uses.
    /// Those beyond it are closed at once.
    #[schemars(extend("x-applies" = "live"))]
    pub connections: usize,
    /// Client connections at a time from one address; of IPv6, from one /64. 0 for no limit. Those beyond it are closed at once.
    #[schemars(extend("x-applies" = "live"))]
    pub connections_per_client: u32,
    /// Requests after which a connection is closed; 0 for no limit. In HTTP/2 the client is told by GOAWAY.
    #[schemars(extend("x-applies" = "live"))]
    pub requests_per_connection: u32,
    /// Seconds that a TLS handshake may take.
    #[schemars(range(min = 0.1, max = 300))]
    #[schemars(extend("x-applies" = "live"))]
    pub tls_handshake_timeout: Seconds,
    /// HTTP/2.
    pub http2: Http2,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = |seconds| Seconds(Duration::from_secs(seconds));
        Self {
            uri_bytes: 8192,
            header_bytes: 32768,
            header_count: 100,
            body_bytes: 0,
            header_timeout: seconds(30),
            keepalive_timeout: seconds(60),
            body_rate: 240,
            response_rate: 240,
            connections: 0,
            connections_per_client: 0,
            requests_per_connection: 0,
            tls_handshake_timeout: seconds(10),
            http2: Http2::default(),
        }
    }
}

/// What an HTTP/2 connection may not exceed, besides the limits of requests.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// Requests at a time on one connection.
    #[schemars(range(min = 1, max = 10000))]
    #[schemars(extend("x-applies" = "live"))]
    pub streams: u32,
    /// Bytes of a request body that a client may send before they are read.
    #[schemars(range(min = 65535, max = 2_147_483_647))]
    #[schemars(extend("x-applies" = "live"))]
    pub stream_window: u32,
    /// The same of all requests of a connection together.
    #[schemars(range(min = 65535, max = 2_147_483_647))]
    #[schemars(extend("x-applies" = "live"))]
    pub connection_window: u32,
    /// Streams of a connection that may be reset in 10 seconds, besides half as many as it has requests, and half as many as were
    /// answered. It counts what the client cancels and what the gateway has to reset because the client broke the rules. Beyond it
    /// the connection is closed.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("x-applies" = "live"))]
    pub resets: u32,
    /// Frames that a client may send each second that carry no request: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA and
    /// unknown ones; besides eight for each request and four for each frame of an answer. Beyond it the connection is closed.
    #[schemars(range(min = 10, max = 10_000_000))]
    #[schemars(extend("x-applies" = "live"))]
    pub control_frames: u32,
    /// CONTINUATION frames that a request head may have. Beyond it the connection is closed.
    #[schemars(range(max = 5))]
    #[schemars(extend("x-applies" = "live"))]
    pub continuation_frames: u32,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            streams: 128,
            stream_window: 65535,
            connection_window: 1_048_576,
            resets: 100,
            control_frames: 1000,
            continuation_frames: 4,
        }
    }
}
