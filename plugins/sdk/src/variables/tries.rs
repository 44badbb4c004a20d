//! The nodes that were tried. Of several, the values are joined by `, `, as nginx writes them.

use super::{Value, Variable, owned};
use crate::request::{Request, Try};
use http::header;
use pingora_http::RequestHeader;
use std::time::Duration;

pub(super) fn answer<'a>(
    request: &'a Request,
    head: &'a RequestHeader,
    variable: &Variable,
) -> Option<Value<'a>> {
    match variable {
        Variable::BalancerIp => {
            let last = request.last_try()?;
            Some(owned(
                last.address
                    .map_or_else(|| last.host.to_string(), |a| a.ip().to_string())
                    .into_bytes(),
            ))
        }
        Variable::BalancerPort => Some(Value::Integer(request.last_try()?.port.into())),
        Variable::UpstreamUnresolvedHost => Some(Value::text(&*request.last_try()?.host)),
        Variable::UpstreamAddr => joined(request, |t| {
            t.address
                .map_or_else(|| format!("{}:{}", t.host, t.port), |a| a.to_string())
        }),
        Variable::UpstreamStatus => joined(request, |t| {
            t.status.map_or_else(|| "-".to_owned(), |s| s.to_string())
        }),
        Variable::UpstreamResponseTime | Variable::UpstreamHeaderTime => {
            joined(request, |t| time(t.answered))
        }
        Variable::UpstreamConnectTime => joined(request, |t| time(t.connected)),
        Variable::UpstreamHost => request
            .rewritten
            .host
            .as_ref()
            .or_else(|| head.headers.get(header::HOST))
            .map(|host| Value::text(host.as_bytes())),
        Variable::UpstreamScheme => request.last_try().map(|t| Value::text(t.scheme)),
        Variable::UpstreamUri => Some(match &request.rewritten.target {
            Some(target) => Value::text(&**target),
            None => Value::text(""),
        }),
        _ => None,
    }
}

fn joined<'a>(request: &Request, of: impl Fn(&Try) -> String) -> Option<Value<'a>> {
    if request.tries.is_empty() {
        return None;
    }
    let all: Vec<String> = request.tries.iter().map(of).collect();
    Some(owned(all.join(", ").into_bytes()))
}

fn time(duration: Option<Duration>) -> String {
    duration.map_or_else(
        || "-".to_owned(),
        |d| format!("{}.{:03}", d.as_secs(), d.subsec_millis()),
    )
}
