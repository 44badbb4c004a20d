//! A model and a policy, compiled.

use casbin::{CoreApi, DefaultModel, Enforcer, Model, StringAdapter};
use futures::FutureExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// With more rules than this a judgement may take so long that other requests would notice.
const SHORT: usize = 64;

/// Judges requests.
pub(super) struct Rules {
    enforcer: Enforcer,
    rules: usize,
}

/// Why a model or a policy was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// The model is at fault.
    Model(String),
    /// The policy is at fault.
    Policy(String),
}

impl Rules {
    /// Compiles a model with its policy, and tries it out.
    pub(super) fn new(model: &str, policy: &str) -> Result<Self, Unfit> {
        // The library panics at some models that make no sense.
        catch_unwind(AssertUnwindSafe(|| Self::compile(model, policy)))
            .unwrap_or_else(|_| Err(Unfit::Model("it makes no sense".to_owned())))
    }

    fn compile(model: &str, policy: &str) -> Result<Self, Unfit> {
        let unfit = |error: casbin::Error| Unfit::Model(error.to_string());
        let model = finished(DefaultModel::from_str(model)).map_err(unfit)?;
        let sections = model.get_model();
        for (section, name) in [
            ("r", "request_definition"),
            ("p", "policy_definition"),
            ("e", "policy_effect"),
            ("m", "matchers"),
        ] {
            if !sections
                .get(section)
                .is_some_and(|kinds| kinds.contains_key(section))
            {
                return Err(Unfit::Model(format!("expected {section} = … in [{name}]")));
            }
        }
        let adapter = StringAdapter::new(policy);
        let mut enforcer = finished(Enforcer::new(model, adapter)).map_err(unfit)?;
        enforcer.enable_log(false);
        let rules = judge_policy(&enforcer, policy)?;
        let compiled = Self { enforcer, rules };
        compiled
            .admits("anonymous", "/", "GET")
            .map_err(Unfit::Model)?;
        Ok(compiled)
    }

    /// Whether a judgement is soon done.
    pub(super) fn are_few(&self) -> bool {
        self.rules <= SHORT
    }

    /// Whether the user may do this.
    ///
    /// # Errors
    /// The model and the policy do not fit these values.
    pub(super) fn admits(&self, user: &str, path: &str, method: &str) -> Result<bool, String> {
        self.enforcer
            .enforce((user, path, method))
            .map_err(|e| e.to_string())
    }
}

/// The result of a future that has nothing to wait for: model and policy are in memory.
fn finished<T>(future: impl Future<Output = casbin::Result<T>>) -> casbin::Result<T> {
    let waits = || Err(std::io::Error::other("it is not all in memory").into());
    future.now_or_never().unwrap_or_else(waits)
}

/// Counts the rules. Lines that the library would pass over, or stumble upon later, are refused: one of them may be what denies.
fn judge_policy(enforcer: &Enforcer, policy: &str) -> Result<usize, Unfit> {
    let sections = enforcer.get_model().get_model();
    for (line, number) in policy.lines().map(str::trim).zip(1..) {
        let kind = line.split(',').next().unwrap_or_default().trim();
        if kind.is_empty() || kind.starts_with('#') {
            continue;
        }
        let section = kind.get(..1).and_then(|section| sections.get(section));
        if section.is_none_or(|kinds| !kinds.contains_key(kind)) {
            let message = format!("line {number}: the model defines no {kind:?}");
            return Err(Unfit::Policy(message));
        }
    }
    let mut rules = 0;
    for (kind, definition) in sections.get("p").into_iter().flatten() {
        let expected = definition.tokens.len();
        for rule in definition.get_policy() {
            rules += 1;
            if rule.len() != expected {
                let message = format!(
                    "rule \"{kind}, {}\": the model wants {expected} values",
                    rule.join(", ")
                );
                return Err(Unfit::Policy(message));
            }
        }
    }
    Ok(rules)
}
