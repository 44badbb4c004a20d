//! Judges a request's head before anything acts on it: size, target, host. What passes is the one form that matching and
//! plugins decide by.

use super::{Options, exchange::InFlight};
use crate::matcher::target;
use bytes::Bytes;
use crossway_sdk::flow::Reply;
use http::{HeaderName, Method, Version, header};
use pingora_core::protocols::l4::socket::SocketAddr as PeerAddr;
use pingora_http::RequestHeader;
use pingora_proxy::Session;
use std::net::SocketAddr;

/// Headers by which the gateway tells upstreams who the consumer is; a client's own are removed.
pub(super) const IDENTITY: [HeaderName; 3] = [
    HeaderName::from_static("x-consumer-username"),
    HeaderName::from_static("x-credential-identifier"),
    HeaderName::from_static("x-consumer-custom-id"),
];

/// Fills in the request, or refuses it.
pub(super) fn admit(
    session: &mut Session,
    flight: &mut InFlight,
    options: &Options,
) -> Result<(), Reply> {
    let request = &mut flight.request;
    request.client = inet(session.client_addr()).unwrap_or(request.client);
    request.server = inet(session.server_addr()).unwrap_or(request.server);
    request.tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());

    // Without a body there is nothing to wait for where its variables are asked for.
    if session.is_body_empty() {
        request.body = Some(Bytes::new());
    }
    let head = session.req_header();
    let seen = survey(head, options)?;
    judge_method(head)?;
    request.host = host(head)?;
    if head.raw_path().len() > options.max_target {
        return Err(Reply::status(414));
    }
    let written = head.raw_path();
    if written == b"*" {
        if head.method != Method::OPTIONS {
            return Err(Reply::status(400));
        }
    } else {
        let origin_form = match head.uri.scheme() {
            Some(_) => head
                .uri
                .path_and_query()
                .map_or("/", |pq| pq.as_str())
                .as_bytes(),
            None => written,
        };
        match target::normalise(origin_form, options.target) {
            Ok(normal) if normal.path == head.uri.path() => {}
            Ok(normal) => request.normal_path = Some(normal.path.into_owned().into_boxed_str()),
            Err(error) => {
                tracing::debug!(%error, "a request target was refused");
                return Err(Reply::status(400));
            }
        }
    }
    if let (Some(limit), Some(length)) = (options.max_body, content_length(head))
        && length > limit
    {
        return Err(Reply::status(413));
    }
    if seen.identity {
        let head = session.req_header_mut();
        for name in &IDENTITY {
            head.remove_header(name);
        }
    }
    Ok(())
}

/// What one walk over the headers finds.
struct Survey {
    identity: bool,
}

fn survey(head: &RequestHeader, options: &Options) -> Result<Survey, Reply> {
    let mut bytes = 0;
    let mut identity = false;
    for (name, value) in &head.headers {
        let name = name.as_str();
        bytes += name.len() + value.len() + 4;
        identity |= name.starts_with("x-c") && IDENTITY.iter().any(|i| i == name);
    }
    if bytes > options.max_header_bytes || head.headers.len() > options.max_headers {
        return Err(Reply::status(431));
    }
    Ok(Survey { identity })
}

/// TRACE would show the client what proxies before us added (RFC 9110 §9.3.8).
fn judge_method(head: &RequestHeader) -> Result<(), Reply> {
    if is_refused_method(&head.method) {
        return Err(Reply::status(405));
    }
    Ok(())
}

/// Whether requests of this method are answered with 405, whatever the routes say.
pub fn is_refused_method(method: &Method) -> bool {
    matches!(method.as_str(), "TRACE" | "TRACK")
}

/// The host without its port, in lower case. HTTP/1.1 demands one (RFC 9112 §3.2).
fn host(head: &RequestHeader) -> Result<Box<str>, Reply> {
    let authority = match head.uri.authority() {
        Some(authority) => authority.as_str(),
        None => match head.headers.get(header::HOST) {
            Some(value) if value.is_empty() && head.version != Version::HTTP_10 => {
                return Err(Reply::status(400));
            }
            Some(value) => value.to_str().map_err(|_| Reply::status(400))?,
            None if head.version == Version::HTTP_10 => "",
            None => return Err(Reply::status(400)),
        },
    };
    host_name(authority).ok_or_else(|| Reply::status(400))
}

/// The name that routes are found by: lower case, without port and final dot. `None` for what is no host (400).
pub fn host_name(authority: &str) -> Option<Box<str>> {
    let name = without_port(authority)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    Some(name.to_ascii_lowercase().into_boxed_str())
}

/// Strips the port and judges the characters; `None` for what is no host.
fn without_port(authority: &str) -> Option<&str> {
    if authority.starts_with('[') {
        let end = authority.find(']')?;
        let (name, rest) = authority.split_at_checked(end + 1)?;
        let inner = name.strip_prefix('[')?.strip_suffix(']')?;
        let valid = inner
            .bytes()
            .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'));
        return (valid && is_port(rest)).then_some(name);
    }
    let (name, port) = match authority.find(':') {
        Some(at) => authority.split_at_checked(at)?,
        None => (authority, ""),
    };
    let valid = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    (valid && is_port(port)).then_some(name)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

fn content_length(head: &RequestHeader) -> Option<u64> {
    head.headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn inet(address: Option<&PeerAddr>) -> Option<SocketAddr> {
    address.and_then(|a| a.as_inet().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for (given, name) in [
            ("a.test", "a.test"),
            ("A.test:8080", "A.test"),
            ("[::1]:80", "[::1]"),
            ("a_b.test:", "a_b.test"),
            ("", ""),
        ] {
            assert_eq!(without_port(given), Some(name), "{given}");
        }
        for given in [
            "a.test evil",
            "a.test/x",
            "u@a.test",
            "a.test:80x",
            "[::1",
            "[::1]x",
            "a,b",
            "a\tb",
        ] {
            assert_eq!(without_port(given), None, "{given}");
        }
    }
}
