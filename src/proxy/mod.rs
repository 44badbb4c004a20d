//! The data plane: Pingora's callbacks over one snapshot for each request. It reads the snapshot and never changes it.

mod admit;
mod body;
mod challenge;
mod decide;
mod exchange;
mod failure;
mod forward;
mod grpc;
mod http;
mod mtls;
mod page;
mod reply;
mod response;
mod spelling;
mod stand_in;
mod tries;

pub use admit::{host_name, is_refused_method};
pub use challenge::Challenges;
pub use exchange::InFlight;
pub use http::Proxy;

use crate::matcher::target;
use ::http::HeaderValue;
use crossway_sdk::{expr::IpSet, request::Request};
use pingora_proxy::Session;
use std::time::Duration;

/// What the settings say of the data plane.
pub struct Options {
    /// `Server` of every response; `None` leaves the upstream's.
    pub server: Option<HeaderValue>,
    /// Peers whose `X-Forwarded-*` are kept.
    pub trusted: IpSet,
    /// How paths are normalised.
    pub target: target::Options,
    /// Bytes of a request target, above which the answer is 414.
    pub max_target: usize,
    /// Bytes of all request headers, above which the answer is 431.
    pub max_header_bytes: usize,
    /// Number of request headers, above which the answer is 431.
    pub max_headers: usize,
    /// Bytes of a request body, above which the answer is 413; `None` for any.
    pub max_body: Option<u64>,
    /// Whether every response carries `X-APISIX-Upstream-Status`; otherwise those that an upstream answered with 5xx.
    pub show_upstream_status: bool,
    /// How long a response may stand still towards a client that does not read.
    pub client_write_timeout: Duration,
    /// Ports of the listeners, as text for `X-Forwarded-Port`.
    pub ports: Vec<(u16, HeaderValue)>,
}

/// Where the data plane reports to. It must not wait.
pub trait Reports: Send + Sync {
    /// A request was read.
    fn began(&self);
    /// A request is over, whatever became of it.
    fn ended(&self, session: &Session, request: &Request);
}
