//! `_meta`: what can be said of any plugin in one place of use.

use bytes::Bytes;
use crossway_sdk::expr::Expression;
use serde::Deserialize;
use serde_json::Value;

/// `_meta` of one plugin configuration.
#[derive(Debug, Default)]
pub struct Meta {
    /// The configuration is chosen by precedence and then not run.
    pub disable: bool,
    /// In place of the plugin's own priority.
    pub priority: Option<i32>,
    /// The plugin runs only for requests that match.
    pub filter: Option<Expression>,
    /// Body in place of the plugin's own when it ends a request with a status from 400 on.
    pub error_response: Option<Bytes>,
}

/// `_meta` was refused.
#[derive(Debug, thiserror::Error)]
#[error("property \"_meta\" validation failed: {message} (at {path})")]
pub struct MetaError {
    /// JSON pointer inside the plugin's configuration.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    disable: bool,
    priority: Option<i32>,
    filter: Option<Value>,
    error_response: Option<Value>,
    pre_function: Option<Value>,
}

impl Meta {
    /// Reads `_meta`.
    ///
    /// # Errors
    /// An unknown field, a wrong type, an expression that does not parse, or `pre_function`, which is Lua.
    pub fn parse(written: &Value) -> Result<Self, MetaError> {
        let refuse = |path: &str, message: String| MetaError {
            path: format!("/_meta{path}"),
            message,
        };
        let w = Written::deserialize(written).map_err(|e| refuse("", e.to_string()))?;
        if w.pre_function.is_some() {
            return Err(refuse(
                "/pre_function",
                "it is Lua source, and Crossway runs no Lua".to_owned(),
            ));
        }
        let filter = match &w.filter {
            None => None,
            Some(vars) => Some(Expression::parse(vars).map_err(|e| {
                refuse(
                    "/filter",
                    format!("failed to validate the 'vars' expression: {e}"),
                )
            })?),
        };
        let error_response = match w.error_response {
            None => None,
            Some(Value::String(text)) => Some(Bytes::from(text)),
            Some(object @ Value::Object(_)) => Some(Bytes::from(format!("{object}\n"))),
            Some(_) => {
                return Err(refuse(
                    "/error_response",
                    "expected a string or an object".to_owned(),
                ));
            }
        };
        Ok(Self {
            disable: w.disable,
            priority: w.priority,
            filter,
            error_response,
        })
    }
}
