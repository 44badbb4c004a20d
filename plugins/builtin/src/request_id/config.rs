//! Configuration of `request-id`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives each request an id, unless the client brings one.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Header that carries the id, to the upstream and to the client. A client's own value of 1 to 256 visible ASCII
    /// characters is kept.
    #[serde(default = "header_name")]
    pub header_name: String,
    /// Whether the client gets the id too. A value that the upstream sends is kept.
    #[serde(default = "yes")]
    pub include_in_response: bool,
    /// How an id is made.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// For the algorithm `range_id`.
    #[serde(default)]
    pub range_id: RangeId,
}

/// How an id is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// A random UUID, version 4.
    #[default]
    Uuid,
    /// 21 random characters that need no escaping in a URL.
    Nanoid,
    /// Random characters of a set of one's own.
    RangeId,
    /// A KSUID: seconds and 128 random bits, 27 characters that sort by time.
    Ksuid,
    /// A UUID, version 7: milliseconds and random bits, sorts by time.
    Uuidv7,
}

/// Length and characters of a `range_id`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RangeId {
    /// Number of characters.
    #[serde(default = "length")]
    #[schemars(range(min = 6, max = 256))]
    pub length: usize,
    /// Characters to choose from, all of them visible ASCII.
    #[serde(default = "char_set")]
    #[schemars(length(min = 6))]
    pub char_set: String,
}

impl Default for RangeId {
    fn default() -> Self {
        Self {
            length: length(),
            char_set: char_set(),
        }
    }
}

fn header_name() -> String {
    "X-Request-Id".to_owned()
}

fn yes() -> bool {
    true
}

fn length() -> usize {
    16
}

/// As in APISIX, where the second `G` stands for a `J`.
fn char_set() -> String {
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIGKLMNOPQRSTUVWXYZ0123456789".to_owned()
}
