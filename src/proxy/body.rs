//! The bodies of a request and of its answer on their way through the plugins.

use super::{
    InFlight,
    stand_in::{self, Source},
};
use bytes::{Bytes, BytesMut};
use crossway_sdk::{body, plugin::Phases};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use std::sync::Arc;

/// Before the upstream is chosen: of a body that was replaced unread nothing may be left on the connection, for Pingora would
/// take it for the next request.
///
/// # Errors
/// The client's body is larger than the gateway allows, or reading it failed.
pub(super) async fn settle(session: &mut Session, flight: &InFlight) -> Result<()> {
    if flight.request.body_replaced {
        loop {
            match body::next(session).await {
                Ok(Some(_)) => within(session, flight)?,
                Ok(None) => break,
                Err(error) => {
                    let status = ErrorType::HTTPStatus(error.status());
                    return Error::e_explain(status, error.to_string());
                }
            }
        }
    }
    within(session, flight)
}

/// Holds what the client has sent so far to the limit.
fn within(session: &Session, flight: &InFlight) -> Result<()> {
    match flight.request.max_body {
        Some(limit) if session.body_bytes_read() as u64 > limit => {
            let status = ErrorType::HTTPStatus(413);
            Error::e_explain(status, "the request body is too large")
        }
        _ => Ok(()),
    }
}

/// Before each attempt: a body that is in memory goes to this node too, with a length that fits.
pub(super) fn hand_over(
    session: &mut Session,
    flight: &mut InFlight,
    head: &mut RequestHeader,
) -> Result<()> {
    take_back(session, flight);
    let request = &flight.request;
    let source = match &request.body {
        Some(body) if request.body_replaced || !body.is_empty() => {
            announce(head, body.len())?;
            Source::Memory(body.clone())
        }
        None if !request.body_start.is_empty() => {
            // An earlier attempt may have read on from where the plugin stopped.
            let mut read = BytesMut::from(&*request.body_start);
            read.extend_from_slice(&session.get_retry_buffer().unwrap_or_default());
            Source::MemoryThenClient(read.freeze())
        }
        _ if asks_for_tunnel(session, flight) => Source::Tunnel,
        _ => return Ok(()),
    };
    if session.req_header().version == Version::HTTP_10 {
        // What stands in cannot be told later that the end of the connection is the end of the answer.
        session.set_keepalive(None);
    }
    flight.stand_in = Some(stand_in::put(session, source));
    Ok(())
}

/// Whether an upstream may answer that another protocol is spoken from now on.
fn asks_for_tunnel(session: &mut Session, flight: &InFlight) -> bool {
    flight.route.as_ref().is_some_and(|route| route.websocket)
        && session.is_upgrade_req()
        && session.is_body_empty()
}

/// Makes the head fit a body whose length is known.
fn announce(head: &mut RequestHeader, length: usize) -> Result<()> {
    let known = head.headers.get(header::CONTENT_LENGTH);
    if known.is_some_and(|known| known.to_str().is_ok_and(|n| n.parse() == Ok(length))) {
        return Ok(());
    }
    let said = known.is_some() || head.headers.contains_key(header::TRANSFER_ENCODING);
    head.remove_header(&header::TRANSFER_ENCODING);
    // HTTP/2 frames a body by itself, and what speaks it may expect to find no length, as gRPC does.
    let framed = head.version == Version::HTTP_2 && !said;
    // Nobody expects a length of 0 with a method that has no body (RFC 9110 §8.6).
    let needless = length == 0
        && matches!(
            head.method,
            Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS | Method::TRACE
        );
    if framed || needless {
        head.remove_header(&header::CONTENT_LENGTH);
        return Ok(());
    }
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(length))
}

/// The client's own session takes its place again.
pub(super) fn take_back(session: &mut Session, flight: &mut InFlight) {
    if let Some(home) = flight.stand_in.take() {
        stand_in::remove(session, &home);
    }
}

/// A piece of the request body on its way to the upstream.
pub(super) fn filter_request(
    session: &mut Session,
    flight: &mut InFlight,
    chunk: &mut Option<Bytes>,
    end: bool,
) -> Result<()> {
    within(session, flight)?;
    if flight.has(Phases::REQUEST_BODY) {
        flight
            .each_chain(session, |chain, ex| chain.request_body(ex, chunk, end))
            .map_err(failed)?;
    }
    Ok(())
}

