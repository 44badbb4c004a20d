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

pub use crate::snapshot::RequestRules as Options;

use crate::{listener::Reason, snapshot::Conduct};
use crossway_sdk::request::Request;
use pingora_proxy::Session;

/// Where the data plane reports to. It must not wait.
pub trait Reports: Send + Sync {
    /// A request was read.
    fn began(&self);
    /// A request is over, whatever became of it. `conduct` is what held for it.
    fn ended(&self, session: &Session, request: &Request, conduct: &Conduct);
    /// A client was cut off.
    fn stopped(&self, reason: Reason);
}
