//! Names of variables, parsed once.

use std::fmt;

use http::HeaderName;

use super::JsonPath;

/// Generates the variables without a parameter from one table: variant, name, further names.
macro_rules! variables {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal $(| $other:literal)* ,)*) => {
        /// What can be asked of a request. `Display` gives the name back; a variable with several names gives its first.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Variable {
            $( $(#[$doc])* $variant, )*
            /// `arg_x`: the first value of a query argument, decoded. The name is case-sensitive; an argument without
            /// `=` is [`Value::Boolean(true)`](super::Value::Boolean).
            Arg(Box<str>),
            /// `http_x_y`: the request header `X-Y`.
            Header(HeaderName),
            /// `sent_http_x_y`: the response header `X-Y`, as sent to the client.
            SentHeader(HeaderName),
            /// `upstream_http_x_y`: the response header `X-Y`, as the upstream sent it.
            UpstreamHeader(HeaderName),
            /// `cookie_x`: a cookie of the request. The name is case-sensitive.
            Cookie(Box<str>),
            /// `post_arg_x`: the first value of a field of a body in `application/x-www-form-urlencoded`, decoded; one
            /// without `=` is [`Value::Boolean(true)`](super::Value::Boolean).
            PostArg(Box<str>),
            /// `post_arg.a.b[*]`: a path into a body in JSON, `application/x-www-form-urlencoded` or
            /// `multipart/form-data`. Of a form it takes a name, or `name[n]` and `name[*]`: several urlencoded values
            /// of one name are a list, of several parts the first counts.
            PostArgPath(JsonPath),
            /// `uri_param_x`: what `:x` or `*x` of the matched path stood for.
            UriParam(Box<str>),
        }

        fn plain(name: &str) -> Option<Variable> {
            match name {
                $( $name $(| $other)* => Some(Variable::$variant), )*
                _ => None,
            }
        }

        impl fmt::Display for Variable {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$variant => f.write_str($name), )*
                    Self::Arg(name) => write!(f, "arg_{name}"),
                    Self::Header(name) => write_header(f, "http_", name),
                    Self::SentHeader(name) => write_header(f, "sent_http_", name),
                    Self::UpstreamHeader(name) => write_header(f, "upstream_http_", name),
                    Self::Cookie(name) => write!(f, "cookie_{name}"),
                    Self::PostArg(name) => write!(f, "post_arg_{name}"),
                    Self::PostArgPath(path) => write!(f, "post_arg.{path}"),
                    Self::UriParam(name) => write!(f, "uri_param_{name}"),
                }
            }
        }

        #[cfg(test)]
        const NAMES: &[&str] = &[$( $name, )*];
    };
}

