//! Requests that the gateway sends to itself on behalf of a client. They say who the client is, in a header that only this
//! process can write: whoever else sends it is not believed.

use http::{HeaderName, HeaderValue};
use rustls::crypto::ring;
use std::{net::SocketAddr, sync::LazyLock};
use subtle::ConstantTimeEq;

/// The header. The gateway takes it out of every request.
pub const HEADER: HeaderName = HeaderName::from_static("x-crossway-relayed-for");

/// 256 random bits in hexadecimal, drawn when they are first needed; `None` when there is no randomness to be had.
static KEY: LazyLock<Option<String>> = LazyLock::new(|| {
    let mut bits = [0u8; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut bits)
        .ok()?;
    Some(bits.iter().map(|byte| format!("{byte:02x}")).collect())
});

/// The value of the header for a client; `None` when it cannot be made.
pub fn vouch(client: SocketAddr) -> Option<HeaderValue> {
    let key = KEY.as_ref()?;
    let mut value = HeaderValue::from_str(&format!("{key} {client}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The client that a value of the header speaks for, when this process wrote it.
pub fn client(value: &HeaderValue) -> Option<SocketAddr> {
    let (key, client) = value.to_str().ok()?.split_once(' ')?;
    let genuine: bool = key.as_bytes().ct_eq(KEY.as_ref()?.as_bytes()).into();
    client.parse().ok().filter(|_| genuine)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_this_process_wrote_is_believed() {
        for address in ["192.0.2.1:4000", "[2001:db8::1]:80"] {
            let address: SocketAddr = address.parse().unwrap();
            let value = vouch(address).unwrap();
            assert_eq!(client(&value), Some(address));
            assert!(!format!("{value:?}").contains("192"));
            let (key, _) = value.to_str().unwrap().split_once(' ').unwrap();
            for forged in [
                format!("{} {address}", "0".repeat(64)),
                format!(" {address}"),
                address.to_string(),
                format!("{key} nobody"),
                key.to_owned(),
            ] {
                assert_eq!(client(&HeaderValue::from_str(&forged).unwrap()), None);
            }
        }
    }
}
