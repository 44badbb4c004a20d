//! What limit-count, limit-req and limit-conn share: the key that they count by, amounts that a request may name, the
//! table of counters, Redis in its place, the answer for those over the limit. No limit is decided here.

mod amount;
mod clock;
mod common;
mod key;
mod redis;
mod table;

pub(crate) use amount::{Amount, AmountConfig};
pub(crate) use clock::{Clock, MICROS, monotonic};
pub(crate) use common::{Common, Policy};
pub(crate) use key::{Key, KeyType, PerKey};
pub(crate) use redis::{Argument, Call, Link, LinkError, Redis, Script, bounded, version};
pub(crate) use table::{Entry, Table};
