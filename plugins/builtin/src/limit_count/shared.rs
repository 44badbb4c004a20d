//! Windows that are counted in Redis, one key each.

use super::{config::WindowType, window::Taken};
use crate::limit::{Argument, Call, Link, LinkError, Script, bounded};
use std::sync::{Arc, LazyLock};

static FIXED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("fixed.lua")));
static SLIDING: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("sliding.lua")));

/// Ten years in seconds: Redis keeps nothing longer.
const LONGEST_WINDOW: u64 = 315_360_000;

/// The counters of one place of use or group.
pub(crate) struct Shared {
    link: Arc<Link>,
    prefix: Box<[u8]>,
    window: WindowType,
}

/// How a request is counted.
#[derive(Clone, Copy)]
pub(crate) enum Cost {
    /// So many, when they are within the limit.
    Asked(u64),
    /// So many, which have passed already.
    Passed(u64),
}

/// A counter: whose, how much passes, in how many seconds.
#[derive(Clone, Copy)]
pub(crate) struct Counter<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) count: u64,
    pub(crate) window: u64,
}

impl Shared {
    /// Keys are `plugin-<plugin><owner>:…`. With fixed windows they and their values are those of APISIX, so that a
    /// group may be shared with it.
    pub(crate) fn new(link: Arc<Link>, plugin: &str, owner: &str, window: WindowType) -> Self {
        let head = match window {
            WindowType::Fixed => "",
            WindowType::Sliding => "-sliding:",
        };
        let prefix = format!("plugin-{plugin}{head}{owner}:").into_bytes().into();
        Self {
            link,
            prefix,
            window,
        }
    }

    /// The part of a key in Redis that stands for a request's; `suffix` tells several rules apart.
    pub(crate) fn key(key: &[u8], suffix: Option<&str>) -> Vec<u8> {
        let mut full = bounded(key).into_owned();
        if let Some(suffix) = suffix {
            full.push(b':');
            full.extend_from_slice(suffix.as_bytes());
        }
        full
    }

    /// Counts.
    pub(crate) async fn take(&self, counter: Counter<'_>, cost: Cost) -> Result<Taken, LinkError> {
        let script = match self.window {
            WindowType::Fixed => &*FIXED,
            WindowType::Sliding => &*SLIDING,
        };
        let (cost, always) = match cost {
            Cost::Asked(number) => (number, 0),
            Cost::Passed(number) => (number, 1),
        };
        let answer = self
            .link
            .ask(Call::Script {
                script,
                key: &[&*self.prefix, counter.key].concat(),
                arguments: &[
                    Argument::Integer(counter.count),
                    Argument::Integer(counter.window.min(LONGEST_WINDOW)),
                    Argument::Integer(cost),
                    Argument::Integer(always),
                ],
            })
            .await?;
        let [passes, remaining, left] = *answer.as_slice() else {
            return Err(LinkError::Failed("not the answer of the script".into()));
        };
        let positive = |number: i64| u64::try_from(number).unwrap_or(0);
        Ok(Taken {
            passes: passes == 1,
            remaining: positive(remaining),
            reset: positive(left).div_ceil(10),
        })
    }
}
