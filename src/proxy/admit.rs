//! Judges a request's head before anything acts on it: size, target, host. What passes is the one form that matching and
//! plugins decide by.

use super::{Options, exchange::InFlight};
use crate::matcher::target;
use bytes::Bytes;
use crossway_sdk::{flow::Reply, relay};
use http::{HeaderName, HeaderValue, Method, Version, header};
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

/// Names that upstreams trust because the gateway sets them.
const VOUCHED: [&str; 8] = [
    "x-consumer-username",
    "x-credential-identifier",
    "x-consumer-custom-id",
    "x-real-ip",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// What the gateway says of itself to OPTIONS that may not go further.
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS");

/// Fills in the request, or refuses it.
pub(super) fn admit(session: &mut Session, flight: &mut InFlight) -> Result<(), Reply> {
    let InFlight {
        request,
        snapshot,
        refused,
        ..
    } = flight;
    let options = &snapshot.conduct.requests;
    request.peer = inet(session.client_addr()).unwrap_or(request.peer);
    request.client = request.peer;
    request.server = inet(session.server_addr()).unwrap_or(request.server);
    request.max_body = options.max_body;
    request.tls = session.digest().is_some_and(|d| d.ssl_digest.is_some());
    if session.req_header().headers.contains_key(relay::HEADER)
        && let Some(value) = session.req_header_mut().remove_header(&relay::HEADER)
        && let Some(client) = relay::client(&value)
    {
        request.client = client;
        request.peer = client;
        request.relayed = true;
    }

    if let Some(status) = *refused {
        return Err(Reply::status(status));
    }
    // Without a body there is nothing to wait for where its variables are asked for.
    if session.is_body_empty() {
        request.body = Some(Bytes::new());
    }
    let head = session.req_header();
    let seen = survey(head, options)?;
    judge_method(head)?;
    if is_last_hop(head) {
        return Err(Reply::bytes(200, Bytes::new()).header(header::ALLOW, ALLOWED));
    }
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
        let bad = |error| {
            tracing::debug!(%error, "a request target was refused");
            Reply::status(400)
        };
        let target = origin_form(head);
        let normal = target::normalise(target, options.target).map_err(bad)?;
        if !normal.doubts.is_empty() {
            flight.readings =
                target::readings(target, options.target, normal.doubts).map_err(bad)?;
        }
        if normal.path != head.uri.path() {
            request.normal_path = Some(normal.path.into_owned().into_boxed_str());
        }
    }
    repair(session, &seen)
}

/// Takes out of the head what upstreams would read in another way than the gateway, or believe without reason.
fn repair(session: &mut Session, seen: &Survey) -> Result<(), Reply> {
    if seen.identity {
        let head = session.req_header_mut();
        for name in &IDENTITY {
            head.remove_header(name);
        }
    }
    if seen.disguised {
        let head = session.req_header_mut();
        let names: Vec<HeaderName> = head
            .headers
            .keys()
            .filter(|n| is_disguised(n))
            .cloned()
            .collect();
        for name in &names {
            head.remove_header(name);
        }
    }
    if seen.lengths > 1 || seen.list_of_lengths {
        // In HTTP/2 they frame nothing. Pingora has found them equal: one says it all (RFC 9110 §8.6).
        let length = content_length(session.req_header()).ok_or_else(|| Reply::status(400))?;
        set(session, header::CONTENT_LENGTH, HeaderValue::from(length))?;
    }
    if seen.hops {
        count_hop(session)?;
    }
    if session.req_header().version == Version::HTTP_2 {
        // Upstreams of HTTP/1.1 know the host by nothing else.
        let authority = session.req_header().uri.authority();
        let authority = authority.map(|a| HeaderValue::from_str(a.as_str()));
        if let (None, Some(Ok(host))) = (session.req_header().headers.get(header::HOST), authority)
        {
            set(session, header::HOST, host)?;
        }
    }
    if session.req_header().version == Version::HTTP_10 {
        // Neither of the two exists in HTTP/1.0 (RFC 9110 §7.8, §10.1.1).
        let head = session.req_header_mut();
        head.remove_header(&header::UPGRADE);
        head.remove_header(&header::EXPECT);
        let named = absolute_authority(head.raw_path()).map(HeaderValue::from_bytes);
        if let (None, Some(Ok(authority))) = (head.headers.get(header::HOST), named) {
            set(session, header::HOST, authority)?;
        }
    }
    Ok(())
}

fn set(session: &mut Session, name: HeaderName, value: HeaderValue) -> Result<(), Reply> {
    session
        .req_header_mut()
        .insert_header(name, value)
        .map(drop)
        .map_err(|_| Reply::status(400))
}

/// Path and query, also of a target in absolute form, which has to be understood (RFC 9112 §3.2.2). Of any other it is the
/// whole, for the rules about paths to refuse.
fn origin_form(head: &RequestHeader) -> &[u8] {
    let written = head.raw_path();
    match absolute_authority(written) {
        Some(_) if head.raw_path_is_utf8() => head
            .uri
            .path_and_query()
            .map_or("/", |pq| pq.as_str())
            .as_bytes(),
        _ => written,
    }
}

/// The authority of a target in absolute form.
fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    let rest = ["http://", "https://"].iter().find_map(|scheme| {
        let (start, rest) = target.split_at_checked(scheme.len())?;
        start
            .eq_ignore_ascii_case(scheme.as_bytes())
            .then_some(rest)
    })?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?'));
    rest.get(..end.unwrap_or(rest.len()))
}

