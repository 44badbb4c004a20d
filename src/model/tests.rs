//! Documents of every kind that are accepted or refused, with the text that a client gets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accepted;
mod arbitrary;
mod generated;
mod refused;

use serde_json::{Value, json};

pub(super) const CERT: &str = include_str!("testdata/test-only.crt");
pub(super) const KEY: &str = include_str!("testdata/test-only.key");

/// The document with a field set, by JSON pointer; missing objects are made.
pub(super) fn set(mut document: Value, pointer: &str, value: Value) -> Value {
    let mut here = &mut document;
    for segment in pointer.split('/').skip(1) {
        here = match segment.parse::<usize>() {
            Ok(index) if here.is_array() => &mut here[index],
            _ => &mut here[segment],
        };
    }
    *here = value;
    document
}

pub(super) fn route() -> Value {
    json!({"uri": "/", "upstream": {"nodes": {"127.0.0.1:80": 1}}})
}

pub(super) fn upstream() -> Value {
    json!({"nodes": {"127.0.0.1:80": 1}})
}

pub(super) fn ssl() -> Value {
    json!({"cert": CERT, "key": KEY, "sni": "test.example.com"})
}
