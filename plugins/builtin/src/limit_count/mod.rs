//! `limit-count`: a number of requests in a window of time, counted in this process or in Redis.
//!
//! Counters belong to the place of use and its configuration: all routes of a service share the service's, an edit of
//! the configuration starts anew, an edit elsewhere or of the plugin's metadata does not.

mod config;
mod delayed;
mod group;
mod rule;
mod shared;
mod window;

#[cfg(test)]
mod tests;

pub(crate) use config::Config;

use crate::{
    limit::{Clock, Link, LinkError, monotonic, version},
    request_body,
};
use config::Metadata;
use crossway_sdk::{prelude::*, rate_limiting::RateLimitingInfo};
use delayed::Delayed;
use group::{Group, Membership};
use http::HeaderValue;
use rule::{Asked, Rule};
use shared::{Cost, Counter, Shared};
use std::sync::Arc;
use window::{Counters, Taken};

/// See the module.
pub struct LimitCount {
    rules: Box<[Rule]>,
    counters: Where,
    rejection: Reply,
    show_quota: bool,
    degrade: bool,
    needs_body: bool,
    /// The place or the group that the counters belong to.
    owner: Arc<str>,
    clock: Clock,
    _group: Option<Membership>,
}

/// Where requests are counted.
enum Where {
    /// In this process, by the position of the rule.
    Local(Arc<Vec<Counters>>),
    /// In Redis.
    Redis(Shared),
    /// Here, and in Redis afterwards.
    Delayed(Arc<Delayed>),
}

/// A failure that the client is told of.
enum Unjudged {
    /// A rule that cannot be read for this request.
    Rule(Error),
    /// Redis.
    Redis(LinkError),
}

impl From<Error> for Unjudged {
    fn from(error: Error) -> Self {
        Self::Rule(error)
    }
}

#[phases]
impl Plugin for LimitCount {
    const NAME: &'static str = "limit-count";
    const PRIORITY: i32 = 1002;
    const ENCRYPTED: &'static [&'static str] = &["redis_password", "sentinel_password"];
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
        let unread = self.needs_body && ex.request.body.is_none();
        match &self.counters {
            Where::Local(counters) if !unread => Step::Done(self.end(self.judge(counters, ex, 1))),
            _ => Step::wait(self.count(ex, 1)),
        }
    }
}

impl LimitCount {
    /// Counts a request as so many.
    pub(crate) async fn count(&self, ex: &mut Exchange<'_>, cost: u64) -> Result<Flow, Error> {
        if self.needs_body
            && ex.request.body.is_none()
            && let Err(end) = request_body::read(ex).await
        {
            return end;
        }
        let judged = match &self.counters {
            Where::Local(counters) => self.judge(counters, ex, cost),
            there => self.judge_there(there, ex, cost).await,
        };
        self.end(judged)
    }

    fn with_clock(config: Config, cx: &BuildCx<'_>, clock: Clock) -> Result<Self, BuildError> {
        // All that was configured, defaults included, in one text.
        let identity: Arc<str> = format!("{config:?}").into();
        // Counters of another plugin that counts in this way are its own.
        let plugin = cx.plugin();
        let metadata = match cx.metadata() {
            Some(document) => Metadata::deserialize(document)
                .map_err(|e| cx.error("", format!("in the metadata: {e}")))?,
            None => Metadata::default(),
        };
        let rules = rule::rules(&config, &metadata, cx)?;
        let link = config.common.link(&config.redis, cx)?;
        let interval = config.interval(cx)?;
        let (owner, group) = match &config.group {
            Some(name) => {
                let shared: Arc<Group> = cx.shared(&format!("{plugin}/{name}"), Group::default);
                let member = shared.join(cx, &identity).map_err(|other| {
                    let place = other.resource;
                    cx.error("/group", format!("group conf mismatched: {place} has the same group with another configuration"))
                })?;
                (name.as_str(), Some(member))
            }
            None => (cx.resource(), None),
        };
        let place = format!("{plugin}/{}/{owner}/{identity}", group.is_some());
        let counters = match link {
            None => Where::Local(cx.shared(&place, || {
                rules
                    .iter()
                    .map(|_| Counters::new(config.window_type))
                    .collect::<Vec<_>>()
            })),
            Some(link) => {
                let shared = |link: Arc<Link>| {
                    let owner = match group {
                        Some(_) => owner.to_owned(),
                        None => format!("{owner}:{}", version(&identity)),
                    };
                    Shared::new(link, plugin, &owner, config.window_type)
                };
                match interval {
                    None => Where::Redis(shared(link)),
                    Some(interval) => Where::Delayed(
                        cx.shared(&place, || Delayed::new(shared(link), interval, clock)),
                    ),
                }
            }
        };
        let needs_body = rules
            .iter()
            .any(|r| r.key.needs_body() || r.count.needs_body() || r.window.needs_body());
        Ok(Self {
            rules,
            counters,
            rejection: config.common.rejection(),
            show_quota: config.show_limit_quota_header,
            degrade: config.common.allow_degradation,
            needs_body,
            owner: owner.into(),
            clock,
            _group: group,
        })
    }

