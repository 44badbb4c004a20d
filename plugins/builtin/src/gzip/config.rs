//! Configuration of `gzip`.

use crate::compression::Types;
use schemars::JsonSchema;
use serde::Deserialize;

/// Compresses responses with gzip for clients that accept it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Media types that are compressed, or `*` for all.
    #[serde(default)]
    pub(crate) types: Types,
    /// The shortest body that is compressed, in bytes. One whose length is not known beforehand is always compressed.
    #[serde(default = "min_length")]
    #[schemars(range(min = 1))]
    pub(crate) min_length: u64,
    /// From 1, the fastest, to 9, the smallest.
    #[serde(default = "comp_level")]
    #[schemars(range(min = 1, max = 9))]
    pub(crate) comp_level: u32,
    /// The oldest version of HTTP whose clients get compressed bodies: `1.1`, or `1.0`.
    #[serde(default = "http_version")]
    #[schemars(extend("enum" = [1.1, 1.0]))]
    pub(crate) http_version: f64,
    /// Buffers of nginx. It is taken and changes nothing: there is nothing like it here.
    #[serde(default)]
    #[expect(dead_code, reason = "there is nothing like it here")]
    pub(crate) buffers: Buffers,
    /// Whether responses that may be compressed say `Vary: Accept-Encoding`.
    #[serde(default)]
    pub(crate) vary: bool,
}

/// Buffers of nginx.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Buffers {
    /// How many.
    #[serde(default = "number", rename = "number")]
    #[schemars(range(min = 1))]
    pub(crate) _number: u64,
    /// Bytes of each.
    #[serde(default = "size", rename = "size")]
    #[schemars(range(min = 1))]
    pub(crate) _size: u64,
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            _number: number(),
            _size: size(),
        }
    }
}

fn min_length() -> u64 {
    20
}

fn comp_level() -> u32 {
    1
}

fn http_version() -> f64 {
    1.1
}

fn number() -> u64 {
    32
}

fn size() -> u64 {
    4096
}
