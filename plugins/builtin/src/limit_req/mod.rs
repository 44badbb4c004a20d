//! `limit-req`: requests pass at a steady rate; those that come faster wait for their turn or are rejected.

mod bucket;
mod config;

#[cfg(test)]
mod tests;

use crate::{
    limit::{Clock, Key, Table, local_only, monotonic, rejection},
    request_body,
};
use bucket::Bucket;
use config::Config;
use crossway_sdk::prelude::*;
use std::{sync::Arc, time::Duration};

/// Shorter delays than this many seconds are not worth a timer; APISIX draws the line here too.
const SHORTEST_DELAY: f64 = 0.001;

/// See the module.
pub struct LimitReq {
    rate: f64,
    burst: f64,
    key: Key,
    buckets: Arc<Table<Bucket>>,
    delays: bool,
    rejection: Reply,
    clock: Clock,
}

/// What became of a request.
enum Verdict {
    Pass,
    Delay(Duration),
    Reject,
}

#[phases]
impl Plugin for LimitReq {
    const NAME: &'static str = "limit-req";
    const PRIORITY: i32 = 1001;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Self::with_clock(config, cx, monotonic)
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.key.needs_body() && ex.request.body.is_none() {
            return Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                match self.judge(ex) {
                    Verdict::Pass => Ok(Flow::Next),
                    Verdict::Delay(delay) => wait(delay).await,
                    Verdict::Reject => Ok(Flow::Respond(self.rejection.clone())),
                }
            });
        }
        match self.judge(ex) {
            Verdict::Pass => Step::next(),
            Verdict::Delay(delay) => Step::wait(wait(delay)),
            Verdict::Reject => Step::respond(self.rejection.clone()),
        }
    }
}

impl LimitReq {
    fn with_clock(config: Config, cx: &BuildCx<'_>, clock: Clock) -> Result<Self, BuildError> {
        local_only(config.policy, cx)?;
        let key =
            Key::compile(&config.key, config.key_type.into()).map_err(|e| cx.error("/key", e))?;
        // An instance with the same configuration in the same place goes on with the same buckets.
        let buckets = cx.shared(
            &format!("limit-req/{}/{config:?}", cx.resource()),
            Table::default,
        );
        Ok(Self {
            rate: config.rate,
            burst: config.burst,
            key,
            buckets,
            delays: !config.nodelay,
            rejection: rejection(config.rejected_code, config.rejected_msg.as_deref()),
            clock,
        })
    }

    fn judge(&self, ex: &Exchange<'_>) -> Verdict {
        let now = (self.clock)();
        let taken = self.key.or_client(ex, ex.request.client.ip(), |key| {
            self.buckets
                .with(key, now, |bucket| bucket.take(self.rate, self.burst, now))
        });
        match taken {
            None => Verdict::Reject,
            Some(delay) if self.delays && delay >= SHORTEST_DELAY => {
                Verdict::Delay(Duration::try_from_secs_f64(delay).unwrap_or(Duration::MAX))
            }
            Some(_) => Verdict::Pass,
        }
    }
}

async fn wait(delay: Duration) -> Result<Flow, Error> {
    tokio::time::sleep(delay).await;
    Ok(Flow::Next)
}
