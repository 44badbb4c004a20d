//! Values of a template, with the meaning that Lua gives them.

use super::eval::Failure;
use serde_json::Value as Json;
use std::borrow::Cow;

/// A value while a template runs.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Nil,
    Boolean(bool),
    /// An integer of the body, which keeps all its digits.
    Integer(i64),
    Number(f64),
    Text(Cow<'a, [u8]>),
    /// A list or an object of the body.
    Table(&'a Json),
}

impl<'a> Value<'a> {
    pub(super) fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(truth) => Self::Boolean(*truth),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::Text(Cow::Borrowed(text.as_bytes())),
            Json::Array(_) | Json::Object(_) => Self::Table(json),
        }
    }

    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// Only `nil` and `false` are false.
    pub(super) fn truth(&self) -> bool {
        !matches!(self, Self::Nil | Self::Boolean(false))
    }

    /// What `type` says.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Boolean(_) => "boolean",
            Self::Integer(_) | Self::Number(_) => "number",
            Self::Text(_) => "string",
            Self::Table(_) => "table",
        }
    }

    /// As a number; text that reads as one counts.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "Lua has doubles only")]
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Text(text) => {
                let text = std::str::from_utf8(text).ok()?.trim();
                match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                    #[expect(clippy::cast_precision_loss, reason = "Lua has doubles only")]
                    Some(digits) => u64::from_str_radix(digits, 16).ok().map(|n| n as f64),
                    // Rust reads names of infinity, Lua does not.
                    None if text.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
                        text.parse().ok()
                    }
                    None => None,
                }
            }
            _ => None,
        }
    }

    /// Text and numbers as text; `None` for all else.
    pub(super) fn as_text(&self) -> Option<Cow<'a, [u8]>> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Integer(number) => Some(Cow::Owned(number.to_string().into_bytes())),
            Self::Number(number) => Some(Cow::Owned(written(*number).into_bytes())),
            _ => None,
        }
    }

    /// The form in which `{{ }}` and `tostring` write it.
    pub(super) fn shown(&self) -> Result<Cow<'a, [u8]>, Failure> {
        match self {
            Self::Nil => Ok(Cow::Borrowed(b"nil")),
            Self::Boolean(true) => Ok(Cow::Borrowed(b"true")),
            Self::Boolean(false) => Ok(Cow::Borrowed(b"false")),
            Self::Table(_) => Err(Failure::new("a table cannot be written as text")),
            other => Ok(other.as_text().unwrap_or_default()),
        }
    }

    /// `self[key]`. Lists begin at 1.
    pub(super) fn index(&self, key: &Value<'_>) -> Result<Value<'a>, Failure> {
        let Self::Table(table) = self else {
            let kind = self.kind();
            return Err(Failure::new(format!("attempt to index a {kind} value")));
        };
        Ok(match (table, key) {
            (Json::Object(members), Value::Text(name)) => std::str::from_utf8(name)
                .ok()
                .and_then(|name| members.get(name))
                .map_or(Value::Nil, Value::of),
            // XML and forms: a number may be the name of a member.
            (Json::Object(members), key) => key
                .number()
                .and_then(|n| members.get(&written(n)))
                .map_or(Value::Nil, Value::of),
            (Json::Array(items), key @ (Value::Integer(_) | Value::Number(_))) => key
                .number()
                .filter(|n| n.fract() == 0.0 && *n >= 1.0)
                .and_then(|n| {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "checked above"
                    )]
                    items.get(n as usize - 1)
                })
                .map_or(Value::Nil, Value::of),
            _ => Value::Nil,
        })
    }

    /// `#self`.
    pub(super) fn length(&self) -> Result<usize, Failure> {
        match self {
            Self::Text(text) => Ok(text.len()),
            Self::Table(Json::Array(items)) => Ok(items.len()),
            Self::Table(Json::Object(members)) => Ok((1..)
                .take_while(|n| members.contains_key(&n.to_string()))
                .count()),
            _ => {
                let kind = self.kind();
                Err(Failure::new(format!(
                    "attempt to get length of a {kind} value"
                )))
            }
        }
    }

    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Nil, Value::Nil) => true,
            (Self::Boolean(a), Value::Boolean(b)) => a == b,
            (Self::Integer(a), Value::Integer(b)) => a == b,
            (Self::Text(a), Value::Text(b)) => a == b,
            (Self::Table(a), Value::Table(b)) => std::ptr::eq(*a, *b),
            (Self::Integer(_) | Self::Number(_), Value::Integer(_) | Value::Number(_)) => {
                self.number() == other.number()
            }
            _ => false,
        }
    }
}

/// A number as Lua writes it: `%.14g`.
pub(super) fn written(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:.13e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if (-4..14).contains(&exponent) {
        let decimals = usize::try_from(13 - exponent).unwrap_or(0);
        return trimmed(&format!("{number:.decimals$}"));
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    let mut out = trimmed(mantissa);
    out.push_str(&format!("e{sign}{:02}", exponent.abs()));
    out
}
