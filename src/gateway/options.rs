//! From settings to what the data plane takes.

use crate::{
    admin,
    listener::{
        Terms,
        http::{self, head},
    },
    matcher::target,
    observe::AccessLog,
    secret,
    settings::{AdminKey, DotSegments, DoubleSlash, ForwardedPath, PathPolicy, Role, Settings},
    snapshot::{AnswerLimits, Conduct, RequestRules, SessionRules},
    tls, upstream,
};
use pingora_core::{apps::HttpServerOptions, server::configuration::ServerConf};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{sync::Arc, time::Duration};

/// A client that does not take a piece of its response in this time is given up.
const MOST_PATIENCE: Duration = Duration::from_secs(60);
/// The same, where a rate gives less; and how large a piece is at most.
const LEAST_PATIENCE: Duration = Duration::from_secs(30);
const PIECE: u64 = 64 * 1024;

/// What traffic is held to.
pub(super) fn conduct(settings: &Settings, access_log: Option<Arc<AccessLog>>) -> Conduct {
    let fallback = settings.tls.fallback_sni.as_deref();
    Conduct {
        connections: Arc::new(terms(settings)),
        requests: of_requests(settings),
        sessions: of_sessions(settings),
        access_log,
        fallback_sni: fallback.map(|name| tls::normal(name).into()),
    }
}

/// What connections are held to.
fn terms(settings: &Settings) -> Terms {
    let (limits, protocol) = (&settings.limits, &settings.listen.proxy_protocol);
    let mut terms = Terms::new(of_http(settings));
    terms.connections = connections(settings);
    terms.per_client = limits.connections_per_client;
    terms.handshake_timeout = limits.tls_handshake_timeout.0;
    terms.proxy_trusted = protocol.trusted.set().clone();
    terms.proxy_timeout = protocol.timeout.0;
    terms
}

fn of_sessions(settings: &Settings) -> SessionRules {
    let stream = &settings.stream;
    SessionRules {
        idle: stream.idle_timeout.0,
        udp_idle: stream.udp_idle_timeout.0,
        udp_sessions: stream.udp_sessions,
        hello: stream.hello_timeout.0,
        buffer: stream.buffer,
        proxy_protocol: stream
            .proxy_protocol_to_upstream
            .then_some(upstream::ProxyProtocol::V1),
    }
}

/// How long values of secret managers count.
pub(super) fn of_secrets(settings: &Settings) -> secret::Options {
    let secrets = &settings.secrets;
    secret::Options {
        ttl: secrets.ttl.0,
        retry: secrets.retry.0,
        keep: secrets.keep.0,
        timeout: secrets.timeout.0,
    }
}

pub(super) fn of_admin(settings: &Settings) -> admin::Options {
    let admin = &settings.admin;
    let mut options = admin::Options::new(admin.server_header.value().clone());
    options.max_body = admin.max_body_size;
    options.cors = admin.cors;
    options.allow = admin.allow.set().clone();
    options.stream = settings.stream.enabled();
    options
}

/// The keys as the Admin API takes them.
pub(super) fn admin_keys(keys: &[AdminKey]) -> Result<admin::AdminKeys, admin::EmptyKey> {
    let role = |role| match role {
        Role::Admin => admin::Role::Admin,
        Role::Viewer => admin::Role::Viewer,
    };
    admin::AdminKeys::new(keys.iter().map(|k| (k.key.expose(), role(k.role))))
}

pub(super) fn of_requests(settings: &Settings) -> RequestRules {
    RequestRules {
        server: Some(settings.server()),
        trusted: settings.trusted_addresses.set().clone(),
        target: of_paths(settings),
        forward_normal: settings.paths.forward == ForwardedPath::Normalised,
        answers: AnswerLimits {
            header_bytes: settings.upstream.limits.header_bytes,
            header_count: settings.upstream.limits.header_count,
            interim: settings.upstream.limits.interim_responses,
        },
        max_target: settings.limits.uri_bytes,
        max_header_bytes: settings.limits.header_bytes,
        max_headers: settings.limits.header_count,
        max_body: Some(settings.limits.body_bytes).filter(|limit| *limit > 0),
        show_upstream_status: settings.show_upstream_status_in_response_header,
        client_write_timeout: patience(settings.limits.response_rate),
        ports: settings
            .listen
            .http
            .iter()
            .chain(settings.listen.https.iter().flat_map(|a| a.iter()))
            .map(|a| (a.port(), a.port().into()))
            .collect(),
    }
}

