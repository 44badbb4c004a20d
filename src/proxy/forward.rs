//! The request head as the upstream gets it: target, method, Host, and what the gateway says of the client.

use super::{InFlight, Options};
use crate::upstream::PassHost;
use http::{HeaderName, HeaderValue, header};
use pingora_core::Result;
use pingora_http::RequestHeader;
use std::io::Write;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// Shapes the head. `client_head` is the client's request, after plugins edited it.
pub(super) fn shape(
    flight: &InFlight,
    options: &Options,
    client_host: Option<HeaderValue>,
    head: &mut RequestHeader,
) -> Result<()> {
    target(flight, head)?;
    if let Some(method) = &flight.request.rewritten.method {
        head.set_method(method.clone());
    }
    host(flight, head)?;
    forwarded(flight, options, client_host, head)?;
    identity(flight, head)?;
    if !flight.route.as_ref().is_some_and(|route| route.websocket)
        && head.headers.contains_key(header::UPGRADE)
    {
        head.remove_header(&header::UPGRADE);
        head.remove_header(&header::CONNECTION);
    }
    Ok(())
}

/// A rewritten target; else the client's bytes, in origin form (RFC 9112 §3.2.1), without what plugins took out of them.
fn target(flight: &InFlight, head: &mut RequestHeader) -> Result<()> {
    if let Some(rewritten) = &flight.request.rewritten.target {
        return head.set_raw_path(rewritten);
    }
    let target = flight.request.target(head);
    if head.uri.scheme().is_none() && *target == *head.raw_path() {
        return Ok(());
    }
    let target = target.into_owned();
    head.set_raw_path(&target)
}

/// `pass_host` decides; a plugin's host counts only with `pass`.
fn host(flight: &InFlight, head: &mut RequestHeader) -> Result<()> {
    let chosen = match flight.upstream.as_ref().map(|u| &u.spec().pass_host) {
        Some(PassHost::Node) => flight
            .picked
            .as_ref()
            .map(|p| p.node().host_header().clone()),
        Some(PassHost::Rewrite(value)) => Some(value.clone()),
        _ => flight.request.rewritten.host.clone(),
    };
    match chosen {
        Some(value) => head.insert_header(header::HOST, value),
        None => Ok(()),
    }
}

/// Who the client is. A trusted peer's own word is kept and continued, anybody else's is replaced.
fn forwarded(
    flight: &InFlight,
    options: &Options,
    client_host: Option<HeaderValue>,
    head: &mut RequestHeader,
) -> Result<()> {
    let request = &flight.request;
    let ip = ip_value(request.client.ip());
    let trusted = !options.trusted.is_empty() && options.trusted.contains(request.client.ip());
    let known = |name: &HeaderName| trusted && head.headers.contains_key(name);
    let (keeps_proto, keeps_host, keeps_port) = (
        known(&X_FORWARDED_PROTO),
        known(&X_FORWARDED_HOST),
        known(&X_FORWARDED_PORT),
    );

    let chain = match head.headers.get(&X_FORWARDED_FOR) {
        Some(before) if trusted || options.trusted.is_empty() => {
            let mut joined = Vec::with_capacity(before.len() + 2 + ip.len());
            joined.extend_from_slice(before.as_bytes());
            joined.extend_from_slice(b", ");
            joined.extend_from_slice(ip.as_bytes());
            HeaderValue::from_maybe_shared(bytes::Bytes::from(joined))
                .unwrap_or_else(|_| ip.clone())
        }
        _ => ip.clone(),
    };
    head.insert_header("X-Real-IP", ip)?;
    head.insert_header("X-Forwarded-For", chain)?;
    if !keeps_proto {
        head.insert_header(
            "X-Forwarded-Proto",
            HeaderValue::from_static(if request.tls { "https" } else { "http" }),
        )?;
    }
    if let (false, Some(host)) = (keeps_host, client_host) {
        head.insert_header("X-Forwarded-Host", host)?;
    }
    if !keeps_port {
        head.insert_header("X-Forwarded-Port", HeaderValue::from(request.server.port()))?;
    }
    if !trusted && head.headers.contains_key(header::FORWARDED) {
        head.remove_header(&header::FORWARDED);
    }
    Ok(())
}

fn ip_value(ip: std::net::IpAddr) -> HeaderValue {
    // The longest form of an IPv6 address has 45 bytes.
    let mut text = [0u8; 48];
    let mut rest = &mut text[..];
    let written = write!(rest, "{ip}").map(|()| 48 - rest.len()).unwrap_or(0);
    HeaderValue::from_bytes(text.get(..written).unwrap_or_default())
        .unwrap_or(HeaderValue::from_static("0.0.0.0"))
}

/// Who the consumer is.
fn identity(flight: &InFlight, head: &mut RequestHeader) -> Result<()> {
    let Some(identity) = &flight.request.identity else {
        return Ok(());
    };
    head.insert_header(
        "X-Consumer-Username",
        identity.consumer.username_header.clone(),
    )?;
    if let Some(id) = &identity.credential {
        head.insert_header("X-Credential-Identifier", id.clone())?;
    }
    if let Some(id) = &identity.consumer.custom_id {
        head.insert_header("X-Consumer-Custom-ID", id.clone())?;
    }
    Ok(())
}
