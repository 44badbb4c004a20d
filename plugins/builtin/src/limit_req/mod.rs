//! `limit-req`: requests pass at a steady rate; those that come faster wait for their turn or are rejected.

mod bucket;
mod config;
mod shared;

#[cfg(test)]
mod tests;

use crate::{
    limit::{Clock, Key, LinkError, Table, monotonic, version},
    request_body,
};
use bucket::Bucket;
use config::Config;
use crossway_sdk::prelude::*;
use shared::Shared;
use smallvec::SmallVec;
use std::{sync::Arc, time::Duration};

/// Shorter delays than this many seconds are not worth a timer; APISIX draws the line here too.
const SHORTEST_DELAY: f64 = 0.001;

/// See the module.
pub struct LimitReq {
    rate: f64,
    burst: f64,
    key: Key,
    buckets: Buckets,
    delays: bool,
    rejection: Reply,
    degrade: bool,
    clock: Clock,
}

enum Buckets {
    Local(Arc<Table<Bucket>>),
    Redis(Shared),
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
    const ENCRYPTED: &'static [&'static str] = &["redis_password", "sentinel_password"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Self::with_clock(config, cx, monotonic)
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let unread = self.key.needs_body() && ex.request.body.is_none();
        match &self.buckets {
            Buckets::Local(buckets) if !unread => match self.take(buckets, ex) {
                Verdict::Pass => Step::next(),
                Verdict::Delay(delay) => Step::wait(wait(delay)),
                Verdict::Reject => Step::respond(self.rejection.clone()),
            },
            buckets => Step::wait(async move {
                if unread && let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let verdict = match buckets {
                    Buckets::Local(buckets) => self.take(buckets, ex),
                    Buckets::Redis(shared) => match self.ask(shared, ex).await {
                        Ok(verdict) => verdict,
                        Err(_) if self.degrade => Verdict::Pass,
                        Err(error) => return Err(Error::new(error.to_string())),
                    },
                };
                match verdict {
                    Verdict::Pass => Ok(Flow::Next),
                    Verdict::Delay(delay) => wait(delay).await,
                    Verdict::Reject => Ok(Flow::Respond(self.rejection.clone())),
                }
            }),
        }
    }
}

impl LimitReq {
    fn with_clock(config: Config, cx: &BuildCx<'_>, clock: Clock) -> Result<Self, BuildError> {
        let key =
            Key::compile(&config.key, config.key_type.into()).map_err(|e| cx.error("/key", e))?;
        // All that was configured, defaults included, in one text.
        let identity = format!("{config:?}");
        let place = cx.resource();
        let buckets = match config.common.link(&config.redis, cx)? {
            Some(link) => Buckets::Redis(Shared::new(link, place, &version(&identity))),
            // An instance with the same configuration in the same place goes on with the same buckets.
            None => {
                Buckets::Local(cx.shared(&format!("limit-req/{place}/{identity}"), Table::default))
            }
        };
        Ok(Self {
            rate: config.rate,
            burst: config.burst,
            key,
            buckets,
            delays: !config.nodelay,
            rejection: config.common.rejection(),
            degrade: config.common.allow_degradation,
            clock,
        })
    }

    fn take(&self, buckets: &Table<Bucket>, ex: &Exchange<'_>) -> Verdict {
        let now = (self.clock)();
        let taken = self.key.or_client(ex, ex.request.client.ip(), |key| {
            buckets.with(key, now, |bucket| bucket.take(self.rate, self.burst, now))
        });
        self.verdict(taken)
    }

    async fn ask(&self, shared: &Shared, ex: &Exchange<'_>) -> Result<Verdict, LinkError> {
        let client = ex.request.client.ip();
        let key = self
            .key
            .or_client(ex, client, SmallVec::<[u8; 64]>::from_slice);
        let taken = shared.take(&key, self.rate, self.burst).await?;
        Ok(self.verdict(taken))
    }

    /// `taken` is how many seconds the request has to wait.
    fn verdict(&self, taken: Option<f64>) -> Verdict {
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
