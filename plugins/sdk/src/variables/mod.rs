//! Answers `$variables` from a request in flight. Nothing is computed before it is asked for.

mod body;
mod clock;
mod graphql;
mod multipart;
mod query;
mod stream;
mod tls;
mod tries;

#[cfg(all(test, feature = "testing"))]
mod tests;

pub(crate) use body::Parsed;
pub use graphql::{DepthError as GraphqlDepthError, graphql_depth, graphql_operations};
pub use multipart::fields as multipart_fields;
pub use query::{argument, arguments, cookie};

use crate::{
    exchange::Exchange,
    expr::{Lookup, Value, Variable},
    request::Request,
};
use http::{HeaderMap, HeaderName, Version, header};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use std::{borrow::Cow, net::IpAddr, time::SystemTime};

/// A request before it became an exchange, or beside one: what matching and the access log look into.
pub struct View<'a> {
    /// The client's connection.
    pub session: &'a Session,
    /// The request.
    pub request: &'a Request,
}

impl Lookup for Exchange<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        answer(self.session, self.request, variable)
    }
}

impl Lookup for View<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        answer(self.session, self.request, variable)
    }
}

/// The value of a variable. Families that this build has no source for (PROXY protocol, caches)
/// have no value, as in nginx when the feature is off.
fn answer<'a>(
    session: &'a Session,
    request: &'a Request,
    variable: &'a Variable,
) -> Option<Value<'a>> {
    let head = session.req_header();
    match variable {
        Variable::Uri => Some(Value::text(request.path(head))),
        Variable::RequestUri => Some(request_uri(request, head)),
        Variable::RealRequestUri => Some(Value::Bytes(request.target(head))),
        Variable::Method => Some(Value::text(head.method.as_str())),
        Variable::Request => {
            // As received, unless that would tell what an authenticator hides.
            let target = match request.query {
                None => Cow::Borrowed(head.raw_path()),
                Some(_) => request.target(head),
            };
            let line = [
                head.method.as_str().as_bytes(),
                &target,
                protocol(head).as_bytes(),
            ];
            Some(owned(line.join(&b' ')))
        }
        Variable::Host => Some(Value::text(&*request.host)),
        Variable::ServerName => Some(Value::text("_")),
        Variable::HttpHost => authority(head),
        Variable::Scheme => Some(Value::text(if request.tls { "https" } else { "http" })),
        Variable::Https => Some(Value::text(if request.tls { "on" } else { "" })),
        Variable::ServerAddr => Some(address(request.server.ip())),
        Variable::ServerPort => Some(Value::Integer(request.server.port().into())),
        Variable::RemoteAddr => Some(address(request.client.ip())),
        Variable::BinaryRemoteAddr => Some(match request.client.ip() {
            IpAddr::V4(ip) => owned(ip.octets().to_vec()),
            IpAddr::V6(ip) => owned(ip.octets().to_vec()),
        }),
        Variable::RemotePort => Some(Value::Integer(request.client.port().into())),
        Variable::RealipRemoteAddr => Some(address(peer(session, request)?.ip())),
        Variable::RealipRemotePort => Some(Value::Integer(peer(session, request)?.port().into())),
        Variable::RemoteUser => query::basic_user(&head.headers).map(owned),
        Variable::QueryString => request.query(head).map(Value::text),
        Variable::IsArgs => Some(Value::text(match request.query(head) {
            None | Some(b"") => "",
            Some(_) => "?",
        })),
        Variable::Arg(name) => argument(request.query(head)?, name),
        Variable::Protocol => Some(Value::text(protocol(head))),
        Variable::RequestLength => Some(Value::Integer(signed(request_length(session)))),
        Variable::RequestBody => {
            let body = request.body.as_deref().filter(|body| !body.is_empty())?;
            Some(Value::text(body))
        }
        Variable::BytesSent => Some(Value::Integer(signed(bytes_sent(session)))),
        Variable::BodyBytesSent => Some(Value::Integer(signed(session.body_bytes_sent() as u64))),
        Variable::Status => Some(match request.response.status {
            0 => Value::text("000"),
            status => Value::Integer(status.into()),
        }),
        Variable::RequestTime => Some(clock::seconds(request.started.elapsed())),
        Variable::RequestCompletion => Some(Value::text(if request.response.status > 0 {
            "OK"
        } else {
            ""
        })),
        Variable::Msec => Some(clock::msec(SystemTime::now())),
        Variable::TimeIso8601 => Some(clock::iso8601(SystemTime::now())),
        Variable::TimeLocal => Some(clock::common_log(SystemTime::now())),
        Variable::Hostname => Some(Value::text(clock::hostname())),
        Variable::Pid => Some(Value::Integer(std::process::id().into())),
        Variable::RequestId => Some(Value::text(request.id())),
        Variable::ContentType => of(&head.headers, &header::CONTENT_TYPE),
        Variable::ContentLength => of(&head.headers, &header::CONTENT_LENGTH),
        Variable::Header(name) => of(&head.headers, name),
        Variable::SentHeader(name) => {
            let sent: &ResponseHeader = session.response_written()?;
            of(&sent.headers, name)
        }
        Variable::Cookie(name) => cookie(&head.headers, name),
        Variable::PostArg(_)
        | Variable::PostArgPath(_)
        | Variable::GraphqlName
        | Variable::GraphqlOperation
        | Variable::GraphqlRootFields => body::answer(request, head, variable),
        Variable::UriParam(name) => {
            let (_, value) = request.path_params.iter().find(|(n, _)| **n == **name)?;
            Some(Value::text(&**value))
        }
        Variable::ConsumerName => request.consumer_name().map(Value::text),
        Variable::ConsumerGroupId => request
            .identity
            .as_ref()?
            .consumer
            .group_id
            .as_deref()
            .map(Value::text),
        Variable::RouteId => Some(Value::text(&*request.route.as_ref()?.id)),
        Variable::RouteName => request.route.as_ref()?.name.as_deref().map(Value::text),
        Variable::ServiceId => request
            .route
            .as_ref()?
            .service_id
            .as_deref()
            .map(Value::text),
        Variable::ServiceName => request
            .route
            .as_ref()?
            .service_name
            .as_deref()
            .map(Value::text),
        Variable::MatchedUri => Some(Value::text(&*request.matched.as_ref()?.path)),
        Variable::MatchedHost => request.matched.as_ref()?.host.as_deref().map(Value::text),
        Variable::RateLimitingInfo => request
            .rate_limiting_info
            .as_ref()
            .map(|info| owned(info.to_json().into_bytes())),
        Variable::SslProtocol
        | Variable::SslCipher
        | Variable::SslServerName
        | Variable::SslSessionReused
        | Variable::SslClientVerify
        | Variable::SslClientSubject
        | Variable::SslClientIssuer
        | Variable::SslClientSerial
        | Variable::SslClientFingerprint
        | Variable::SslClientCert
        | Variable::SslClientEscapedCert => tls::answer(session.digest()?, variable),
        _ => tries::answer(request, head, variable),
    }
}

