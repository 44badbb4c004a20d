//! From settings to what the data plane takes.

use crate::{matcher::target, proxy::Options, settings::Settings};
use pingora_core::server::configuration::ServerConf;
use std::time::Duration;

/// A client that does not read its response for so long is given up.
const CLIENT_WRITE: Duration = Duration::from_secs(60);

pub(super) fn of_proxy(settings: &Settings) -> Options {
    let router = &settings.router;
    Options {
        server: Some(settings.server()),
        trusted: settings.trusted_addresses.set().clone(),
        target: target::Options {
            keep_encoded_slash: router.match_uri_encoded_slash,
            delete_tail_slash: router.delete_uri_tail_slash,
            like_servlet: router.normalize_uri_like_servlet,
        },
        max_target: settings.limits.uri_bytes,
        max_header_bytes: settings.limits.header_bytes,
        max_headers: settings.limits.header_count,
        max_body: Some(settings.limits.body_bytes).filter(|limit| *limit > 0),
        show_upstream_status: settings.show_upstream_status_in_response_header,
        client_write_timeout: CLIENT_WRITE,
        ports: settings
            .listen
            .http
            .iter()
            .map(|a| (a.port(), a.port().into()))
            .collect(),
    }
}

/// Pingora's own settings. The process leaves as soon as nothing is in flight (see `drain`), so that the grace period
/// is only the bound of that.
pub(super) fn of_pingora(settings: &Settings) -> ServerConf {
    let threads = settings.worker_threads().get();
    ServerConf {
        threads,
        upstream_keepalive_pool_size: settings.upstream.keepalive_pool_size,
        grace_period_seconds: Some(
            settings
                .shutdown
                .drain_timeout
                .0
                .as_secs()
                .saturating_add(5),
        ),
        graceful_shutdown_timeout_seconds: Some(1),
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