variables! {
    /// The normalised path.
    Uri = "uri" | "document_uri",
    /// The normalised path with `$is_args` and `$args`.
    RequestUri = "request_uri",
    /// Path and query as received, less what an authenticator hides.
    RealRequestUri = "real_request_uri",
    /// The request method.
    Method = "method" | "request_method",
    /// The request line.
    Request = "request",
    /// The host without port, in lower case.
    Host = "host",
    /// The `Host` header, or the authority of HTTP/2, as received.
    HttpHost = "http_host",
    /// `http` or `https`.
    Scheme = "scheme",
    /// `on` over TLS, else empty.
    Https = "https",
    /// `_`, the name of APISIX's one server block.
    ServerName = "server_name",
    /// The address that accepted the connection.
    ServerAddr = "server_addr",
    /// The port that accepted the connection.
    ServerPort = "server_port",
    /// The client's address.
    RemoteAddr = "remote_addr",
    /// The client's address as 4 or 16 bytes.
    BinaryRemoteAddr = "binary_remote_addr",
    /// The client's port.
    RemotePort = "remote_port",
    /// The peer's address before `real-ip` replaced it.
    RealipRemoteAddr = "realip_remote_addr",
    /// The peer's port before `real-ip` replaced it.
    RealipRemotePort = "realip_remote_port",
    /// The client's address of the PROXY protocol.
    ProxyProtocolAddr = "proxy_protocol_addr",
    /// The client's port of the PROXY protocol.
    ProxyProtocolPort = "proxy_protocol_port",
    /// The user name of basic authentication.
    RemoteUser = "remote_user",
    /// The query string as received, without `?`, less what an authenticator hides.
    QueryString = "query_string" | "args",
    /// `?` when there is a query string, else empty.
    IsArgs = "is_args",
    /// `HTTP/1.0`, `HTTP/1.1`, `HTTP/2.0`.
    Protocol = "server_protocol" | "protocol",
    /// Bytes of the request so far.
    RequestLength = "request_length",
    /// The request body.
    RequestBody = "request_body",
    /// Bytes sent to the client.
    BytesSent = "bytes_sent",
    /// Bytes of the body sent to the client.
    BodyBytesSent = "body_bytes_sent",
    /// The status sent to the client.
    Status = "status",
    /// The response body, in the log phase.
    ResponseBody = "resp_body",
    /// Seconds since the first byte of the request, with milliseconds.
    RequestTime = "request_time",
    /// `OK` when the request completed, else empty.
    RequestCompletion = "request_completion",
    /// Seconds since 1970 at this moment, with milliseconds.
    Msec = "msec",
    /// Local time in ISO 8601.
    TimeIso8601 = "time_iso8601",
    /// Local time in the Common Log Format.
    TimeLocal = "time_local",
    /// The name of this machine.
    Hostname = "hostname",
    /// The process id.
    Pid = "pid",
    /// The version of the server.
    NginxVersion = "nginx_version",
    /// The serial number of the connection.
    Connection = "connection",
    /// The number of requests so far on the connection.
    ConnectionRequests = "connection_requests",
    /// Seconds since the connection was accepted.
    ConnectionTime = "connection_time",
    /// `p` for a pipelined request, else `.`.
    Pipe = "pipe",
    /// The id of the request: a plugin's, else 32 hexadecimal digits of its own.
    RequestId = "request_id" | "apisix_request_id",
    /// The `Content-Type` of the request.
    ContentType = "content_type",
    /// The `Content-Length` of the request.
    ContentLength = "content_length",
    /// The TLS version of the client connection.
    SslProtocol = "ssl_protocol",
    /// The cipher suite of the client connection.
    SslCipher = "ssl_cipher",
    /// The server name that the client asked for.
    SslServerName = "ssl_server_name",
    /// `r` when the TLS session was resumed, else `.`.
    SslSessionReused = "ssl_session_reused",
    /// `SUCCESS`, `FAILED:reason` or `NONE`.
    SslClientVerify = "ssl_client_verify",
    /// The subject of the client's certificate.
    SslClientSubject = "ssl_client_s_dn",
    /// The issuer of the client's certificate.
    SslClientIssuer = "ssl_client_i_dn",
    /// The serial number of the client's certificate.
    SslClientSerial = "ssl_client_serial",
    /// The SHA-1 fingerprint of the client's certificate.
    SslClientFingerprint = "ssl_client_fingerprint",
    /// The client's certificate in PEM.
    SslClientCert = "ssl_client_cert" | "ssl_client_raw_cert",
    /// The client's certificate in PEM, URL-encoded.
    SslClientEscapedCert = "ssl_client_escaped_cert",
    /// The name of the GraphQL operation that the request asks for; empty when it has none.
    GraphqlName = "graphql_name",
    /// `query`, `mutation` or `subscription`.
    GraphqlOperation = "graphql_operation",
    /// The root fields of that operation, without aliases, those of fragments included.
    GraphqlRootFields = "graphql_root_fields",
    /// The consumer that authentication found.
    ConsumerName = "consumer_name",
    /// The group of that consumer.
    ConsumerGroupId = "consumer_group_id",
    /// The id of the matched route.
    RouteId = "route_id",
    /// The name of the matched route.
    RouteName = "route_name",
    /// The path pattern of the matched route.
    MatchedUri = "matched_uri",
    /// The host pattern of the matched route.
    MatchedHost = "matched_host",
    /// The id of the route's service.
    ServiceId = "service_id",
    /// The name of the route's service.
    ServiceName = "service_name",
    /// The address of the picked node.
    BalancerIp = "balancer_ip",
    /// The port of the picked node.
    BalancerPort = "balancer_port",
    /// The nodes that were tried, separated by `, `.
    UpstreamAddr = "upstream_addr",
    /// Their status codes, separated by `, `.
    UpstreamStatus = "upstream_status",
    /// Seconds until their responses ended, separated by `, `.
    UpstreamResponseTime = "upstream_response_time",
    /// Seconds to connect to them, separated by `, `.
    UpstreamConnectTime = "upstream_connect_time",
    /// Seconds until their response headers, separated by `, `.
    UpstreamHeaderTime = "upstream_header_time",
    /// Bytes of their response bodies, separated by `, `.
    UpstreamResponseLength = "upstream_response_length",
    /// Bytes received from them, separated by `, `.
    UpstreamBytesReceived = "upstream_bytes_received",
    /// Bytes sent to them, separated by `, `.
    UpstreamBytesSent = "upstream_bytes_sent",
    /// `HIT`, `MISS`, … of `proxy-cache`.
    UpstreamCacheStatus = "upstream_cache_status",
    /// The `Host` sent to the upstream, or to be sent as far as it is known.
    UpstreamHost = "upstream_host",
    /// The scheme used towards the upstream; `http` before a node was picked.
    UpstreamScheme = "upstream_scheme",
    /// The path sent to the upstream when a plugin rewrote it.
    UpstreamUri = "upstream_uri",
    /// The node's name before it was resolved.
    UpstreamUnresolvedHost = "upstream_unresolved_host",
    /// What the rate limit of the request said.
    RateLimitingInfo = "rate_limiting_info",
    /// The client id of an MQTT connection.
    MqttClientId = "mqtt_client_id",
}