fn owned<'a>(bytes: Vec<u8>) -> Value<'a> {
    Value::Bytes(Cow::Owned(bytes))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An address as nginx writes it.
fn address<'a>(ip: IpAddr) -> Value<'a> {
    // Most are IPv4, which has at most 15 bytes.
    let mut text = Vec::with_capacity(16);
    tries::display(&mut text, format_args!("{ip}"));
    owned(text)
}

fn of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Value<'a>> {
    headers.get(name).map(|v| Value::text(v.as_bytes()))
}

fn protocol(head: &RequestHeader) -> &'static str {
    match head.version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// The normalised path with the query as it came; an empty query leaves no `?`.
fn request_uri<'a>(request: &'a Request, head: &'a RequestHeader) -> Value<'a> {
    let path = request.path(head);
    match request.query(head).filter(|query| !query.is_empty()) {
        None => Value::text(path),
        Some(_) if request.normal_path.is_none() => Value::Bytes(request.target(head)),
        Some(query) => owned([path.as_bytes(), query].join(&b'?')),
    }
}

fn authority(head: &RequestHeader) -> Option<Value<'_>> {
    of(&head.headers, &header::HOST)
        .or_else(|| head.uri.authority().map(|a| Value::text(a.as_str())))
}

fn peer(session: &Session, request: &Request) -> Option<std::net::SocketAddr> {
    Some(
        session
            .client_addr()
            .and_then(|a| a.as_inet().copied())
            .unwrap_or(request.client),
    )
}

/// Bytes of the request head, as far as they can be told from the parsed form, and of the body read so far.
pub fn request_length(session: &Session) -> u64 {
    let head = session.req_header();
    // "GET " + target + " HTTP/1.1\r\n", and the empty line.
    let line = head.method.as_str().len() + head.raw_path().len() + 12 + 2;
    (line + fields(&head.headers) + session.body_bytes_read()) as u64
}

/// Bytes of the response head, as far as they can be told from the parsed form, and of the body sent so far.
pub fn bytes_sent(session: &Session) -> u64 {
    // "HTTP/1.1 200 OK\r\n", and the empty line.
    let head = session
        .response_written()
        .map_or(0, |sent: &ResponseHeader| 17 + 2 + fields(&sent.headers));
    (head + session.body_bytes_sent()) as u64
}

fn fields(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum()
}
