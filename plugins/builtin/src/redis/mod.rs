//! Redis as plugins reach it: where it is, the one connection to it, and what is asked over it.

mod call;
mod endpoint;
mod link;
mod secret;
mod tls;

pub(crate) use call::{Argument, Call, Script};
pub(crate) use endpoint::{Address, Cluster, Endpoint, Kind, Sentinels, Server};
pub(crate) use link::{Link, LinkError};
pub(crate) use secret::Secret;

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}
