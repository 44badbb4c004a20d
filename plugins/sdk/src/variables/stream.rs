//! Answers `$variables` from a stream session. What belongs to a request alone has no value there.

use super::{address, clock, owned, signed, tries};
use crate::{
    expr::{Lookup, Value, Variable},
    request::Try,
    stream::{StreamExchange, StreamSession},
};
use std::{net::IpAddr, time::SystemTime};

impl Lookup for StreamExchange<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        answer(self.session, variable)
    }
}

impl Lookup for StreamSession {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        answer(self, variable)
    }
}

fn answer<'a>(session: &'a StreamSession, variable: &Variable) -> Option<Value<'a>> {
    let route = session.route.as_deref();
    match variable {
        Variable::RemoteAddr => Some(address(session.client.ip())),
        Variable::BinaryRemoteAddr => Some(match session.client.ip() {
            IpAddr::V4(ip) => owned(ip.octets().to_vec()),
            IpAddr::V6(ip) => owned(ip.octets().to_vec()),
        }),
        Variable::RemotePort => Some(Value::Integer(session.client.port().into())),
        Variable::ProxyProtocolAddr if session.proxied => Some(address(session.client.ip())),
        Variable::ProxyProtocolPort if session.proxied => {
            Some(Value::Integer(session.client.port().into()))
        }
        Variable::ServerAddr => Some(address(session.server.ip())),
        Variable::ServerPort => Some(Value::Integer(session.server.port().into())),
        Variable::Protocol => Some(Value::text(session.transport.as_str())),
        Variable::SslServerName => session.sni.as_deref().map(Value::text),
        Variable::Status => Some(match session.status {
            0 => Value::text("000"),
            status => Value::Integer(status.into()),
        }),
        Variable::RequestLength => Some(Value::Integer(signed(session.bytes.received))),
        Variable::BytesSent => Some(Value::Integer(signed(session.bytes.sent))),
        Variable::ConnectionTime | Variable::RequestTime => {
            Some(clock::seconds(session.started.elapsed()))
        }
        Variable::Msec => Some(clock::msec(SystemTime::now())),
        Variable::TimeIso8601 => Some(clock::iso8601(SystemTime::now())),
        Variable::TimeLocal => Some(clock::common_log(SystemTime::now())),
        Variable::Hostname => Some(Value::text(clock::hostname())),
        Variable::Pid => Some(Value::Integer(std::process::id().into())),
        Variable::RouteId => Some(Value::text(&*route?.id)),
        Variable::RouteName => route?.name.as_deref().map(Value::text),
        Variable::ServiceId => route?.service_id.as_deref().map(Value::text),
        Variable::ServiceName => route?.service_name.as_deref().map(Value::text),
        _ => of_node(session, variable),
    }
}

fn of_node<'a>(session: &'a StreamSession, variable: &Variable) -> Option<Value<'a>> {
    let last = session.last_try()?;
    match variable {
        Variable::BalancerIp => Some(match last.address {
            Some(at) => address(at.ip()),
            None => Value::text(&*last.host),
        }),
        Variable::BalancerPort => Some(Value::Integer(last.port.into())),
        Variable::UpstreamUnresolvedHost => Some(Value::text(&*last.host)),
        Variable::UpstreamScheme => Some(Value::text(last.scheme)),
        Variable::UpstreamAddr => Some(joined(session, |t, out| match t.address {
            Some(address) => tries::display(out, format_args!("{address}")),
            // A Unix socket: `unix:/path`.
            None if t.port == 0 => tries::display(out, format_args!("{}", t.host)),
            None => tries::display(out, format_args!("{}:{}", t.host, t.port)),
        })),
        Variable::UpstreamConnectTime => Some(joined(session, |t, out| match t.connected {
            Some(time) => clock::write_seconds(time, out),
            None => out.push(b'-'),
        })),
        Variable::UpstreamBytesSent => Some(Value::Integer(signed(session.bytes.upstream_sent))),
        Variable::UpstreamBytesReceived => {
            Some(Value::Integer(signed(session.bytes.upstream_received)))
        }
        _ => None,
    }
}

fn joined<'a>(session: &StreamSession, write: impl Fn(&Try, &mut Vec<u8>)) -> Value<'a> {
    let mut out = Vec::with_capacity(24 * session.tries.len());
    for attempt in &session.tries {
        if !out.is_empty() {
            out.extend_from_slice(b", ");
        }
        write(attempt, &mut out);
    }
    owned(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{route::RouteInfo, stream::Transport};
    use std::sync::Arc;

    #[test]
    fn a_session_answers_for_itself_and_knows_no_request() {
        let (client, server) = ("192.0.2.1:4000", "192.0.2.2:9100");
        let mut session = StreamSession::new(
            Transport::Tcp,
            client.parse().unwrap(),
            server.parse().unwrap(),
            "0.0.0.0:9100".into(),
        );
        session.sni = Some("a.test".into());
        session.bytes.received = 7;
        session.route = Some(Arc::new(RouteInfo {
            id: "1".into(),
            ..RouteInfo::default()
        }));
        let text = |name: &str| {
            let variable = Variable::parse(name).unwrap();
            let mut text = Vec::new();
            session.lookup(&variable)?.write_to(&mut text);
            String::from_utf8(text).ok()
        };
        for (name, value) in [
            ("remote_addr", "192.0.2.1"),
            ("remote_port", "4000"),
            ("server_addr", "192.0.2.2"),
            ("server_port", "9100"),
            ("protocol", "TCP"),
            ("ssl_server_name", "a.test"),
            ("request_length", "7"),
            ("route_id", "1"),
            ("status", "000"),
        ] {
            assert_eq!(text(name).as_deref(), Some(value), "{name}");
        }
        for name in ["uri", "http_host", "upstream_addr", "proxy_protocol_addr"] {
            assert_eq!(text(name), None, "{name}");
        }
    }
}
