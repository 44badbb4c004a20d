//! What limit-count, limit-req and limit-conn share: the key that they count by, amounts that a request may name, the
//! table of counters, the answer for those over the limit. No limit is decided here.

mod amount;
mod clock;
mod key;
mod redis;
mod table;

pub(crate) use amount::{Amount, AmountConfig};
pub(crate) use clock::{Clock, MICROS, monotonic};
pub(crate) use key::{Key, KeyType, PerKey};
pub(crate) use redis::{Policy, Redis, local_only};
pub(crate) use table::{Entry, Table};

use crossway_sdk::flow::Reply;

/// The answer for a request over its limit: `{"error_msg": …}` when there is a message, else the gateway's error page.
pub(crate) fn rejection(code: u16, message: Option<&str>) -> Reply {
    match message {
        Some(message) => Reply::error_msg(code, message),
        None => Reply::status(code),
    }
}

/// Status of a rejection, unless configured.
pub(crate) fn rejected_code() -> u16 {
    503
}
