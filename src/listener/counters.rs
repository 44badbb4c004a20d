//! What the edge stopped, and why.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// Why the edge ended a connection or refused a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All of them, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics and logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// There are as many connections as `limits.connections` allows.
    Connections = "connections",
    /// The client has as many connections as `limits.connections_per_client` allows.
    ConnectionsPerClient = "connections_per_client",
    /// The process has no file descriptor left for a connection.
    FileDescriptors = "file_descriptors",
    /// A peer that is not trusted connected to a listener of the PROXY protocol.
    ProxyProtocolUntrusted = "proxy_protocol_untrusted",
    /// What came was no PROXY header.
    ProxyProtocolInvalid = "proxy_protocol_invalid",
    /// The PROXY header did not come in time.
    ProxyProtocolTimeout = "proxy_protocol_timeout",
    /// The TLS handshake took longer than `limits.tls_handshake_timeout`.
    TlsTimeout = "tls_timeout",
    /// The TLS handshake failed.
    TlsFailed = "tls_failed",
    /// There is no certificate for the name that the client asked for.
    TlsUnrecognizedName = "tls_unrecognized_name",
    /// The head of a request took longer than `limits.header_timeout`.
    HeaderTimeout = "header_timeout",
    /// The body of a request came slower than `limits.body_rate`, or stood still.
    BodyRate = "body_rate",
    /// A client took its answer slower than `limits.response_rate`, or not at all.
    ResponseRate = "response_rate",
    /// The connection had as many requests as `limits.requests_per_connection` allows.
    Requests = "requests_per_connection",
    /// The head of a request was not understood, or could be understood in two ways.
    Malformed = "malformed_request",
    /// The head of a request was larger than `limits` allows.
    Oversized = "oversized_request",
    /// The chunks of a body were not well formed.
    MalformedBody = "malformed_body",
    /// An HTTP/2 connection stood idle for longer than `limits.keepalive_timeout`.
    Http2Idle = "http2_idle",
    /// A client broke the rules of HTTP/2 in a way that ends the connection.
    Http2Abuse = "http2_abuse",
    /// More streams of a connection were reset than `limits.http2.resets` allows.
    Http2Resets = "http2_resets",
    /// A client sent more control frames than `limits.http2.control_frames` allows.
    Http2ControlFrames = "http2_control_frames",
    /// A head came in more frames than `limits.http2.continuation_frames` allows.
    Http2Continuations = "http2_continuations",
    /// What came on a stream of HTTP/2 broke the rules, and ended that stream alone: a malformed head, a body of another length
    /// than was said.
    Http2Stream = "http2_stream",
}

/// A counter for each [`Reason`]. They are touched only when something goes wrong.
#[derive(Debug)]
pub struct Counters([AtomicU64; Reason::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Reason::ALL.len()])
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&self, reason: Reason) {
        if let Some(counter) = self.0.get(reason as usize) {
            counter.fetch_add(1, Relaxed);
        }
    }

    /// How many there were since the start.
    pub fn get(&self, reason: Reason) -> u64 {
        self.0.get(reason as usize).map_or(0, |c| c.load(Relaxed))
    }
}
