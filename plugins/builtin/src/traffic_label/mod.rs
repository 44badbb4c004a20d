//! `traffic-label`: marks requests with headers, by conditions and by weight.

mod config;
#[cfg(test)]
mod tests;

pub use config::Config;

use crate::{
    request_body,
    rewrite::headers::{self, Name, Text},
    traffic_split::wheel::Wheel,
};
use crossway_sdk::{
    expr::{Expression, Verdict},
    prelude::*,
};

/// The plugin.
pub struct TrafficLabel {
    rules: Box<[Rule]>,
    needs_body: bool,
}

struct Rule {
    matches: Option<Expression>,
    /// Headers that an action sets; `None` for an action that sets nothing.
    actions: Box<[Option<Marks>]>,
    wheel: Wheel,
}

type Marks = Vec<(Name, Text)>;

#[phases]
impl Plugin for TrafficLabel {
    const NAME: &'static str = "traffic-label";
    const PRIORITY: i32 = 967;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let rules = config.rules.iter().enumerate();
        let rules = rules.map(|(index, rule)| Rule::build(rule, &format!("/rules/{index}"), cx));
        let rules: Box<[Rule]> = rules.collect::<Result<_, _>>()?;
        Ok(Self {
            needs_body: rules.iter().any(Rule::needs_body),
            rules,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if self.needs_body && ex.request.body.is_none() {
            return Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                self.mark(ex).map(|()| Flow::Next)
            });
        }
        Step::Done(self.mark(ex).map(|()| Flow::Next))
    }
}

impl TrafficLabel {
    fn mark(&self, ex: &mut Exchange<'_>) -> Result<(), Error> {
        for rule in &self.rules {
            let holds = |e: &Expression| e.decide(ex, true) == Verdict::Yes;
            if !rule.matches.as_ref().is_none_or(holds) {
                continue;
            }
            let action = rule.wheel.next().and_then(|turn| rule.actions.get(turn));
            let Some(Some(marks)) = action else { continue };
            for (name, text) in marks {
                match text.render(ex, &[]) {
                    Some(value) => ex
                        .session
                        .req_header_mut()
                        .insert_header(name.spelling.clone(), value)?,
                    None => drop(ex.session.req_header_mut().remove_header(&name.name)),
                }
            }
            return Ok(());
        }
        Ok(())
    }
}

impl Rule {
    fn build(config: &config::Rule, path: &str, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let matches = config.matches.as_ref().map(|conditions| {
            let conditions = Value::Array(conditions.clone());
            Expression::parse(&conditions).map_err(|e| {
                let message =
                    format!("failed to validate the 'match' expression: {conditions} err: {e}");
                cx.error(format!("{path}/match"), message)
            })
        });
        let actions = config.actions.iter().enumerate().map(|(index, action)| {
            let path = format!("{path}/actions/{index}/set_headers");
            let map = action.set_headers.as_ref();
            map.map(|map| headers::compile(map, false, &path))
                .transpose()
        });
        Ok(Self {
            matches: matches.transpose()?,
            actions: actions.collect::<Result<_, _>>()?,
            wheel: Wheel::new(config.actions.iter().map(|action| action.weight)),
        })
    }

    fn needs_body(&self) -> bool {
        self.matches.as_ref().is_some_and(Expression::needs_body)
            || self
                .actions
                .iter()
                .flatten()
                .flatten()
                .any(|(_, text)| text.needs_body())
    }
}
