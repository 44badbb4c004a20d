//! The harness of the black-box tests: it starts the real binary on free ports, plays the
//! client and the upstreams, and ends every process that it started. It knows the gateway only
//! through its binary, its ports and its documents; nothing in here imports the gateway's library.

mod admin;
mod client;
mod frames;
mod gateway;
pub mod h2_frames;
mod headers;
mod http2;
mod message;
mod openid;
mod pebble;
mod pki;
mod ports;
mod process;
mod received;
mod scripted;
mod settings;
mod tls;
mod upstream;
mod wait;

pub use admin::Admin;
pub use client::{Connection, Request, Response};
pub use frames::{Frame, Frames};
#[allow(unused_imports, reason = "named by tests that come later")]
pub use gateway::{Builder, Gateway, Interface, Stopped};
pub use headers::Headers;
pub use http2::Http2;
pub use openid::{OpenidProvider, Proof, fields as form_fields};
pub use pebble::{Pebble, PebbleSettings};
pub use pki::{Authority, Leaf, trusting};
pub use ports::Port;
pub use process::run_to_end;
pub use received::Received;
pub use scripted::{Heard, Say, Scripted};
pub use tls::Identity;
pub use upstream::{Answer, Reply, Upstream};
pub use wait::{eventually, eventually_matches, wait_until};

use std::time::Duration;

/// How long a condition may take to come true before a test fails. Generous on purpose: it bounds
/// a failure, a success does not wait for it, and the tests share two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(20);
