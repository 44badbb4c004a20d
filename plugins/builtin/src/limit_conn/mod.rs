//! `limit-conn`: how many requests of a key, or sessions of a stream route, are in progress at once; some more wait, the
//! rest are rejected.
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
use crossway_sdk::{expr::Lookup, prelude::*};
use limiter::{Limiter, Permit};
use shared::Shared;
use smallvec::SmallVec;
use std::{net::IpAddr, sync::Arc, time::Duration};

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
    const ENCRYPTED: &'static [&'static str] = &["redis_password", "sentinel_password"];
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
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
                let asked = self.ask(ex, ex.request.client.ip());
                let entered = match (asked, &self.shared) {
                    (Err(error), _) => Err(error),
                    (Ok(asked), Some(shared)) => self.enter_shared(shared, asked).await,
                    (Ok(asked), None) => Ok(self.enter(asked)),
                };
                let flow = self.decide(entered, ex.state())?;
                self.delay(ex, flow).await
            });
        }
        let asked = self.ask(ex, ex.request.client.ip());
        let entered = asked.map(|asked| self.enter(asked));
        match self.decide(entered, ex.state()) {
            Ok(flow) if self.delay_of(ex) >= SHORTEST_DELAY => Step::wait(self.delay(ex, flow)),
            decided => Step::Done(decided),
        }
    }

    fn stream_access<'a>(&'a self, ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        let asked = self.ask(ex, ex.session.client.ip());
        Step::wait(async move {
            let entered = match (asked, &self.shared) {
                (Err(error), _) => Err(error),
                (Ok(asked), Some(shared)) => self.enter_shared(shared, asked).await,
                (Ok(asked), None) => Ok(self.enter(asked)),
            };
            let held = ex.state::<Held>();
            let flow = self.decide(entered, held)?;
            let delay = held.delay;
            if matches!(flow, Flow::Next) && delay >= SHORTEST_DELAY {
                tokio::time::sleep(delay).await;
            }
            Ok(flow)
        })
    }

    /// How long sessions last says nothing of how long a node takes, so nothing is learned.
    fn stream_log(&self, ex: &mut StreamExchange<'_>) {
        drop(std::mem::take(ex.state::<Held>()));
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
    /// What the rules that apply ask for, in order.
    fn ask(&self, from: &dyn Lookup, client: IpAddr) -> Result<AllAsked, Error> {
        let mut all = AllAsked::new();
        for (index, rule) in self.rules.iter().enumerate() {
            if let Some(asked) = rule.asked(from, client)? {
                all.push((index, asked));
            }
        }
        match all.is_empty() {
            false => Ok(all),
            true => Err(Error::new(
                "no rule applies: the request has no value for any of their keys",
            )),
        }
    }

    /// Enters all rules, up to one that rejects; whether none did. What was entered is held either way.
    fn enter(&self, asked: AllAsked) -> (Held, bool) {
        let mut held = Held::default();
        for (index, (key, [conn, burst])) in asked {
            let entered = self
                .limiters
                .get(index)
                .and_then(|l| l.enter(&key, conn, burst));
            if !held.take(index, entered) {
                return (held, false);
            }
        }
        (held, true)
    }

    /// As [`enter`](Self::enter), where several gateways count together.
    async fn enter_shared(&self, shared: &Shared, asked: AllAsked) -> Result<(Held, bool), Error> {
        let mut held = Held::default();
        for (index, (key, amounts)) in asked {
            let Some(limiter) = self.limiters.get(index) else {
                continue;
            };
            let entered = limiter
                .enter_shared(shared, index, &key, amounts)
                .await
                .map_err(|e| Error::new(e.to_string()))?;
            if !held.take(index, entered) {
                return Ok((held, false));
            }
        }
        Ok((held, true))
    }

    /// What becomes of the request, which holds from now on what it entered.
    fn decide(
        &self,
        entered: Result<(Held, bool), Error>,
        state: &mut Held,
    ) -> Result<Flow, Error> {
        match entered {
            Ok((held, admitted)) => {
                *state = held;
                Ok(match admitted {
                    true => Flow::Next,
                    false => Flow::Respond(self.rejection.clone()),
                })
            }
            Err(_) if self.degrade => Ok(Flow::Next),
            Err(error) => Err(error),
        }
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

impl Held {
    /// Holds what a limiter gave; false when it gave nothing.
    fn take(&mut self, rule: usize, entered: Option<(Permit, Duration)>) -> bool {
        let Some((permit, delay)) = entered else {
            return false;
        };
        self.permits.push((rule, permit));
        self.delay = self.delay.saturating_add(delay);
        true
    }
}

/// A key, and `conn` and `burst` for it.
type Asked = (SmallVec<[u8; 48]>, [u64; 2]);

/// What the rules ask, by their positions.
type AllAsked = SmallVec<[(usize, Asked); 1]>;

impl Rule {
    /// What the rule asks of a request; `None` when it does not apply.
    fn asked(&self, from: &dyn Lookup, client: IpAddr) -> Result<Option<Asked>, Error> {
        let key = match self.optional {
            true => self.key.if_present(from, SmallVec::from_slice),
            false => Some(self.key.or_client(from, client, SmallVec::from_slice)),
        };
        let Some(key) = key else {
            return Ok(None);
        };
        let of = |name: &str, amount: &Amount| {
            amount
                .resolve(from)
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
