#![allow(clippy::unwrap_used)]
//! A key that is said to be live is one that somebody takes.

use super::*;
use crate::settings::Written;
use std::iter::empty;

/// Each live key with another value than the default.
const OTHER: &str = r#"
listen: {h2c: true, proxy_protocol: {trusted: [10.0.0.0/8], timeout: 3}}
tls: {fallback_sni: a.test, ocsp_dir: /tmp, ocsp_reload: 9}
stream:
  idle_timeout: 5
  udp_idle_timeout: 5
  udp_sessions: 5
  hello_timeout: 5
  buffer: 2048
  proxy_protocol_to_upstream: true
secrets: {ttl: 5, retry: 5, keep: 5, timeout: 4}
limits:
  uri_bytes: 8000
  header_bytes: 32000
  header_count: 99
  body_bytes: 1000000
  header_timeout: 29
  keepalive_timeout: 59
  body_rate: 239
  response_rate: 239
  connections: 1000
  connections_per_client: 900
  requests_per_connection: 800
  tls_handshake_timeout: 9
  http2:
    {streams: 100, stream_window: 70000, connection_window: 70000, resets: 9, control_frames: 99, continuation_frames: 1}
trusted_addresses: [10.0.0.1]
router: {delete_uri_tail_slash: true, normalize_uri_like_servlet: true, match_uri_encoded_slash: true}
paths:
  encoded_slash: refuse
  parameters: refuse
  double_encoding: pass
  backslash: refuse
  double_slash: refuse
  dot_segments: refuse
  forward: normalised
upstream: {dns: {servers: [127.0.0.1]}, limits: {header_bytes: 2048, header_count: 9, interim_responses: 9}}
server_header: other
server_tokens: false
show_upstream_status_in_response_header: true
shutdown: {drain_timeout: 1, readiness_delay: 1}
admin:
  key: c
  keys: [{name: a, key: b, role: viewer}]
  allow: []
  cors: false
  max_body_size: 2048
  server_header: APISIX/3.9.0
access_log: {enabled: false, path: stderr, format: json, template: "$uri", fields: {a: $uri}, queue: 16}
log: {level: debug}
"#;

/// All that `Reload::take` hands on, but for what it looks at in the settings themselves: the second part.
fn handed_on(settings: &Settings) -> (String, String) {
    let conduct = conduct(settings, None);
    let admin = of_admin(settings);
    let first = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?}",
        conduct.connections,
        conduct.requests,
        conduct.sessions,
        conduct.fallback_sni,
        of_secrets(settings),
        (admin.max_body, admin.cors, admin.allow, admin.server_header),
    );
    let second = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        settings.access_log,
        settings.log.level,
        settings.upstream.dns,
        (&settings.tls.ocsp_dir, settings.tls.ocsp_reload),
        settings.shutdown,
        settings.admin.key.as_ref().map(|key| key.expose()),
        settings.admin.keys,
    );
    (first, second)
}

#[test]
fn every_live_key_is_handed_on() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), OTHER).unwrap();
    let other = Written::read(Some(file.path()), empty()).unwrap();
    let plain = Written::read(None, empty()).unwrap();
    for key in Settings::live_keys() {
        let changed = plain.with(&key, &other);
        assert!(changed != *plain.settings(), "{key} is missing in OTHER");
        assert!(
            handed_on(&changed) != handed_on(plain.settings()),
            "{key} is said to be live, and nobody takes it"
        );
    }
}