    fn judge(
        &self,
        counters: &[Counters],
        ex: &mut Exchange<'_>,
        cost: u64,
    ) -> Result<Flow, Unjudged> {
        let now = (self.clock)();
        let mut applied = false;
        for (rule, counters) in self.rules.iter().zip(counters) {
            let Some(asked) = rule.asked(ex)? else {
                continue;
            };
            applied = true;
            let taken = counters.take(&asked.key, cost, asked.count, asked.window, now);
            if !self.tell(rule, asked, taken, ex) {
                return Ok(Flow::Respond(self.rejection.clone()));
            }
        }
        went_on(applied)
    }

    async fn judge_there(
        &self,
        there: &Where,
        ex: &mut Exchange<'_>,
        cost: u64,
    ) -> Result<Flow, Unjudged> {
        let mut applied = false;
        for rule in &self.rules {
            let Some(asked) = rule.asked(ex)? else {
                continue;
            };
            applied = true;
            let key = Shared::key(&asked.key, rule.prefix.as_deref());
            let counter = Counter {
                key: &key,
                count: asked.count,
                window: asked.window,
            };
            let taken = match there {
                Where::Redis(shared) => shared
                    .take(counter, Cost::Asked(cost))
                    .await
                    .map_err(Unjudged::Redis)?,
                Where::Delayed(delayed) => delayed.take(counter, cost).await,
                Where::Local(_) => continue,
            };
            if !self.tell(rule, asked, taken, ex) {
                return Ok(Flow::Respond(self.rejection.clone()));
            }
        }
        went_on(applied)
    }

    /// Tells the client and the access log what became of a request; false when it does not pass.
    fn tell(&self, rule: &Rule, asked: Asked, taken: Taken, ex: &mut Exchange<'_>) -> bool {
        if self.show_quota {
            let limit = rule.limit.clone();
            let limit = limit.unwrap_or_else(|| HeaderValue::from(asked.count));
            ex.set_response_header(rule.names.limit.clone(), limit);
            let left = HeaderValue::from(taken.remaining);
            ex.set_response_header(rule.names.remaining.clone(), left);
            ex.set_response_header(rule.names.reset.clone(), seconds(taken.reset));
        }
        ex.request.rate_limiting_info = Some(RateLimitingInfo {
            owner: self.owner.clone(),
            key: asked.key,
            limit: asked.count,
            remaining: taken.remaining,
            reset: taken.reset / 100,
        });
        taken.passes
    }

    fn end(&self, judged: Result<Flow, Unjudged>) -> Result<Flow, Error> {
        match judged {
            Ok(flow) => Ok(flow),
            Err(_) if self.degrade => Ok(Flow::Next),
            Err(Unjudged::Rule(error)) => Err(error),
            Err(Unjudged::Redis(error)) => {
                tracing::debug!(%error, owner = &*self.owner, "limit-count could not ask Redis");
                Ok(Flow::Respond(Reply::error_msg(
                    500,
                    "failed to limit count",
                )))
            }
        }
    }
}

fn went_on(applied: bool) -> Result<Flow, Unjudged> {
    match applied {
        true => Ok(Flow::Next),
        false => Err(Unjudged::Rule(Error::new(
            "no rule applies: the request has no value for any of their keys",
        ))),
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
