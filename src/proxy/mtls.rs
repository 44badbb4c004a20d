//! Requests over TLS whose name demands a client certificate. The handshake has settled who the client is; here is judged
//! whether that is enough for the host that it asks for now.

use super::InFlight;
use crossway_sdk::{
    flow::Reply,
    handshake::{TlsFacts, Verification},
};
use pingora_proxy::Session;

/// Refuses a request that comes without the certificate that its name demands, or with one that was verified for another
/// name:
/// * 400, as in APISIX, when the certificate is missing or not good (and the path is none of those that need none);
/// * 421 when the host demands certificates and the connection was made for another name (RFC 9110 §15.5.20): the client
///   may ask again on a connection of its own. APISIX answers 400.
pub(super) fn judge(session: &Session, flight: &InFlight) -> Result<(), Reply> {
    let certificates = &flight.snapshot.certificates;
    if !certificates.any_verifies() {
        return Ok(());
    }
    let facts = session.digest().and_then(TlsFacts::of);
    let asked = facts.and_then(|facts| facts.server_name.as_deref());
    let name = certificates.server_name(asked);
    let own = name.and_then(|name| certificates.find(name));
    if let Some(verification) = own.and_then(|site| site.client()) {
        let verdict = facts.map_or(Verification::None, |facts| {
            facts.judged_by(verification, |chain| verification.judge(chain))
        });
        let path = flight.request.path(session.req_header());
        if verdict != Verification::Success && !verification.skips(path) {
            tracing::debug!(name, %verdict, "a request has no certificate that it needs");
            return Err(Reply::status(400));
        }
    }
    let host = &*flight.request.host;
    if name == Some(host) {
        return Ok(());
    }
    match certificates.find(host).and_then(|site| site.client()) {
        Some(_) => {
            tracing::debug!(name, host, "the certificate was verified for another name");
            Err(Reply::status(421))
        }
        None => Ok(()),
    }
}
