//! What becomes of a value that is hidden.

use super::config::{Action, Rule};
use crate::rewrite::substitution::Substitution;
use crossway_sdk::{build::BuildError, expr::Pattern};
use serde_json::Value;

pub(super) enum Mask {
    Remove,
    Replace(Box<str>),
    Regex(Substitution),
}

impl Mask {
    pub(super) fn build(rule: &Rule, path: &str) -> Result<Self, BuildError> {
        let missing =
            |field: &str| BuildError::new(path, format!("property \"{field}\" is required"));
        let value = rule.value.as_deref();
        Ok(match rule.action {
            Action::Remove => Self::Remove,
            Action::Replace => Self::Replace(value.ok_or_else(|| missing("value"))?.into()),
            Action::Regex => {
                let regex = rule.regex.as_deref().ok_or_else(|| missing("regex"))?;
                let value = value.ok_or_else(|| missing("value"))?;
                let pattern = Pattern::new(regex, false)
                    .map_err(|e| BuildError::new(format!("{path}/regex"), e.to_string()))?;
                let made = Substitution::new(pattern, value);
                Self::Regex(
                    made.map_err(|e| BuildError::new(format!("{path}/value"), e.to_string()))?,
                )
            }
        })
    }

    /// What is left of a text; `None` for nothing. A search that gives up leaves nothing.
    pub(super) fn apply(&self, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Remove => None,
            Self::Replace(value) => Some(value.as_bytes().to_vec()),
            Self::Regex(substitution) => {
                let replaced = substitution.replace(text, false).ok()?;
                Some(replaced.into_owned())
            }
        }
    }

    /// As [`Mask::apply`], of a value in a document. In what is neither text nor number a regular expression finds nothing, so
    /// nothing is left of it.
    pub(super) fn apply_to(&self, value: &Value) -> Option<Value> {
        let text = match (self, value) {
            (Self::Regex(_), Value::String(text)) => self.apply(text.as_bytes()),
            (Self::Regex(_), Value::Number(number)) => self.apply(number.to_string().as_bytes()),
            (Self::Regex(_), _) => None,
            _ => self.apply(&[]),
        };
        Some(String::from_utf8_lossy(&text?).into())
    }
}
