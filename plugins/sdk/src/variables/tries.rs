//! The nodes that were tried. Of several, the values are joined by `, `, as nginx writes them.

use super::{Value, Variable, clock, owned};
use crate::request::{Request, Try};
use pingora_http::RequestHeader;
use std::{fmt, io::Write, time::Duration};

pub(super) fn answer<'a>(
    request: &'a Request,
    head: &'a RequestHeader,
    variable: &Variable,
) -> Option<Value<'a>> {
    match variable {
        Variable::BalancerIp => {
            let last = request.last_try()?;
            Some(match last.address {
                Some(address) => super::address(address.ip()),
                None => Value::text(&*last.host),
            })
        }
        Variable::BalancerPort => Some(Value::Integer(request.last_try()?.port.into())),
        Variable::UpstreamUnresolvedHost => Some(Value::text(&*request.last_try()?.host)),
        Variable::UpstreamAddr => joined(request, |t, out| match t.address {
            Some(address) => display(out, format_args!("{address}")),
            // A Unix socket: `unix:/path`.
            None if t.port == 0 => display(out, format_args!("{}", t.host)),
            None => display(out, format_args!("{}:{}", t.host, t.port)),
        }),
        Variable::UpstreamStatus => joined(request, |t, out| match t.status {
            Some(status) => out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes()),
            None => out.push(b'-'),
        }),
        // Of a node that is still sending, what is known is when it began.
        Variable::UpstreamResponseTime => {
            joined(request, |t, out| time(t.ended.or(t.answered), out))
        }
        Variable::UpstreamHeaderTime => joined(request, |t, out| time(t.answered, out)),
        Variable::UpstreamConnectTime => joined(request, |t, out| time(t.connected, out)),
        Variable::UpstreamHost => request
            .upstream_host
            .as_ref()
            .or(request.rewritten.host.as_ref())
            .map(|host| Value::text(host.as_bytes()))
            .or_else(|| super::authority(head)),
        Variable::UpstreamScheme => {
            Some(Value::text(request.last_try().map_or("http", |t| t.scheme)))
        }
        Variable::UpstreamUri => Some(Value::text(
            request.rewritten.target.as_deref().unwrap_or_default(),
        )),
        _ => None,
    }
}

fn joined<'a>(request: &Request, write: impl Fn(&Try, &mut Vec<u8>)) -> Option<Value<'a>> {
    if request.tries.is_empty() {
        return None;
    }
    // An address and its port have at most 21 bytes in IPv4.
    let mut out = Vec::with_capacity(24 * request.tries.len());
    for attempt in &request.tries {
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        write(attempt, &mut out);
    }
    Some(owned(out))
}

fn time(duration: Option<Duration>, out: &mut Vec<u8>) {
    match duration {
        Some(duration) => clock::write_seconds(duration, out),
        None => out.push(b'-'),
    }
}

/// Appends what displays itself; a vector takes everything.
pub(super) fn display(out: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    drop(out.write_fmt(text));
}
