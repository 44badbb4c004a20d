//! `workflow`: does one thing with some requests and another with others.

mod config;
#[cfg(test)]
mod tests;

pub use config::{Config, Rule};

use crate::request_body;
use crossway_sdk::{
    expr::{Expression, Verdict},
    prelude::*,
};

/// The plugin.
pub struct Workflow {
    branches: Box<[Branch]>,
}

/// A rule, made ready.
struct Branch {
    case: Option<Expression>,
    action: Action,
}

enum Action {
    Return(Reply),
    Run(Nested),
}

/// The rule that decided over a request.
#[derive(Default)]
struct Taken(Option<usize>);

/// What `return` is told.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Return {
    code: u16,
}

#[phases]
impl Plugin for Workflow {
    const NAME: &'static str = "workflow";
    const PRIORITY: i32 = 1006;
    const NESTED: &'static [&'static str] = &["rules.actions"];
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        let rules = config.rules.iter().enumerate();
        let branches = rules.map(|(index, rule)| build(rule, &format!("/rules/{index}"), cx));
        Ok(Self {
            branches: branches.collect::<Result<_, _>>()?,
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match self.choose(ex, ex.request.body.is_some()) {
            Some(None) => Step::next(),
            Some(Some((_, Action::Return(reply)))) => Step::respond(reply.clone()),
            Some(Some((index, Action::Run(plugin)))) => {
                ex.state::<Taken>().0 = Some(index);
                Step::wait(plugin.access(ex))
            }
            None => Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                match self.choose(ex, true).flatten() {
                    None => Ok(Flow::Next),
                    Some((_, Action::Return(reply))) => Ok(Flow::Respond(reply.clone())),
                    Some((index, Action::Run(plugin))) => {
                        ex.state::<Taken>().0 = Some(index);
                        plugin.access(ex).await
                    }
                }
            }),
        }
    }

    fn log(&self, ex: &mut Exchange<'_>) {
        let Some(Taken(Some(index))) = ex.existing_state::<Taken>() else {
            return;
        };
        if let Some(Branch {
            action: Action::Run(plugin),
            ..
        }) = self.branches.get(*index)
        {
            plugin.log(ex);
        }
    }
}

impl Workflow {
    /// The first rule that the request matches; `None` when that depends on the body.
    fn choose(&self, ex: &Exchange<'_>, body_read: bool) -> Option<Option<(usize, &Action)>> {
        for (index, branch) in self.branches.iter().enumerate() {
            match branch.case.as_ref().map(|case| case.decide(ex, body_read)) {
                None | Some(Verdict::Yes) => return Some(Some((index, &branch.action))),
                Some(Verdict::NeedsBody) => return None,
                Some(Verdict::No | Verdict::Undecided) => {}
            }
        }
        Some(None)
    }
}

fn build(rule: &Rule, path: &str, cx: &BuildCx<'_>) -> Result<Branch, BuildError> {
    let case = rule.case.as_ref().map(|conditions| {
        Expression::parse(&Value::Array(conditions.clone())).map_err(|e| {
            let message = format!("failed to validate the 'case' expression: {e}");
            cx.error(format!("{path}/case"), message)
        })
    });
    let case = case.transpose()?;
    let actions = rule.actions.iter().enumerate();
    let mut actions =
        actions.map(|(index, pair)| action(pair, &format!("{path}/actions/{index}"), cx));
    let first = actions.next().unwrap_or_else(|| {
        Err(cx.error(format!("{path}/actions"), "expected at least one action"))
    })?;
    for further in actions {
        further?;
        tracing::warn!(
            resource = cx.resource(),
            path,
            "only the first action of a rule of workflow has an effect"
        );
    }
    Ok(Branch {
        case,
        action: first,
    })
}

fn action(pair: &[Value], path: &str, cx: &BuildCx<'_>) -> Result<Action, BuildError> {
    let [Value::String(name), config] = pair else {
        return Err(cx.error(path, "expected the name of an action and its configuration"));
    };
    let at = format!("{path}/1");
    let refused = |place: &str, why: &str| {
        cx.error(
            place,
            format!("failed to validate the '{name}' action: {why}"),
        )
    };
    match name.as_str() {
        "return" => {
            let told = Return::deserialize(config).map_err(|e| refused(&at, &e.to_string()))?;
            if !(100..=599).contains(&told.code) {
                let why = "property \"code\" validation failed: expected a status from 100 to 599";
                return Err(refused(&format!("{at}/code"), why));
            }
            if told.code < 200 {
                let why = "an informational status cannot end a request";
                return Err(refused(&format!("{at}/code"), why));
            }
            Ok(Action::Return(Reply::error_msg(
                told.code,
                "rejected by workflow",
            )))
        }
        "limit-count" | "limit-conn" => match cx.nested(&at, name, config) {
            Ok(plugin) => Ok(Action::Run(plugin)),
            Err(error) => {
                let frame = format!("failed to check the configuration of plugin {name} err: ");
                let why = error.message.strip_prefix(&frame).unwrap_or(&error.message);
                Err(refused(&error.path, why))
            }
        },
        _ => Err(cx.error(path, format!("unsupported action: {name}"))),
    }
}
