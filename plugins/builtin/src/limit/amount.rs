//! Amounts that are written as a number, or as a text with a variable that each request fills in.

use crossway_sdk::expr::{Lookup, Template, Value};
use schemars::JsonSchema;
use serde::Deserialize;

/// The largest amount a variable may bring: beyond 2^53 − 1 the field's other gateways lose whole numbers.
const MOST: f64 = 9_007_199_254_740_991.0;

/// An integer, or a text with a variable such as `$http_x_quota` or `${http_x_quota ?? 10}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum AmountConfig {
    /// The number.
    Number(u64),
    /// A text with a variable.
    Text(String),
}

/// An amount that is ready to be asked for.
#[derive(Debug)]
pub(crate) enum Amount {
    /// The same for every request.
    Fixed(u64),
    /// Named by the request.
    Named {
        /// What yields it.
        text: Template,
        /// Used when the request lacks the variable.
        otherwise: Option<u64>,
        /// The smallest one that is taken.
        least: u64,
    },
}

/// Why an amount cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AmountError {
    /// Too small.
    #[error("expected an integer of at least {0}")]
    TooSmall(u64),
    /// A text without a variable that is no number.
    #[error("expected an integer, or a text with a variable such as $http_x_quota")]
    NoVariable,
    /// A variable that does not exist.
    #[error("{0}")]
    Unknown(String),
    /// What a request brought.
    #[error("the variable's value is not an integer from {0} to 2^53-1")]
    Value(u64),
}

impl Amount {
    /// Judges what was configured; `least` is the smallest amount that makes sense.
    pub(crate) fn compile(config: &AmountConfig, least: u64) -> Result<Self, AmountError> {
        let text = match config {
            AmountConfig::Number(number) if *number < least => {
                return Err(AmountError::TooSmall(least));
            }
            AmountConfig::Number(number) => return Ok(Self::Fixed(*number)),
            AmountConfig::Text(text) => text,
        };
        let (text, otherwise) = match with_default(text) {
            Some((name, default)) => {
                let default =
                    integer(default.as_bytes(), least).ok_or(AmountError::Value(least))?;
                (format!("${{{name}}}"), Some(default))
            }
            None => (text.clone(), None),
        };
        let text = Template::parse(&text).map_err(|e| AmountError::Unknown(e.to_string()))?;
        match text.is_constant() {
            Some(constant) => integer(constant, least)
                .map(Self::Fixed)
                .ok_or(AmountError::NoVariable),
            None => Ok(Self::Named {
                text,
                otherwise,
                least,
            }),
        }
    }

    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        matches!(self, Self::Named { text, .. } if text.needs_body())
    }

    /// The amount for this request.
    pub(crate) fn resolve(&self, from: &dyn Lookup) -> Result<u64, AmountError> {
        match self {
            Self::Fixed(number) => Ok(*number),
            Self::Named {
                text,
                otherwise,
                least,
            } => {
                let mut value = Vec::new();
                match (text.render(from, &mut value), otherwise) {
                    (0, Some(default)) => Ok(*default),
                    _ => integer(&value, *least).ok_or(AmountError::Value(*least)),
                }
            }
        }
    }
}

/// `${name ?? default}`, when that is the whole text.
fn with_default(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix("${")?.strip_suffix('}')?;
    let (name, default) = inside.split_once("??")?;
    Some((name.trim(), default.trim()))
}

/// A number as Lua reads it, when it is whole and in range.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "in range and whole"
)]
fn integer(text: &[u8], least: u64) -> Option<u64> {
    let number = Value::text(text).number()?;
    let whole = number.fract() == 0.0 && (0.0..=MOST).contains(&number);
    whole.then_some(number as u64).filter(|n| *n >= least)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashMap;

    fn resolved(text: &str, quota: Option<&str>) -> Result<u64, AmountError> {
        let request: HashMap<String, String> = quota
            .map(|q| ("http_x_quota".to_owned(), q.to_owned()))
            .into_iter()
            .collect();
        Amount::compile(&AmountConfig::Text(text.into()), 1)?.resolve(&request)
    }

    #[test]
    fn a_number_stands_for_itself() {
        assert!(matches!(
            Amount::compile(&AmountConfig::Number(3), 1),
            Ok(Amount::Fixed(3))
        ));
        assert_eq!(
            Amount::compile(&AmountConfig::Number(0), 1).unwrap_err(),
            AmountError::TooSmall(1)
        );
        assert!(Amount::compile(&AmountConfig::Number(0), 0).is_ok());
        assert_eq!(resolved("25", None), Ok(25));
    }

    #[test]
    fn a_variable_brings_it_or_the_default_does() {
        assert_eq!(resolved("$http_x_quota", Some("7")), Ok(7));
        assert_eq!(resolved("${http_x_quota}0", Some("7")), Ok(70));
        assert_eq!(resolved("${http_x_quota ?? 9}", None), Ok(9));
        assert_eq!(resolved("${http_x_quota??9}", Some("4")), Ok(4));
    }

    #[test]
    fn what_is_no_positive_integer_is_refused() {
        for hostile in [
            "",
            "0",
            "-1",
            "1.5",
            "abc",
            "nan",
            "inf",
            "1e300",
            "9007199254740993",
        ] {
            assert_eq!(
                resolved("$http_x_quota", Some(hostile)),
                Err(AmountError::Value(1))
            );
        }
        assert_eq!(resolved("$http_x_quota", None), Err(AmountError::Value(1)));
        assert_eq!(resolved("ten", None), Err(AmountError::NoVariable));
        assert_eq!(
            resolved("${http_x_quota ?? 0}", None),
            Err(AmountError::Value(1))
        );
        assert!(matches!(
            resolved("$nothing", None),
            Err(AmountError::Unknown(_))
        ));
    }
}
