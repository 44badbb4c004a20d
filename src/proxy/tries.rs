//! The tries of a request: which node is next, what a failure says of a node, and whether there is another try.

use super::{InFlight, decide, exchange::Stage, failure};
use crossway_sdk::{balance::Outcome as NodeOutcome, request::Try, variables::View};
use http::HeaderValue;
use pingora_core::{Error, ErrorType, Result, upstreams::peer::HttpPeer};
use pingora_proxy::Session;
use std::time::{Instant, SystemTime};

/// Picks a node.
pub(super) fn pick(session: &mut Session, flight: &mut InFlight) -> Result<Box<HttpPeer>> {
    let Some(upstream) = flight.upstream.clone() else {
        return Error::e_explain(ErrorType::HTTPStatus(503), "no upstream");
    };
    let key = match flight.hash_key {
        Some(key) => key,
        None => {
            let key = upstream.hash_key(&View {
                session,
                request: &flight.request,
            });
            flight.hash_key = Some(key);
            key
        }
    };
    flight.first_pick.get_or_insert_with(Instant::now);
    flight.interim = 0;
    let picked = match upstream.pick(key, &flight.tried) {
        Ok(picked) => picked,
        Err(error) => {
            let status = ErrorType::HTTPStatus(error.status().as_u16());
            return Error::e_explain(status, error.to_string());
        }
    };
    let node = picked.node();
    flight.request.tries.push(Try {
        address: picked.address().inet(),
        host: node.host().clone(),
        port: node.port(),
        scheme: upstream.spec().scheme.as_str(),
        status: None,
        stale: false,
        began: Instant::now(),
        connected: None,
        answered: None,
        ended: None,
    });
    let mut peer = {
        let chosen = flight
            .request
            .rewritten
            .host
            .as_ref()
            .and_then(|h| h.to_str().ok());
        let host = chosen.unwrap_or_else(|| decide::authority(session.req_header()));
        picked.peer(Some(host))
    };
    if let Some(timeouts) = flight.route.as_ref().and_then(|r| r.timeouts.as_ref()) {
        timeouts.apply(&mut peer.options);
    }
    if let Some(protocol) = upstream.spec().proxy_protocol {
        let ends = (flight.request.client, flight.request.server);
        protocol.speak_for(&mut peer, ends, connected_since(session));
    }
    flight.picked = Some(picked);
    Ok(peer)
}

/// When the client connected.
fn connected_since(session: &Session) -> Option<SystemTime> {
    let mut timings = session.digest()?.timing_digest.iter();
    timings.next()?.as_ref().map(|timing| timing.established_ts)
}

/// No connection to the node came about.
pub(super) fn not_connected(flight: &mut InFlight, mut error: Box<Error>) -> Box<Error> {
    node_failed(flight, &error);
    error.set_retry(may_retry(flight));
    error
}

/// The exchange with the node broke off; `reused` tells that the connection had been idle.
pub(super) fn broken(
    session: &Session,
    flight: &mut InFlight,
    mut error: Box<Error>,
    reused: bool,
) -> Box<Error> {
    let of_node = matches!(error.esource(), pingora_core::ErrorSource::Upstream);
    if !of_node || flight.stage >= Stage::Answering {
        error.set_retry(false);
        return error;
    }
    // What a node has seen may be sent again only when that does no harm (RFC 9110 §9.2.2).
    let repeatable =
        session.req_header().method.is_idempotent() && !session.retry_buffer_truncated();
    if reused
        && repeatable
        && !failure::is_timeout(&error)
        && !flight.request.tries.iter().any(|t| t.stale)
    {
        // The node closed an idle connection as we took it: it did not fail. Once, try it again.
        flight.picked = None;
        if let Some(attempt) = flight.request.tries.last_mut() {
            attempt.stale = true;
        }
        error.set_retry(true);
        return error;
    }
    node_failed(flight, &error);
    error.set_retry(repeatable && may_retry(flight));
    error
}

/// The request is over: the node in use, if there is one, hears how it went.
pub(super) fn over(flight: &mut InFlight) {
    if let Some(mut picked) = flight.picked.take() {
        let attempt = flight.request.tries.last();
        let failed = attempt.is_none_or(|a| a.status.is_none());
        picked.report(NodeOutcome {
            connect: attempt.and_then(|a| a.connected),
            response: attempt.and_then(|a| a.answered),
            failed,
        });
    }
}

/// The statuses of all nodes that were tried, the last of which decided.
pub(super) fn statuses(flight: &InFlight) -> Option<HeaderValue> {
    let tries = flight.request.tries.iter();
    let statuses: Vec<String> = tries
        .filter_map(|t| t.status)
        .map(|s| s.to_string())
        .collect();
    HeaderValue::from_str(&statuses.join(", "))
        .ok()
        .filter(|value| !value.is_empty())
}

/// Whether another node may be tried.
fn may_retry(flight: &InFlight) -> bool {
    let Some(upstream) = &flight.upstream else {
        return false;
    };
    let tries = flight.request.tries.iter().filter(|t| !t.stale).count();
    let tries = u32::try_from(tries).unwrap_or(u32::MAX);
    let in_time = match (upstream.spec().retry_timeout, flight.first_pick) {
        (Some(limit), Some(first)) if !limit.is_zero() => first.elapsed() < limit,
        _ => true,
    };
    tries < upstream.attempts() && in_time
}

/// Puts down that the node in use failed.
fn node_failed(flight: &mut InFlight, error: &Error) {
    let status = if failure::is_timeout(error) { 504 } else { 502 };
    if let Some(attempt) = flight.request.tries.last_mut() {
        attempt.status = Some(status);
        attempt.ended = Some(attempt.began.elapsed());
    }
    if let Some(mut picked) = flight.picked.take() {
        if failure::is_timeout(error) {
            picked.node().report_timeout();
        } else {
            picked.node().report_tcp_failure();
        }
        flight.tried.insert(picked.index());
        picked.report(NodeOutcome {
            connect: None,
            response: None,
            failed: true,
        });
    }
}