/// A piece of the answer's body.
pub(super) fn filter_answer(
    session: &mut Session,
    flight: &mut InFlight,
    chunk: &mut Option<Bytes>,
    end: bool,
) -> Result<()> {
    if !flight.has(Phases::BODY_FILTER) {
        return Ok(());
    }
    if flight.body_ended {
        // The filters have said their last word, as with an empty body whose end comes in a piece of its own.
        *chunk = None;
        return Ok(());
    }
    flight.body_ended = end;
    flight
        .each_chain(session, |chain, ex| chain.body_filter(ex, chunk, end))
        .map_err(failed)
}

/// Trailers are the end of the body; bytes that the filters end it with take their place.
pub(super) fn filter_trailers(
    session: &mut Session,
    flight: &mut InFlight,
    trailers: &mut HeaderMap,
) -> Result<Option<Bytes>> {
    if !flight.has(Phases::BODY_FILTER) || flight.body_ended {
        return Ok(None);
    }
    let mut last = None;
    flight.request.response_trailers = Some(std::mem::take(trailers));
    let filtered = filter_answer(session, flight, &mut last, true);
    *trailers = flight.request.response_trailers.take().unwrap_or_default();
    filtered?;
    Ok(last.filter(|bytes| !bytes.is_empty()))
}

/// Whether the head says that no body follows where one could: Pingora then calls no body filter.
pub(super) fn is_bodiless(session: &Session, head: &ResponseHeader) -> bool {
    let none_possible = session.req_header().method == Method::HEAD
        || head.status.is_informational()
        || matches!(
            head.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        );
    let empty = head
        .headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| length.as_bytes() == b"0");
    // gRPC's answer that has trailers only has them in the head.
    let trailers_only = head.version == Version::HTTP_2 && head.headers.contains_key("grpc-status");
    !none_possible && (empty || trailers_only)
}

/// Lets the body filters give a body to an answer that has none.
pub(super) fn fill(
    session: &mut Session,
    flight: &mut InFlight,
    head: &mut ResponseHeader,
) -> Result<()> {
    if !flight.bodiless_answer || !flight.has(Phases::BODY_FILTER) {
        return Ok(());
    }
    let mut body = None;
    filter_answer(session, flight, &mut body, true)?;
    let Some(body) = body.filter(|body| !body.is_empty()) else {
        return Ok(());
    };
    head.remove_header(&header::TRANSFER_ENCODING);
    head.insert_header(header::CONTENT_LENGTH, HeaderValue::from(body.len()))?;
    let home = match &flight.stand_in {
        Some(home) => home.clone(),
        None => stand_in::put(session, Source::MemoryThenClient(Bytes::new())),
    };
    stand_in::give_answer(&home, body);
    flight.stand_in = Some(Arc::clone(&home));
    Ok(())
}

fn failed(failed: crate::chain::Failed) -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(500), failed.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head as it goes out for a body of `length` bytes.
    fn announced(version: Version, method: &str, said: &[(&str, &str)], length: usize) -> String {
        let mut head = RequestHeader::build(method, b"/", None).unwrap();
        head.set_version(version);
        for (name, value) in said {
            head.insert_header((*name).to_owned(), *value).unwrap();
        }
        announce(&mut head, length).unwrap();
        let fields = head.headers.iter();
        let fields = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
        fields.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_body_in_memory_has_a_length_and_no_transfer_encoding() {
        let h1 = Version::HTTP_11;
        for (method, said, length, expected) in [
            (
                "POST",
                &[("content-length", "5")][..],
                5,
                "content-length: 5",
            ),
            ("POST", &[("content-length", "5")], 7, "content-length: 7"),
            (
                "POST",
                &[("transfer-encoding", "chunked")],
                7,
                "content-length: 7",
            ),
            ("GET", &[], 7, "content-length: 7"),
            ("POST", &[("content-length", "5")], 0, "content-length: 0"),
            ("GET", &[("content-length", "5")], 0, ""),
        ] {
            assert_eq!(
                announced(h1, method, said, length),
                expected,
                "{method} {said:?}"
            );
        }
    }

    #[test]
    fn http_2_is_not_told_a_length_that_the_client_did_not_tell() {
        let h2 = Version::HTTP_2;
        assert_eq!(announced(h2, "POST", &[], 7), "");
        let said = [("content-length", "5")];
        assert_eq!(announced(h2, "POST", &said, 7), "content-length: 7");
    }
}
