//! Counters in Redis: how it is configured, and how keys are made.

mod config;

#[cfg(test)]
mod tests;

pub(crate) use crate::redis::{Argument, Call, Link, LinkError, Script};
pub(crate) use config::Redis;

use super::Policy;
use crate::redis::hex;
use crossway_sdk::build::{BuildCx, BuildError};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, sync::Arc};

/// A key longer than this many bytes is counted under its digest.
const LONGEST_KEY: usize = 128;

/// The way to Redis that a policy asks for; `None` for `local`. All that name the same servers with the same
/// credentials share one. Nothing is connected before the first request.
///
/// # Errors
/// An attribute that the policy needs is missing or cannot be used.
pub(crate) fn link(
    policy: Policy,
    redis: &Redis,
    cx: &BuildCx<'_>,
) -> Result<Option<Arc<Link>>, BuildError> {
    let endpoint = match policy {
        Policy::Local => return Ok(None),
        Policy::Redis => redis.server(cx)?,
        Policy::RedisCluster => redis.cluster(cx)?,
        Policy::RedisSentinel => redis.sentinel(cx)?,
    };
    Ok(Some(Link::shared(endpoint, cx)))
}

/// Twelve hexadecimal digits that stand for a configuration: the same in every gateway that has the same one.
pub(crate) fn version(configuration: &str) -> String {
    let mut digits = hex(&Sha256::digest(configuration));
    digits.truncate(12);
    digits
}

/// The part of a key that a request brings, shortened when it is too long.
pub(crate) fn bounded(key: &[u8]) -> Cow<'_, [u8]> {
    match key.len() {
        0..=LONGEST_KEY => Cow::Borrowed(key),
        _ => Cow::Owned(hex(&Sha256::digest(key)).into_bytes()),
    }
}
