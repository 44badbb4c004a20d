//! `fault-injection`: answers or delays some requests on purpose, to see what clients make of it.

mod config;

#[cfg(test)]
mod tests;

use crate::{
    request_body,
    rewrite::headers::{self, Name, Text},
};
use config::Config;
use crossway_sdk::{
    expr::{Expression, Template},
    prelude::*,
};
use std::time::Duration;

/// See the module.
pub struct FaultInjection {
    abort: Option<(When, Answer)>,
    delay: Option<(When, Duration)>,
    needs_body: bool,
}

/// Which requests are hit.
struct When {
    /// Any of these has to hold; `None` is for all.
    vars: Option<Box<[Expression]>>,
    percentage: u8,
}

struct Answer {
    status: u16,
    body: Option<Body>,
    headers: Vec<(Name, Text)>,
}

enum Body {
    Constant(Bytes),
    Template(Template),
}

#[phases]
impl Plugin for FaultInjection {
    const NAME: &'static str = "fault-injection";
    const PRIORITY: i32 = 11000;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let abort = match &config.abort {
            None => None,
            Some(abort) => {
                let when = When::build(abort.percentage, abort.vars.as_deref(), "/abort", cx)?;
                Some((when, Answer::build(abort, cx)?))
            }
        };
        let delay = match &config.delay {
            None => None,
            Some(delay) => {
                let duration = Duration::try_from_secs_f64(delay.duration)
                    .map_err(|e| cx.error("/delay/duration", e.to_string()))?;
                let when = When::build(delay.percentage, delay.vars.as_deref(), "/delay", cx)?;
                Some((when, duration))
            }
        };
        let abort_needs = abort
            .as_ref()
            .is_some_and(|(w, a)| w.needs_body() || a.needs_body());
        let needs_body = abort_needs || delay.as_ref().is_some_and(|(w, _)| w.needs_body());
        Ok(Self {
            abort,
            delay,
            needs_body,
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let (delay, flow) = self.judge(ex);
                tokio::time::sleep(delay).await;
                Ok(flow)
            });
        }
        let (delay, flow) = self.judge(ex);
        if delay.is_zero() {
            return Step::Done(Ok(flow));
        }
        Step::wait(async move {
            tokio::time::sleep(delay).await;
            Ok(flow)
        })
    }
}

impl FaultInjection {
    fn judge(&self, ex: &Exchange<'_>) -> (Duration, Flow) {
        let delay = match &self.delay {
            Some((when, duration)) if when.hits(ex) => *duration,
            _ => Duration::ZERO,
        };
        let flow = match &self.abort {
            Some((when, answer)) if when.hits(ex) => Flow::Respond(answer.reply(ex)),
            _ => Flow::Next,
        };
        (delay, flow)
    }
}

impl When {
    fn build(
        percentage: Option<u8>,
        vars: Option<&[Value]>,
        path: &str,
        cx: &BuildCx<'_>,
    ) -> Result<Self, BuildError> {
        let expression = |(index, vars)| {
            Expression::parse(vars)
                .map_err(|e| cx.error(format!("{path}/vars/{index}"), e.to_string()))
        };
        let vars = match vars {
            None => None,
            Some(list) => Some(
                list.iter()
                    .enumerate()
                    .map(expression)
                    .collect::<Result<_, _>>()?,
            ),
        };
        Ok(Self {
            vars,
            percentage: percentage.unwrap_or(100),
        })
    }

    fn needs_body(&self) -> bool {
        self.vars.iter().flatten().any(Expression::needs_body)
    }

    fn hits(&self, ex: &Exchange<'_>) -> bool {
        let sampled = match self.percentage {
            0 => false,
            100.. => true,
            percentage => rand::random_range(0..100) < percentage,
        };
        sampled
            && self
                .vars
                .as_ref()
                .is_none_or(|vars| vars.iter().any(|v| v.matches(ex)))
    }
}

impl Answer {
    fn build(config: &config::Abort, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let body = match &config.body {
            None => None,
            Some(text) => {
                let template =
                    Template::parse(text).map_err(|e| cx.error("/abort/body", e.to_string()))?;
                Some(match template.is_constant() {
                    Some(constant) => Body::Constant(Bytes::copy_from_slice(constant)),
                    None => Body::Template(template),
                })
            }
        };
        let headers = match &config.headers {
            None => Vec::new(),
            Some(map) => headers::compile(map, false, "/abort/headers")?,
        };
        Ok(Self {
            status: config.http_status,
            body,
            headers,
        })
    }

    fn needs_body(&self) -> bool {
        let body = matches!(&self.body, Some(Body::Template(template)) if template.needs_body());
        body || self.headers.iter().any(|(_, text)| text.needs_body())
    }

    fn reply(&self, ex: &Exchange<'_>) -> Reply {
        let mut reply = match &self.body {
            None => Reply::status(self.status),
            Some(Body::Constant(body)) => Reply::bytes(self.status, body.clone()),
            Some(Body::Template(template)) => {
                let mut body = Vec::new();
                template.render(ex, &mut body);
                Reply::bytes(self.status, body)
            }
        };
        for (name, text) in &self.headers {
            if let Some(value) = text.render(ex, &[]) {
                reply = reply.header(name.name.clone(), value);
            }
        }
        reply
    }
}
