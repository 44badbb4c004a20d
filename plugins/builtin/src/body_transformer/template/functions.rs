//! The functions that a template may call.

use super::{
    eval::Failure,
    value::{Value, written},
};
use serde_json::Value as Json;
use std::borrow::Cow;

macro_rules! functions {
    ($( $variant:ident = $name:literal, )*) => {
        /// A function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function { $( $variant, )* }

        impl Function {
            /// The function of that name.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name { $( $name => Some(Self::$variant), )* _ => None }
            }

            /// All names, for a message.
            pub(super) fn names() -> String {
                [$( $name, )*].join(", ")
            }
        }
    };
}

functions! {
    EscapeJson = "_escape_json",
    EscapeXml = "_escape_xml",
    ToString = "tostring",
    ToNumber = "tonumber",
    Type = "type",
    Upper = "string.upper",
    Lower = "string.lower",
    Len = "string.len",
    Sub = "string.sub",
    Concat = "table.concat",
    Floor = "math.floor",
}

/// How deeply `_escape_json` goes; what the body was read with is less.
const DEPTH: usize = 256;

/// Calls a function.
pub(super) fn call<'a>(function: Function, arguments: &[Value<'a>]) -> Result<Value<'a>, Failure> {
    let first = arguments.first().unwrap_or(&Value::Nil);
    Ok(match function {
        Function::EscapeJson => {
            let mut out = Vec::new();
            write_json(first, &mut out, 0)?;
            Value::text(out)
        }
        Function::EscapeXml => Value::text(escape_xml(&text(first, "_escape_xml")?)),
        Function::ToString => Value::text(first.shown()?.into_owned()),
        Function::ToNumber => match first {
            Value::Integer(_) | Value::Number(_) => first.clone(),
            _ => first.number().map_or(Value::Nil, Value::Number),
        },
        Function::Type => Value::text(first.kind()),
        Function::Upper => Value::text(text(first, "string.upper")?.to_ascii_uppercase()),
        Function::Lower => Value::text(text(first, "string.lower")?.to_ascii_lowercase()),
        Function::Len => Value::Integer(
            text(first, "string.len")?
                .len()
                .try_into()
                .unwrap_or(i64::MAX),
        ),
        Function::Sub => {
            let whole = text(first, "string.sub")?;
            let at = |index: usize, default: f64| match arguments.get(index) {
                None | Some(Value::Nil) => Ok(default),
                Some(value) => number(value, "string.sub"),
            };
            Value::text(sub(&whole, at(1, 1.0)?, at(2, -1.0)?))
        }
        Function::Concat => concat(first, arguments.get(1))?,
        Function::Floor => Value::Number(number(first, "math.floor")?.floor()),
    })
}

fn text<'a>(value: &Value<'a>, function: &str) -> Result<Cow<'a, [u8]>, Failure> {
    value.as_text().ok_or_else(|| {
        let kind = value.kind();
        Failure::new(format!(
            "bad argument to {function}: expected a string, got a {kind} value"
        ))
    })
}

fn number(value: &Value<'_>, function: &str) -> Result<f64, Failure> {
    value.number().ok_or_else(|| {
        let kind = value.kind();
        Failure::new(format!(
            "bad argument to {function}: expected a number, got a {kind} value"
        ))
    })
}

/// From the first to the last byte, both counted from 1; negative ones count from the end.
fn sub(whole: &[u8], first: f64, last: f64) -> &[u8] {
    #[expect(clippy::cast_precision_loss, reason = "no text is that long")]
    let length = whole.len() as f64;
    let place = |at: f64| if at < 0.0 { length + at + 1.0 } else { at };
    let (first, last) = (place(first).max(1.0), place(last).min(length));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the length"
    )]
    let found = whole.get(first as usize - 1..last.max(0.0) as usize);
    found.unwrap_or_default()
}

fn concat<'a>(list: &Value<'a>, separator: Option<&Value<'a>>) -> Result<Value<'a>, Failure> {
    let Value::Table(Json::Array(items)) = list else {
        return match list {
            Value::Table(_) => Ok(Value::text("")),
            other => Err(Failure::new(format!(
                "bad argument to table.concat: expected a table, got a {} value",
                other.kind()
            ))),
        };
    };
    let separator = match separator {
        None | Some(Value::Nil) => Cow::Borrowed(&b""[..]),
        Some(value) => text(value, "table.concat")?,
    };
    let pieces: Result<Vec<_>, _> = items
        .iter()
        .map(|item| text(&Value::of(item), "table.concat"))
        .collect();
    Ok(Value::text(pieces?.join(&*separator)))
}

/// The characters of XML that mean something.
fn escape_xml(text: &[u8]) -> Vec<u8> {
    replaced(text, |byte| match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'\'' => "&apos;",
        b'"' => "&quot;",
        _ => "",
    })
}

/// The characters that `{{ }}` of lua-resty-template escapes.
pub(super) fn escape_html(text: &[u8]) -> Vec<u8> {
    replaced(text, |byte| match byte {
        b'&' => "&amp;",
        b'<' => "&lt;",
        b'>' => "&gt;",
        b'\'' => "&#39;",
        b'"' => "&quot;",
        b'/' => "&#47;",
        _ => "",
    })
}

fn replaced(text: &[u8], replacement: fn(u8) -> &'static str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match replacement(byte) {
            "" => out.push(byte),
            other => out.extend_from_slice(other.as_bytes()),
        }
    }
    out
}

/// JSON as APISIX's encoder writes it: a slash is escaped.
fn write_json(value: &Value<'_>, out: &mut Vec<u8>, depth: usize) -> Result<(), Failure> {
    if depth > DEPTH {
        return Err(Failure::new("the value is nested too deeply"));
    }
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Boolean(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        Value::Integer(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Number(number) if number.is_finite() => {
            out.extend_from_slice(written(*number).as_bytes())
        }
        Value::Number(_) => return Err(Failure::new("a number that JSON does not have")),
        Value::Text(text) => write_text(text, out),
        Value::Table(Json::Array(items)) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_json(&Value::of(item), out, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Table(Json::Object(members)) => {
            out.push(b'{');
            for (index, (name, item)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_text(name.as_bytes(), out);
                out.push(b':');
                write_json(&Value::of(item), out, depth + 1)?;
            }
            out.push(b'}');
        }
        Value::Table(other) => write_json(&Value::of(other), out, depth + 1)?,
    }
    Ok(())
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f | 0x7f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(byte),
        }
    }
    out.push(b'"');
}
