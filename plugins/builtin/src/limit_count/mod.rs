//! `limit-count`: a number of requests in a window of time, counted in this process.
//!
//! Counters belong to the place of use and its configuration: all routes of a service share the service's, an edit of
//! the configuration starts anew, an edit elsewhere or of the plugin's metadata does not.

mod config;
mod group;
mod window;

#[cfg(test)]
mod tests;

use crate::{
    limit::{Amount, AmountConfig, Clock, Key, KeyType, local_only, monotonic, rejection},
    request_body,
};
use config::{Config, Metadata, RuleConfig};
use crossway_sdk::prelude::*;
use group::{Group, Membership};
use http::{HeaderName, HeaderValue};
use std::{collections::HashSet, sync::Arc};
use window::{Counters, Taken};

/// See the module.
pub struct LimitCount {
    rules: Box<[Rule]>,
    /// Counters by the position of their rule.
    counters: Arc<Vec<Counters>>,
    rejection: Reply,
    show_quota: bool,
    degrade: bool,
    needs_body: bool,
    /// The beginning of `$rate_limiting_info`.
    info: String,
    clock: Clock,
    _group: Option<Membership>,
}

struct Rule {
    count: Amount,
    window: Amount,
    key: Key,
    /// Whether the rule does not apply to a request without the key; else the client's address stands in.
    optional: bool,
    names: Names,
    /// The value of the limit's header, when it is always the same.
    limit: Option<HeaderValue>,
}

struct Names {
    limit: HeaderName,
    remaining: HeaderName,
    reset: HeaderName,
}

#[phases]
impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Self::with_clock(config, cx, monotonic)
    }

    fn metadata_schema() -> Option<Value> {
        Some(
            schemars::generate::SchemaSettings::draft07()
                .into_generator()
                .into_root_schema_for::<Metadata>()
                .to_value(),
        )
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                match request_body::read(ex).await {
                    Ok(()) => self.decide(ex),
                    Err(end) => end,
                }
            });
        }
        Step::Done(self.decide(ex))
    }
}

impl LimitCount {
    fn with_clock(config: Config, cx: &BuildCx<'_>, clock: Clock) -> Result<Self, BuildError> {
        local_only(config.policy, cx)?;
        // All that was configured, defaults included, in one text.
        let identity: Arc<str> = format!("{config:?}").into();
        let metadata = match cx.metadata() {
            Some(document) => Metadata::deserialize(document)
                .map_err(|e| cx.error("", format!("in the metadata: {e}")))?,
            None => Metadata::default(),
        };
        let rules = rules(&config, &metadata, cx)?;
        let (owner, group) = match &config.group {
            Some(name) => {
                let shared: Arc<Group> = cx.shared(&format!("limit-count/{name}"), Group::default);
                let member = shared.join(cx.resource(), &identity).map_err(|other| {
                    let place = other.resource;
                    cx.error("/group", format!("group conf mismatched: {place} has the same group with another configuration"))
                })?;
                (name.as_str(), Some(member))
            }
            None => (cx.resource(), None),
        };
        let place = format!("limit-count/{}/{owner}/{identity}", group.is_some());
        let counters = cx.shared(&place, || {
            rules
                .iter()
                .map(|_| Counters::new(config.window_type))
                .collect::<Vec<_>>()
        });
        let needs_body = rules
            .iter()
            .any(|r| r.key.needs_body() || r.count.needs_body() || r.window.needs_body());
        Ok(Self {
            rules,
            counters,
            rejection: rejection(config.rejected_code, config.rejected_msg.as_deref()),
            show_quota: config.show_limit_quota_header,
            degrade: config.allow_degradation,
            needs_body,
            info: format!("{{\"rate_limiting_key\":\"{}:", escaped(owner.as_bytes())),
            clock,
            _group: group,
        })
    }

    fn decide(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        match self.judge(ex) {
            Err(_) if self.degrade => Ok(Flow::Next),
            judged => judged,
        }
    }

    fn judge(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let now = (self.clock)();
        let mut applied = false;
        for (rule, counters) in self.rules.iter().zip(&*self.counters) {
            let Some((count, taken, info)) = self.take(rule, counters, ex, now)? else {
                continue;
            };
            applied = true;
            ex.request.rate_limiting_info = Some(info);
            if self.show_quota {
                let limit = rule
                    .limit
                    .clone()
                    .unwrap_or_else(|| HeaderValue::from(count));
                ex.set_response_header(rule.names.limit.clone(), limit);
                let left = HeaderValue::from(taken.remaining);
                ex.set_response_header(rule.names.remaining.clone(), left);
                ex.set_response_header(rule.names.reset.clone(), seconds(taken.reset));
            }
            if !taken.passes {
                return Ok(Flow::Respond(self.rejection.clone()));
            }
        }
        if applied {
            Ok(Flow::Next)
        } else {
            Err(Error::new(
                "no rule applies: the request has no value for any of their keys",
            ))
        }
    }

    /// Counts the request; `None` when the rule does not apply.
    fn take(
        &self,
        rule: &Rule,
        counters: &Counters,
        ex: &Exchange<'_>,
        now: u64,
    ) -> Result<Option<(u64, Taken, Box<str>)>, Error> {
        let take = |key: &[u8]| -> Result<_, Error> {
            let of = |name: &str, amount: &Amount| {
                amount
                    .resolve(ex)
                    .map_err(|e| Error::new(format!("{name}: {e}")))
            };
            let (count, window) = (of("count", &rule.count)?, of("time_window", &rule.window)?);
            let taken = counters.take(key, count, window, now);
            Ok((count, taken, self.info(key, count, taken)))
        };
        match rule.optional {
            true => rule.key.if_present(ex, take).transpose(),
            false => rule
                .key
                .or_client(ex, ex.request.client.ip(), take)
                .map(Some),
        }
    }

    /// `$rate_limiting_info`, for access logs.
    fn info(&self, key: &[u8], count: u64, taken: Taken) -> Box<str> {
        let mut info = String::with_capacity(self.info.len() + key.len() + 120);
        info.push_str(&self.info);
        info.push_str(&escaped(key));
        for (name, number) in [
            ("\",\"rate_limiting_limit\":", count),
            (",\"rate_limiting_remaining\":", taken.remaining),
            (",\"rate_limiting_reset\":", taken.reset / 100),
        ] {
            info.push_str(name);
            info.push_str(itoa::Buffer::new().format(number));
        }
        info.push('}');
        info.into_boxed_str()
    }
}

fn rules(
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
    rule.optional = true;
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
        optional: false,
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

/// Hundredths of a second as seconds: `60`, `59.5`, `0.07`.
fn seconds(hundredths: u64) -> HeaderValue {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    if part == 0 {
        return HeaderValue::from(whole);
    }
    let text = format!("{whole}.{part:02}");
    HeaderValue::from_str(text.trim_end_matches('0')).unwrap_or_else(|_| HeaderValue::from(whole))
}

/// The key inside a JSON string.
fn escaped(key: &[u8]) -> std::borrow::Cow<'_, str> {
    let text = String::from_utf8_lossy(key);
    if text.bytes().all(|b| b >= b' ' && b != b'"' && b != b'\\') {
        return text;
    }
    let quoted = Value::from(text.as_ref()).to_string();
    let inside = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    inside.unwrap_or_default().to_owned().into()
}
