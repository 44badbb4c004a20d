//! One rule: what it counts by, how much it lets pass, and the headers that tell so.

use super::config::{Config, Metadata, RuleConfig};
use crate::limit::{Amount, AmountConfig, Key, KeyType};
use crossway_sdk::prelude::*;
use http::{HeaderName, HeaderValue};
use smallvec::SmallVec;
use std::collections::HashSet;

/// See the module.
pub(crate) struct Rule {
    pub(crate) count: Amount,
    pub(crate) window: Amount,
    pub(crate) key: Key,
    /// Of several rules: what tells this one's counters from the others' in Redis. Such a rule does not apply to a
    /// request without the key; else the client's address stands in.
    pub(crate) prefix: Option<Box<str>>,
    pub(crate) names: Names,
    /// The value of the limit's header, when it is always the same.
    pub(crate) limit: Option<HeaderValue>,
}

/// What a rule asks of a request.
pub(crate) struct Asked {
    pub(crate) key: SmallVec<[u8; 48]>,
    pub(crate) count: u64,
    /// In seconds.
    pub(crate) window: u64,
}

/// The headers.
pub(crate) struct Names {
    pub(crate) limit: HeaderName,
    pub(crate) remaining: HeaderName,
    pub(crate) reset: HeaderName,
}

impl Rule {
    /// What the rule asks of a request; `None` when it does not apply.
    pub(crate) fn asked(&self, ex: &Exchange<'_>) -> Result<Option<Asked>, Error> {
        let key = match self.prefix {
            Some(_) => self.key.if_present(ex, SmallVec::from_slice),
            None => Some(
                self.key
                    .or_client(ex, ex.request.client.ip(), SmallVec::from_slice),
            ),
        };
        let Some(key) = key else {
            return Ok(None);
        };
        let of = |name: &str, amount: &Amount| {
            amount
                .resolve(ex)
                .map_err(|e| Error::new(format!("{name}: {e}")))
        };
        Ok(Some(Asked {
            key,
            count: of("count", &self.count)?,
            window: of("time_window", &self.window)?,
        }))
    }
}

/// The rules of a configuration, in order.
pub(crate) fn rules(
    config: &Config,
    metadata: &Metadata,
    cx: &BuildCx<'_>,
) -> Result<Box<[Rule]>, BuildError> {
    match (&config.rules, &config.count, &config.time_window) {
        (None, Some(count), Some(window)) => {
            let key =
                Key::compile(&config.key, config.key_type).map_err(|e| cx.error("/key", e))?;
            Ok(Box::new([rule(
                "",
                (count, window),
                key,
                Names::new(metadata, None, cx)?,
                cx,
            )?]))
        }
        (Some(_), None, None) if config.group.is_some() => Err(cx.error(
            "/group",
            "group and rules cannot be specified at the same time",
        )),
        (Some(rules), None, None) => {
            let mut keys = HashSet::new();
            let each = rules.iter().enumerate().map(|(index, rule)| {
                if keys.insert(rule.key.as_str()) {
                    one_of_several(index, rule, metadata, cx)
                } else {
                    let path = format!("/rules/{index}/key");
                    Err(cx.error(path, format!("duplicate key '{}' in rules", rule.key)))
                }
            });
            each.collect()
        }
        (Some(_), _, _) => Err(cx.error(
            "/rules",
            "count/time_window and rules cannot be specified at the same time",
        )),
        (None, _, _) => Err(cx.error("", "expected count and time_window, or rules")),
    }
}

fn one_of_several(
    index: usize,
    config: &RuleConfig,
    metadata: &Metadata,
    cx: &BuildCx<'_>,
) -> Result<Rule, BuildError> {
    let path = format!("/rules/{index}");
    let key = Key::compile(&config.key, KeyType::VarCombination)
        .map_err(|e| cx.error(format!("{path}/key"), e))?;
    let prefix = config
        .header_prefix
        .clone()
        .unwrap_or_else(|| (index + 1).to_string());
    let names = Names::new(metadata, Some((&prefix, &path)), cx)?;
    let mut rule = rule(&path, (&config.count, &config.time_window), key, names, cx)?;
    rule.prefix = Some(prefix.into());
    Ok(rule)
}

fn rule(
    path: &str,
    (count, window): (&AmountConfig, &AmountConfig),
    key: Key,
    names: Names,
    cx: &BuildCx<'_>,
) -> Result<Rule, BuildError> {
    let amount = |name: &str, config: &AmountConfig| {
        Amount::compile(config, 1).map_err(|e| cx.error(format!("{path}/{name}"), e.to_string()))
    };
    let (count, window) = (amount("count", count)?, amount("time_window", window)?);
    let limit = match count {
        Amount::Fixed(count) => Some(HeaderValue::from(count)),
        Amount::Named { .. } => None,
    };
    Ok(Rule {
        count,
        window,
        key,
        prefix: None,
        names,
        limit,
    })
}

impl Names {
    /// The names of the metadata; a rule's prefix goes before `RateLimit-`.
    fn new(
        metadata: &Metadata,
        prefix: Option<(&str, &str)>,
        cx: &BuildCx<'_>,
    ) -> Result<Self, BuildError> {
        let name = |base: &str| {
            let (full, path) = match prefix {
                Some((prefix, rule)) => (
                    base.replacen("RateLimit-", &format!("{prefix}-RateLimit-"), 1),
                    format!("{rule}/header_prefix"),
                ),
                None => (base.to_owned(), String::new()),
            };
            full.parse()
                .map_err(|_| cx.error(path, format!("{full:?} is not a header name")))
        };
        Ok(Self {
            limit: name(&metadata.limit_header)?,
            remaining: name(&metadata.remaining_header)?,
            reset: name(&metadata.reset_header)?,
        })
    }
}