/// How long a client may take for a piece of its response.
fn patience(rate: u64) -> Duration {
    let seconds = PIECE.checked_div(rate).unwrap_or(u64::MAX);
    LEAST_PATIENCE
        .saturating_add(Duration::from_secs(seconds))
        .min(MOST_PATIENCE)
}

fn of_paths(settings: &Settings) -> target::Options {
    let (router, paths) = (&settings.router, &settings.paths);
    let policy = |written| match written {
        PathPolicy::Refuse => target::Policy::Refuse,
        PathPolicy::SameRoute => target::Policy::SameRoute,
        PathPolicy::Pass => target::Policy::Pass,
    };
    target::Options {
        keep_encoded_slash: router.match_uri_encoded_slash,
        delete_tail_slash: router.delete_uri_tail_slash,
        like_servlet: router.normalize_uri_like_servlet,
        encoded_slash: policy(paths.encoded_slash),
        parameters: policy(paths.parameters),
        double_encoding: policy(paths.double_encoding),
        backslash: policy(paths.backslash),
        double_slash: match paths.double_slash {
            DoubleSlash::Merge => target::DoubleSlash::Merge,
            DoubleSlash::Pass => target::DoubleSlash::Pass,
            DoubleSlash::Refuse => target::DoubleSlash::Refuse,
        },
        dot_segments: match paths.dot_segments {
            DotSegments::Resolve => target::DotSegments::Resolve,
            DotSegments::Refuse => target::DotSegments::Refuse,
        },
    }
}

/// Pingora's own settings.
pub(super) fn of_pingora(settings: &Settings) -> ServerConf {
    ServerConf {
        threads: settings.worker_threads().get(),
        upstream_keepalive_pool_size: settings.upstream.keepalive_pool_size,
        ca_file: settings
            .upstream
            .ca_file
            .as_ref()
            .map(|path| path.display().to_string()),
        // Each request bounds its own tries by its upstream's `retries`.
        max_retries: usize::MAX,
        ..ServerConf::default()
    }
}

/// CONNECT is refused by `proxy::admit`, with a page and a line in the access log. Pingora's own refusal has neither.
pub(super) fn of_pingora_http() -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    options
}

/// The bounds of HTTP connections.
fn of_http(settings: &Settings) -> http::Options {
    let limits = &settings.limits;
    let fields = limits.uri_bytes + limits.header_bytes + 32 * limits.header_count;
    http::Options {
        head: head::Limits {
            target: limits.uri_bytes,
            fields: limits.header_bytes,
            count: limits.header_count,
        },
        header_timeout: limits.header_timeout.0,
        keepalive_timeout: limits.keepalive_timeout.0,
        requests: limits.requests_per_connection,
        body_rate: limits.body_rate,
        response_rate: limits.response_rate,
        h2c: settings.listen.h2c,
        http2: http::Http2 {
            streams: limits.http2.streams,
            header_list: u32::try_from(fields).unwrap_or(u32::MAX),
            stream_window: limits.http2.stream_window,
            connection_window: limits.http2.connection_window,
            frames: http::http2::frames::Limits {
                resets: limits.http2.resets,
                control: limits.http2.control_frames,
                continuations: limits.http2.continuation_frames,
            },
        },
    }
}

/// How many client connections there may be. Those to upstreams, the store and the logs need files, too.
fn connections(settings: &Settings) -> usize {
    match settings.limits.connections {
        0 => {
            let files = usize::try_from(most_files()).unwrap_or(usize::MAX);
            files - files / 8
        }
        connections => connections,
    }
}

/// How many files the process may have open, after asking for as many as it may ask for.
fn most_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let current = match setrlimit(Resource::Nofile, most) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
