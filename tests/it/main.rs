//! Black-box tests: each starts the real binary, speaks to it over real sockets, and reads as a
//! sentence about what the gateway does. One binary, because linking is what takes long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    clippy::let_underscore_must_use,
    reason = "a test that meets the unexpected should fail where it stands"
)]
#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    reason = "the harness is written as a library for tests that come later"
)]

#[path = "../support/mod.rs"]
mod support;

mod acme;
mod admin;
mod admin_lists;
mod admin_patch;
mod admin_refusals;
mod answers;
mod answers_hostile;
mod answers_http2;
mod bad_input;
mod bodies;
mod durability;
mod edge_heads;
mod edge_limits;
mod edge_listeners;
mod file_store;
mod harness;
mod health;
mod http2_bodies;
mod http2_floods;
mod http2_grpc;
mod http2_messages;
mod message_forms;
mod message_forms_paths;
mod message_forms_trailers;
mod observe;
mod operations;
mod operations_upgrade;
mod plugins;
mod plugins_auth;
mod plugins_auth_more;
mod plugins_cache;
mod plugins_guard;
mod plugins_limits;
mod plugins_loggers;
mod plugins_loggers_more;
mod plugins_oidc;
mod plugins_redis;
mod plugins_tracing;
mod plugins_transform;
mod precedence;
mod reload;
mod routing;
mod secrets;
mod secrets_aws;
mod secrets_google;
mod secrets_places;
mod secrets_refusals;
mod secrets_shown;
mod service_plugins;
mod signals;
mod stream_admin;
mod stream_nodes;
mod stream_tcp;
mod stream_tls;
mod stream_udp;
mod streaming;
mod tls_clients;
mod tls_names;
mod tls_refusals;
mod tls_upstreams;
mod tunnels;
mod upgrade;
mod upstreams;
mod upstreams_proxy_protocol;
mod upstreams_unix;
