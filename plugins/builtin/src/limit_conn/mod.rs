//! `limit-conn`: how many requests of a key are in progress at once; some more wait, the rest are rejected.
//!
//! A request is counted out when the plugin's state of the request is dropped, so an aborted one counts out too; the
//! log phase only learns from it how long requests take.

mod config;
mod limiter;
mod shared;

#[cfg(test)]
mod tests;

use crate::{
    limit::{Amount, AmountConfig, Key, KeyType, version},
    request_body,
};
use config::Config;
use crossway_sdk::prelude::*;
use limiter::{Limiter, Permit};
use shared::Shared;
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};

/// Shorter delays than this are not worth a timer; APISIX draws the line here too.
const SHORTEST_DELAY: Duration = Duration::from_millis(1);

/// See the module.
pub struct LimitConn {
    rules: Box<[Rule]>,
    /// Limiters by the position of their rule.
    limiters: Arc<Vec<Limiter>>,
    /// Where requests are counted when not here.
    shared: Option<Shared>,
    learns: bool,
    rejection: Reply,
    degrade: bool,
    needs_body: bool,
}

struct Rule {
    conn: Amount,
    burst: Amount,
    key: Key,
    /// Whether the rule does not apply to a request without the key; else the client's address stands in.
    optional: bool,
}

/// What a request holds while it is in progress.
#[derive(Default)]
struct Held {
    /// By the position of the rule.
    permits: SmallVec<[(usize, Permit); 1]>,
    delay: Duration,
}

#[phases]
impl Plugin for LimitConn {
    const NAME: &'static str = "limit-conn";
    const PRIORITY: i32 = 1003;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let rules = rules(&config, cx)?;
        let unit = config.default_conn_delay;
        // An instance with the same configuration in the same place goes on with the same counts.
        let (place, identity) = (cx.resource(), format!("{config:?}"));
        let shared = config.common.link(&config.redis, cx)?.map(|link| {
            let version = version(&identity);
            Shared::new(link, &config.redis_prefix, place, &version, config.key_ttl)
        });
        let limiters = cx.shared(&format!("limit-conn/{place}/{identity}"), || {
            rules.iter().map(|_| Limiter::new(unit)).collect::<Vec<_>>()
        });
        let needs_body = rules
            .iter()
            .any(|r| r.key.needs_body() || r.conn.needs_body() || r.burst.needs_body());
        Ok(Self {
            rules,
            limiters,
            shared,
            learns: !config.only_use_default_delay,
            rejection: config.common.rejection(),
            degrade: config.common.allow_degradation,
            needs_body,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let unread = self.needs_body && ex.request.body.is_none();
        if unread || self.shared.is_some() {
            return Step::wait(async move {
                if unread && let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let decided = match &self.shared {
                    Some(shared) => self.enter_shared(shared, ex).await,
                    None => self.enter(ex),
                };
                let flow = self.or_degrade(decided)?;
                self.delay(ex, flow).await
            });
        }
        match self.or_degrade(self.enter(ex)) {
            Ok(flow) if self.delay_of(ex) >= SHORTEST_DELAY => Step::wait(self.delay(ex, flow)),
            decided => Step::Done(decided),
        }
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        if ex.existing_state::<Held>().is_none() {
            return;
        }
        let held = std::mem::take(ex.state::<Held>());
        if !self.learns {
            return;
        }
        // A request that no node saw took what it took here, without the delay.
        let took = match ex.request.last_try() {
            Some(attempt) => attempt.began.elapsed(),
            None => ex.request.started.elapsed().saturating_sub(held.delay),
        };
        for (rule, _) in &held.permits {
            if let Some(limiter) = self.limiters.get(*rule) {
                limiter.learn(took);
            }
        }
    }
}

impl LimitConn {
    fn or_degrade(&self, decided: Result<Flow, Error>) -> Result<Flow, Error> {
        match decided {
            Err(_) if self.degrade => Ok(Flow::Next),
            decided => decided,
        }
    }

    fn enter(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let mut applied = false;
        for (index, (rule, limiter)) in self.rules.iter().zip(&*self.limiters).enumerate() {
            let Some((key, [conn, burst])) = rule.asked(ex)? else {
                continue;
            };
            applied = true;
            let entered = limiter.enter(&key, conn, burst);
            if !hold(index, entered, ex) {
                return Ok(Flow::Respond(self.rejection.clone()));
            }
        }
        went_on(applied)
    }

