//! `limit-conn`: how many requests of a key, or sessions of a stream route, are in progress at once; some more wait, the
//! rest are rejected.
//!
//! A request is counted out when the plugin's state of the request is dropped, so an aborted one counts out too; the
//! log phase only learns from it how long requests take.

mod config;
mod limiter;

#[cfg(test)]
mod tests;

use crate::{
    limit::{Amount, AmountConfig, Key, KeyType, local_only, rejection},
    request_body,
};
use config::Config;
use crossway_sdk::{expr::Lookup, prelude::*};
use limiter::{Limiter, Permit};
use smallvec::SmallVec;
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Shorter delays than this are not worth a timer; APISIX draws the line here too.
const SHORTEST_DELAY: Duration = Duration::from_millis(1);

/// See the module.
pub struct LimitConn {
    rules: Box<[Rule]>,
    /// Limiters by the position of their rule.
    limiters: Arc<Vec<Limiter>>,
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
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        local_only(config.policy, cx)?;
        let rules = rules(&config, cx)?;
        let unit = config.default_conn_delay;
        // An instance with the same configuration in the same place goes on with the same counts.
        let place = format!("limit-conn/{}/{config:?}", cx.resource());
        let limiters = cx.shared(&place, || {
            rules.iter().map(|_| Limiter::new(unit)).collect::<Vec<_>>()
        });
        let needs_body = rules
            .iter()
            .any(|r| r.key.needs_body() || r.conn.needs_body() || r.burst.needs_body());
        Ok(Self {
            rules,
            limiters,
            learns: !config.only_use_default_delay,
            rejection: rejection(config.rejected_code, config.rejected_msg.as_deref()),
            degrade: config.allow_degradation,
            needs_body,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let flow = self.decide(ex)?;
                self.delay(ex, flow).await
            });
        }
        match self.decide(ex) {
            Ok(flow) if self.delay_of(ex) >= SHORTEST_DELAY => Step::wait(self.delay(ex, flow)),
            decided => Step::Done(decided),
        }
    }

    fn stream_access<'a>(&'a self, ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        let (held, admitted) = match self.enter_all(ex, ex.session.client.ip()) {
            Ok(entered) => entered,
            Err(_) if self.degrade => return Step::next(),
            Err(error) => return Step::fail(error),
        };
        let delay = held.delay;
        *ex.state::<Held>() = held;
        if !admitted {
            return Step::respond(self.rejection.clone());
        }
        if delay < SHORTEST_DELAY {
            return Step::next();
        }
        Step::wait(async move {
            tokio::time::sleep(delay).await;
            Ok(Flow::Next)
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
    /// Enters all rules that apply, up to one that rejects; whether none did. What was entered is held either way.
    fn enter_all(&self, from: &dyn Lookup, client: IpAddr) -> Result<(Held, bool), Error> {
        let mut held = Held::default();
        let mut applied = false;
        for (index, (rule, limiter)) in self.rules.iter().zip(&*self.limiters).enumerate() {
            let Some(entered) = rule.enter(limiter, from, client)? else {
                continue;
            };
            applied = true;
            let Some((permit, delay)) = entered else {
                return Ok((held, false));
            };
            held.permits.push((index, permit));
            held.delay = held.delay.saturating_add(delay);
        }
        if applied {
            Ok((held, true))
        } else {
            Err(Error::new(
                "no rule applies: the request has no value for any of their keys",
            ))
        }
    }

    fn decide(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        match self.enter(ex) {
            Err(_) if self.degrade => Ok(Flow::Next),
            decided => decided,
        }
    }

    fn enter(&self, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let (held, admitted) = self.enter_all(ex, ex.request.client.ip())?;
        *ex.state::<Held>() = held;
        Ok(match admitted {
            true => Flow::Next,
            false => Flow::Respond(self.rejection.clone()),
        })
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

/// What a limiter said: let in, or not.
type Entered = Option<(Permit, Duration)>;

impl Rule {
    /// `None` when the rule does not apply.
    fn enter(
        &self,
        limiter: &Limiter,
        from: &dyn Lookup,
        client: IpAddr,
    ) -> Result<Option<Entered>, Error> {
        let enter = |key: &[u8]| -> Result<Entered, Error> {
            let of = |name: &str, amount: &Amount| {
                amount
                    .resolve(from)
                    .map_err(|e| Error::new(format!("{name}: {e}")))
            };
            Ok(limiter.enter(key, of("conn", &self.conn)?, of("burst", &self.burst)?))
        };
        match self.optional {
            true => self.key.if_present(from, enter).transpose(),
            false => self.key.or_client(from, client, enter).map(Some),
        }
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