/// What one walk over the headers finds.
#[derive(Default)]
struct Survey {
    /// A field of [`IDENTITY`].
    identity: bool,
    /// A field that [`is_disguised`].
    disguised: bool,
    /// Fields that tell the length of the body.
    lengths: usize,
    /// Whether one of them is a list.
    list_of_lengths: bool,
    /// Whether there is a bound of how far the request may go.
    hops: bool,
}

fn survey(head: &RequestHeader, options: &Options) -> Result<Survey, Reply> {
    let mut bytes = 0;
    let mut seen = Survey::default();
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len() + 4;
        seen.identity |= name.as_str().starts_with("x-c") && IDENTITY.contains(name);
        seen.disguised |= is_disguised(name);
        if name == header::CONTENT_LENGTH {
            seen.lengths += 1;
            seen.list_of_lengths |= value.as_bytes().contains(&b',');
        }
        seen.hops |= name == header::MAX_FORWARDS;
    }
    if bytes > options.max_header_bytes || head.headers.len() > options.max_headers {
        return Err(Reply::status(431));
    }
    Ok(seen)
}

/// Whether the name passes for one of [`VOUCHED`] where `_` and `-` are the same: CGI, WSGI, PHP.
fn is_disguised(name: &HeaderName) -> bool {
    let name = name.as_str();
    let same = |a: u8, b: u8| a == b || (a == b'-' && b == b'_');
    name.starts_with('x')
        && name.contains('_')
        && VOUCHED.iter().any(|vouched| {
            vouched.len() == name.len()
                && vouched.bytes().zip(name.bytes()).all(|(a, b)| same(a, b))
        })
}

/// Whether the request must not go further (RFC 9110 §7.6.2). TRACE is refused anyway.
fn is_last_hop(head: &RequestHeader) -> bool {
    head.method == Method::OPTIONS
        && head
            .headers
            .get(header::MAX_FORWARDS)
            .is_some_and(|hops| hops.as_bytes() == b"0")
}

/// Whoever forwards OPTIONS takes a hop off.
fn count_hop(session: &mut Session) -> Result<(), Reply> {
    let head = session.req_header();
    let hops = head.headers.get(header::MAX_FORWARDS);
    let hops = hops.and_then(|h| h.to_str().ok()?.parse::<u32>().ok());
    match hops.filter(|_| head.method == Method::OPTIONS) {
        Some(hops) => set(session, header::MAX_FORWARDS, hops.saturating_sub(1).into()),
        None => Ok(()),
    }
}

/// TRACE would show the client what proxies before us added (RFC 9110 §9.3.8); CONNECT is for forward proxies.
fn judge_method(head: &RequestHeader) -> Result<(), Reply> {
    if is_refused_method(&head.method) {
        return Err(Reply::status(405));
    }
    Ok(())
}

/// Whether requests of this method are answered with 405, whatever the routes say.
pub fn is_refused_method(method: &Method) -> bool {
    matches!(method.as_str(), "TRACE" | "TRACK" | "CONNECT")
}

/// The host without its port, in lower case. HTTP/1.1 demands one (RFC 9112 §3.2).
fn host(head: &RequestHeader) -> Result<Box<str>, Reply> {
    let in_target = absolute_authority(head.raw_path())
        .map(std::str::from_utf8)
        .transpose()
        .map_err(|_| Reply::status(400))?;
    let authority = match in_target.or_else(|| head.uri.authority().map(|a| a.as_str())) {
        Some(authority) => authority,
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
    // `a..b` and `.a` are names of nothing, but some servers repair them to names that have routes of their own.
    let whole = !name.starts_with('.') && !name.contains("..");
    (valid && whole && is_port(port)).then_some(name)
}

fn is_port(text: &str) -> bool {
    text.is_empty()
        || text
            .strip_prefix(':')
            .is_some_and(|p| p.bytes().all(|b| b.is_ascii_digit()))
}

/// What the body is said to have; a list says it several times.
pub(super) fn content_length(head: &RequestHeader) -> Option<u64> {
    let value = head.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    value.split(',').next()?.trim().parse().ok()
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
            "a.test..",
            "a..test",
            ".a.test",
            ".",
        ] {
            assert_eq!(without_port(given), None, "{given}");
        }
    }

    #[test]
    fn an_authority_is_found_in_absolute_targets_only() {
        for (target, authority) in [
            ("http://a.test/x", Some("a.test")),
            ("HTTPS://a.test:1?x=/y", Some("a.test:1")),
            ("http://a.test", Some("a.test")),
            ("/http://a.test/", None),
            ("ftp://a.test/", None),
            ("http:/a", None),
            ("*", None),
        ] {
            assert_eq!(
                absolute_authority(target.as_bytes()),
                authority.map(str::as_bytes),
                "{target}"
            );
        }
    }

    #[test]
    fn underscores_do_not_disguise_what_the_gateway_vouches_for() {
        for (name, disguised) in [
            ("x_consumer_username", true),
            ("x-consumer_username", true),
            ("x_real_ip", true),
            ("x-real-ip", false),
            ("x_real_ips", false),
            ("a_real_ip", false),
        ] {
            assert_eq!(
                is_disguised(&HeaderName::from_static(name)),
                disguised,
                "{name}"
            );
        }
    }
}
