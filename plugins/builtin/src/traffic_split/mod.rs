//! `traffic-split`: sends parts of a route's traffic to other upstreams, by conditions and by weight.

mod config;
pub(crate) mod wheel;

#[cfg(test)]
mod tests;

use crate::request_body;
use config::{Config, Weighted};
use crossway_sdk::{
    expr::{Expression, Lookup, Verdict},
    prelude::*,
    schema::member,
    upstream::UpstreamHandle,
};
use serde_json::Map;
use wheel::Wheel;

/// Fields that an inline upstream has here.
const KEPT: [&str; 9] = [
    "name",
    "type",
    "hash_on",
    "key",
    "nodes",
    "timeout",
    "scheme",
    "pass_host",
    "upstream_host",
];

/// Fields that APISIX takes and does not heed here.
const IGNORED: [&str; 10] = [
    "id",
    "desc",
    "labels",
    "retries",
    "retry_timeout",
    "keepalive_pool",
    "tls",
    "checks",
    "create_time",
    "update_time",
];

/// See the module.
pub struct TrafficSplit {
    rules: Box<[Rule]>,
}

struct Rule {
    /// Any of these has to hold; `None` is for all requests.
    matches: Option<Box<[Expression]>>,
    /// `None` is the route's own.
    upstreams: Box<[Option<UpstreamHandle>]>,
    wheel: Wheel,
}

#[phases]
impl Plugin for TrafficSplit {
    const NAME: &'static str = "traffic-split";
    const PRIORITY: i32 = 966;
    const SCOPES: Scopes = Scopes::HTTP.union(Scopes::STREAM);
    const ENCRYPTED: &'static [&'static str] =
        &["rules.weighted_upstreams.upstream.tls.client_key"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let each = config.rules.iter().enumerate();
        let rules = each.map(|(index, rule)| Rule::build(rule, &format!("/rules/{index}"), cx));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match self.rule(ex, ex.request.body.is_some()) {
            Choice::Settled(rule) => {
                if let Some(rule) = rule {
                    ex.request.upstream_override = rule.next();
                }
                Step::next()
            }
            Choice::NeedsBody => Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                if let Choice::Settled(Some(rule)) = self.rule(ex, true) {
                    ex.request.upstream_override = rule.next();
                }
                Ok(Flow::Next)
            }),
        }
    }

    fn stream_access<'a>(&'a self, ex: &'a mut StreamExchange<'_>) -> Step<'a> {
        // A session has no body, so there is none to wait for.
        if let Choice::Settled(Some(rule)) = self.rule(ex, true) {
            ex.session.upstream_override = rule.next();
        }
        Step::next()
    }
}

enum Choice<'r> {
    Settled(Option<&'r Rule>),
    NeedsBody,
}

impl TrafficSplit {
    /// The first rule that the request or session matches.
    fn rule(&self, from: &dyn Lookup, body_read: bool) -> Choice<'_> {
        for rule in &self.rules {
            let Some(matches) = &rule.matches else {
                return Choice::Settled(Some(rule));
            };
            let mut needs_body = false;
            for expression in matches {
                match expression.decide(from, body_read) {
                    Verdict::Yes => return Choice::Settled(Some(rule)),
                    Verdict::NeedsBody => needs_body = true,
                    Verdict::No | Verdict::Undecided => {}
                }
            }
            if needs_body {
                return Choice::NeedsBody;
            }
        }
        Choice::Settled(None)
    }
}

impl Rule {
    /// The upstream whose turn it is; `None` for the route's own.
    fn next(&self) -> Option<UpstreamHandle> {
        let turn = self.wheel.next()?;
        self.upstreams.get(turn).cloned().flatten()
    }

    fn build(config: &config::Rule, path: &str, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let expression = |(index, one): (usize, &config::Match)| {
            Expression::parse(&one.vars).map_err(|e| {
                let path = format!("{path}/match/{index}/vars");
                cx.error(
                    path,
                    format!("failed to validate the 'vars' expression: {e}"),
                )
            })
        };
        let matches = match config.matches.as_deref() {
            None | Some([]) => None,
            Some(list) => Some(
                list.iter()
                    .enumerate()
                    .map(expression)
                    .collect::<Result<_, _>>()?,
            ),
        };
        let weighted = &config.weighted_upstreams;
        let upstreams = weighted.iter().enumerate().map(|(index, weighted)| {
            upstream(weighted, &format!("{path}/weighted_upstreams/{index}"), cx)
        });
        Ok(Self {
            matches,
            upstreams: upstreams.collect::<Result<_, _>>()?,
            wheel: Wheel::new(weighted.iter().map(|w| w.weight)),
        })
    }
}

fn upstream(
    weighted: &Weighted,
    path: &str,
    cx: &BuildCx<'_>,
) -> Result<Option<UpstreamHandle>, BuildError> {
    if let Some(id) = &weighted.upstream_id {
        return cx
            .upstream(&format!("{path}/upstream_id"), &id.text())
            .map(Some);
    }
    let Some(written) = &weighted.upstream else {
        return Ok(None);
    };
    let path = format!("{path}/upstream");
    let Value::Object(written) = written else {
        return Err(cx.error(path, "expected an object"));
    };
    let mut kept = Map::new();
    for (field, value) in written {
        if KEPT.contains(&field.as_str()) {
            kept.insert(field.clone(), value.clone());
        } else if IGNORED.contains(&field.as_str()) {
            let resource = cx.resource();
            tracing::warn!(
                resource,
                path,
                field,
                "has no effect in an upstream inside of traffic-split"
            );
        } else if ["service_name", "discovery_type", "discovery_args"].contains(&field.as_str()) {
            let expected = "service discovery is not available in an upstream inside of traffic-split: expected nodes, or upstream_id in place of upstream";
            return Err(cx.error(member(&path, field), expected));
        } else {
            let found = format!("additional properties forbidden, found {field}");
            return Err(cx.error(member(&path, field), found));
        }
    }
    cx.inline_upstream(&path, &Value::Object(kept))
        .map(Some)
        .map_err(|error| {
            let inside = error.path;
            let path = if inside.starts_with(&path) {
                inside
            } else {
                format!("{path}{inside}")
            };
            BuildError {
                path,
                message: error.message,
            }
        })
}
