//! Configuration of `brotli`.

use crate::compression::Types;
use schemars::JsonSchema;
use serde::Deserialize;

/// Compresses responses with brotli for clients that accept it.
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
    /// What the bodies are: 0 anything, 1 text in UTF-8, 2 fonts in WOFF 2.0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 2))]
    pub(crate) mode: u8,
    /// From 0, the fastest, to 11, the smallest.
    #[serde(default = "comp_level")]
    #[schemars(range(min = 0, max = 11))]
    pub(crate) comp_level: i32,
    /// Size of the window, as a power of two: 10 to 24, or 0 for 22.
    #[serde(default = "lgwin")]
    #[schemars(extend("enum" = [0, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]))]
    pub(crate) lgwin: i32,
    /// Size of an input block, as a power of two: 16 to 24, or 0 to let the compressor choose.
    #[serde(default)]
    #[schemars(extend("enum" = [0, 16, 17, 18, 19, 20, 21, 22, 23, 24]))]
    pub(crate) lgblock: i32,
    /// The oldest version of HTTP whose clients get compressed bodies: `1.1`, or `1.0`.
    #[serde(default = "http_version")]
    #[schemars(extend("enum" = [1.1, 1.0]))]
    pub(crate) http_version: f64,
    /// Whether responses that may be compressed say `Vary: Accept-Encoding`.
    #[serde(default)]
    pub(crate) vary: bool,
}

fn min_length() -> u64 {
    20
}

fn comp_level() -> i32 {
    6
}

fn lgwin() -> i32 {
    19
}

fn http_version() -> f64 {
    1.1
}
