//! `api-breaker`: answers in place of an upstream that fails, for a while.

mod config;
mod counts;
mod ratio;
#[cfg(test)]
mod tests;

pub use config::{Config, Header, Healthy, Policy, Unhealthy};

use crate::{
    request_body,
    rewrite::headers::{self, Name, Text},
};
use counts::{Counts, Key};
use crossway_sdk::prelude::*;
use ratio::Ratio;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The plugin.
pub struct ApiBreaker {
    unhealthy: Box<[u16]>,
    healthy: Box<[u16]>,
    breaker: Breaker,
    status: u16,
    body: Option<Bytes>,
    headers: Box<[(Name, Text)]>,
}

enum Breaker {
    /// One for each host and path, known to all instances.
    Count {
        counts: Arc<Counts>,
        rule: counts::Rule,
    },
    /// One for this place of use.
    Ratio(Ratio),
}

#[phases]
impl Plugin for ApiBreaker {
    const NAME: &'static str = "api-breaker";
    const PRIORITY: i32 = 1005;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let longest = Duration::from_secs(config.max_breaker_sec);
        let breaker = match config.policy {
            Policy::UnhealthyCount => Breaker::Count {
                counts: cx.shared("api-breaker", Counts::new),
                rule: counts::Rule {
                    failures: config.unhealthy.failures,
                    successes: config.healthy.successes,
                    longest,
                },
            },
            Policy::UnhealthyRatio => Breaker::Ratio(Ratio::new(ratio::Rule::of(&config))),
        };
        let headers = config.break_response_headers.iter().flatten().enumerate();
        let headers = headers.map(|(index, header)| {
            let path = |field: &str| format!("/break_response_headers/{index}/{field}");
            let name = headers::name(&header.key, &path("key"))?;
            Ok((name, Text::compile(&header.value, false, &path("value"))?))
        });
        Ok(Self {
            unhealthy: config.unhealthy.http_statuses.into(),
            healthy: config.healthy.http_statuses.into(),
            breaker,
            status: config.break_response_code,
            headers: headers.collect::<Result<_, _>>()?,
            body: config.break_response_body.map(Bytes::from),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        let now = Instant::now();
        let open = match &self.breaker {
            Breaker::Count { counts, rule } => counts.is_open(self.key(counts, ex), rule, now),
            Breaker::Ratio(ratio) => !ratio.admits(now),
        };
        if !open {
            return Step::next();
        }
        if self.body.is_some() && self.needs_body() && ex.request.body.is_none() {
            return Step::wait(async move {
                match request_body::read(ex).await {
                    Ok(()) => Ok(Flow::Respond(self.answer(ex))),
                    Err(end) => end,
                }
            });
        }
        Step::respond(self.answer(ex))
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        // What the breaker or another plugin answered says nothing of the upstream.
        let Some(status) = ex.request.last_try().and_then(|attempt| attempt.status) else {
            return;
        };
        let failed = self.unhealthy.contains(&status);
        let succeeded = !failed && self.healthy.contains(&status);
        let now = Instant::now();
        match &self.breaker {
            Breaker::Count { counts, rule } if failed => {
                counts.failed(self.key(counts, ex), rule, now);
            }
            Breaker::Count { counts, rule } if succeeded => {
                counts.succeeded(self.key(counts, ex), rule);
            }
            Breaker::Count { .. } => {}
            Breaker::Ratio(ratio) => ratio.ended(failed, succeeded, now),
        }
    }
}

impl ApiBreaker {
    fn key(&self, counts: &Counts, ex: &Exchange<'_>) -> Key {
        let path = ex.request.path(ex.session.req_header());
        counts.key(&ex.request.host, path)
    }

    fn needs_body(&self) -> bool {
        self.headers.iter().any(|(_, text)| text.needs_body())
    }

    fn answer(&self, ex: &Exchange<'_>) -> Reply {
        let Some(body) = &self.body else {
            return Reply::status(self.status);
        };
        let mut reply = Reply::bytes(self.status, body.clone());
        for (name, text) in &self.headers {
            if let Some(value) = text.render(ex, &[]) {
                reply = reply.header(name.name.clone(), value);
            }
        }
        reply
    }
}