    async fn enter_shared(&self, shared: &Shared, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let mut applied = false;
        for (index, (rule, limiter)) in self.rules.iter().zip(&*self.limiters).enumerate() {
            let Some((key, amounts)) = rule.asked(ex)? else {
                continue;
            };
            applied = true;
            let entered = limiter
                .enter_shared(shared, index, &key, amounts)
                .await
                .map_err(|e| Error::new(e.to_string()))?;
            if !hold(index, entered, ex) {
                return Ok(Flow::Respond(self.rejection.clone()));
            }
        }
        went_on(applied)
    }

    fn delay_of(&self, ex: &Exchange<'_>) -> Duration {
        ex.existing_state::<Held>()
            .map_or(Duration::ZERO, |held| held.delay)
    }

    /// Waits for as long as the request has to, unless it is rejected.
    async fn delay(&self, ex: &mut Exchange<'_>, flow: Flow) -> Result<Flow, Error> {
        let delay = self.delay_of(ex);
        if matches!(flow, Flow::Next) && delay >= SHORTEST_DELAY {
            tokio::time::sleep(delay).await;
        }
        Ok(flow)
    }
}

/// Has the request hold what a limiter gave it; false when it was not let in.
fn hold(rule: usize, entered: Option<(Permit, Duration)>, ex: &mut Exchange<'_>) -> bool {
    let Some((permit, delay)) = entered else {
        return false;
    };
    let held = ex.state::<Held>();
    held.permits.push((rule, permit));
    held.delay = held.delay.saturating_add(delay);
    true
}

fn went_on(applied: bool) -> Result<Flow, Error> {
    match applied {
        true => Ok(Flow::Next),
        false => Err(Error::new(
            "no rule applies: the request has no value for any of their keys",
        )),
    }
}

/// A key, and `conn` and `burst` for it.
type Asked = (SmallVec<[u8; 48]>, [u64; 2]);

impl Rule {
    /// What the rule asks of a request; `None` when it does not apply.
    fn asked(&self, ex: &Exchange<'_>) -> Result<Option<Asked>, Error> {
        let key = match self.optional {
            true => self.key.if_present(ex, SmallVec::from_slice),
            false => Some(
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
        Ok(Some((
            key,
            [of("conn", &self.conn)?, of("burst", &self.burst)?],
        )))
    }
}

fn rules(config: &Config, cx: &BuildCx<'_>) -> Result<Box<[Rule]>, BuildError> {
    match (&config.rules, &config.conn, &config.burst, &config.key) {
        (None, Some(conn), Some(burst), Some(key)) => {
            let key = Key::compile(key, config.key_type.into()).map_err(|e| cx.error("/key", e))?;
            Ok(Box::new([rule("", conn, burst, key, cx)?]))
        }
        (Some(rules), None, None, None) => {
            let each = rules.iter().enumerate().map(|(index, config)| {
                let path = format!("/rules/{index}");
                let key = Key::compile(&config.key, KeyType::VarCombination)
                    .map_err(|e| cx.error(format!("{path}/key"), e))?;
                let mut rule = rule(&path, &config.conn, &config.burst, key, cx)?;
                rule.optional = true;
                Ok(rule)
            });
            each.collect()
        }
        (Some(_), ..) => Err(cx.error(
            "/rules",
            "conn/burst/key and rules cannot be specified at the same time",
        )),
        (None, ..) => Err(cx.error("", "expected conn, burst and key, or rules")),
    }
}

fn rule(
    path: &str,
    conn: &AmountConfig,
    burst: &AmountConfig,
    key: Key,
    cx: &BuildCx<'_>,
) -> Result<Rule, BuildError> {
    let amount = |name: &str, config: &AmountConfig, least| {
        Amount::compile(config, least)
            .map_err(|e| cx.error(format!("{path}/{name}"), e.to_string()))
    };
    Ok(Rule {
        conn: amount("conn", conn, 1)?,
        burst: amount("burst", burst, 0)?,
        key,
        optional: false,
    })
}
