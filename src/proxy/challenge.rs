//! Answers for certificate authorities that ask over plain HTTP whether a name is served here (RFC 8555 §8.3).

use super::InFlight;
use bytes::Bytes;
use crossway_sdk::flow::Reply;
use http::Method;
use pingora_proxy::Session;

/// Where authorities ask.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// Who knows which proofs are awaited. It must not wait.
pub trait Challenges: Send + Sync {
    /// The answer for a token; `None`: nobody asks for it at the moment.
    fn answer(&self, token: &str) -> Option<Bytes>;
}

/// The answer, if this is a question that is awaited. All other requests go on to the routes, also those below the same path:
/// whoever is behind the gateway may order certificates, too.
pub(super) fn answer(
    session: &Session,
    flight: &InFlight,
    challenges: &dyn Challenges,
) -> Option<Reply> {
    let head = session.req_header();
    let token = flight.request.path(head).strip_prefix(PREFIX)?;
    if flight.request.tls || !matches!(head.method, Method::GET | Method::HEAD) {
        return None;
    }
    let answer = challenges.answer(token)?;
    Some(Reply::bytes(200, answer).content_type("application/octet-stream"))
}