/// A name that is no variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown variable `{0}`")]
pub struct UnknownVariable(pub String);

impl Variable {
    /// Reads a variable's name, without `$`.
    pub fn parse(name: &str) -> Result<Self, UnknownVariable> {
        plain(name)
            .or_else(|| with_parameter(name))
            .ok_or_else(|| UnknownVariable(name.to_owned()))
    }

    /// Whether the request body must have been read to answer. A request that has none counts as read from the start,
    /// so that GraphQL in a GET is answered at once.
    pub fn needs_body(&self) -> bool {
        matches!(
            self,
            Self::PostArg(_)
                | Self::PostArgPath(_)
                | Self::RequestBody
                | Self::GraphqlName
                | Self::GraphqlOperation
                | Self::GraphqlRootFields
        )
    }
}

fn with_parameter(name: &str) -> Option<Variable> {
    let after = |prefix: &str| name.strip_prefix(prefix).filter(|rest| !rest.is_empty());
    if let Some(argument) = after("arg_") {
        Some(Variable::Arg(argument.into()))
    } else if let Some(header) = after("http_") {
        header_name(header).map(Variable::Header)
    } else if let Some(cookie) = after("cookie_") {
        Some(Variable::Cookie(cookie.into()))
    } else if let Some(path) = after("post_arg.") {
        JsonPath::parse(path).ok().map(Variable::PostArgPath)
    } else if let Some(field) = after("post_arg_") {
        Some(Variable::PostArg(field.into()))
    } else if let Some(parameter) = after("uri_param_") {
        Some(Variable::UriParam(parameter.into()))
    } else if let Some(header) = after("sent_http_") {
        header_name(header).map(Variable::SentHeader)
    } else if let Some(header) = after("upstream_http_") {
        header_name(header).map(Variable::UpstreamHeader)
    } else {
        None
    }
}

/// `_` stands for the `-` of a header's name; case does not matter.
fn header_name(name: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(name.replace('_', "-").as_bytes()).ok()
}

fn write_header(f: &mut fmt::Formatter<'_>, prefix: &str, name: &HeaderName) -> fmt::Result {
    f.write_str(prefix)?;
    let mut separator = "";
    for part in name.as_str().split('-') {
        write!(f, "{separator}{part}")?;
        separator = "_";
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{NAMES, Variable};

    #[test]
    fn a_name_survives_parsing_and_printing() {
        let with_parameter = [
            "arg_Name",
            "http_x_api_key",
            "http_host",
            "cookie_Session-Id",
            "post_arg_a",
            "post_arg.a.b[*]",
            "uri_param_id",
            "sent_http_content_type",
            "upstream_http_x_cache",
        ];
        for name in NAMES.iter().copied().chain(with_parameter) {
            assert_eq!(Variable::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn headers_know_no_case_and_other_names_do() {
        let header = Variable::parse("http_X_Api_Key").unwrap();
        assert_eq!(header, Variable::Header("x-api-key".parse().unwrap()));
        assert_eq!(header, Variable::parse("http_x-api-key").unwrap());
        assert_ne!(
            Variable::parse("arg_A").unwrap(),
            Variable::parse("arg_a").unwrap()
        );
        assert_eq!(Variable::parse("args").unwrap(), Variable::QueryString);
        assert_eq!(
            Variable::parse("apisix_request_id").unwrap(),
            Variable::RequestId
        );
    }

    #[test]
    fn an_unknown_name_is_named() {
        for name in [
            "",
            "urii",
            "arg_",
            "http_",
            "http_a b",
            "post_arg.",
            "post_arg.a[",
            "$uri",
        ] {
            let error = Variable::parse(name).unwrap_err();
            assert_eq!(error.to_string(), format!("unknown variable `{name}`"));
        }
    }

    #[test]
    fn body_variables_say_so() {
        for name in ["post_arg_a", "post_arg.a", "graphql_name", "request_body"] {
            assert!(Variable::parse(name).unwrap().needs_body(), "{name}");
        }
        for name in ["arg_a", "uri", "resp_body", "http_a"] {
            assert!(!Variable::parse(name).unwrap().needs_body(), "{name}");
        }
    }
}
