//! The shape of a line: compiled once from the settings, filled in for each request.

use super::{
    clock::{Second, with_second},
    escape,
};
use crate::{
    observe::host,
    settings::{AccessLog, LogFormat},
};
use crossway_sdk::expr::{Lookup, Template, TemplateError, Value, Variable};
use std::{borrow::Cow, time::SystemTime};

/// A compiled format.
#[derive(Debug)]
pub struct Line(Shape);

#[derive(Debug)]
enum Shape {
    Text(Template),
    Json(Box<[Member]>),
}

#[derive(Debug)]
struct Member {
    /// `"name":`.
    opening: Box<[u8]>,
    value: MemberValue,
}

#[derive(Debug)]
enum MemberValue {
    /// One variable and nothing else: a number stays a number.
    Variable(Variable),
    Text(Template),
}

impl Line {
    /// Compiles the format that the settings ask for.
    ///
    /// # Errors
    /// A template names something that is no variable.
    pub fn compile(settings: &AccessLog) -> Result<Self, TemplateError> {
        let member = |(name, template): (&String, &String)| {
            let name = serde_json::Value::from(name.as_str());
            let alone = template.strip_prefix('$').map(|name| {
                name.strip_prefix('{')
                    .and_then(|name| name.strip_suffix('}'))
                    .unwrap_or(name)
            });
            let value = match alone.and_then(|name| Variable::parse(name).ok()) {
                Some(variable) => MemberValue::Variable(variable),
                None => MemberValue::Text(Template::parse(template)?),
            };
            Ok(Member {
                opening: format!("{name}:").into_bytes().into(),
                value,
            })
        };
        Ok(Self(match settings.format {
            LogFormat::Text => Shape::Text(Template::parse(&settings.template)?),
            LogFormat::Json => Shape::Json(
                settings
                    .fields
                    .iter()
                    .map(member)
                    .collect::<Result<_, TemplateError>>()?,
            ),
        }))
    }

    /// Appends the line of a request that ended at `at`, with its end of line.
    pub fn write(&self, request: &dyn Lookup, at: SystemTime, out: &mut Vec<u8>) {
        with_second(at, |second, number, millis| {
            let values = Values {
                request,
                second,
                number,
                millis,
            };
            match &self.0 {
                Shape::Text(template) => {
                    template.render(&ForText(values), out);
                }
                Shape::Json(members) => object(members, &ForJson(values), out),
            }
        });
        out.push(b'\n');
    }
}

fn object(members: &[Member], values: &ForJson<'_>, out: &mut Vec<u8>) {
    let mut separator = b'{';
    for Member { opening, value } in members {
        let begin = out.len();
        out.push(separator);
        out.extend_from_slice(opening);
        let present = match value {
            MemberValue::Variable(variable) => match values.0.get(variable) {
                Some(value) => {
                    json_value(variable, value, out);
                    true
                }
                None => false,
            },
            MemberValue::Text(template) => {
                out.push(b'"');
                let found = template.render(values, out);
                out.push(b'"');
                found > 0 || template.is_constant().is_some()
            }
        };
        if present {
            separator = b',';
        } else {
            out.truncate(begin);
        }
    }
    if separator == b'{' {
        out.push(b'{');
    }
    out.push(b'}');
}

fn json_value(variable: &Variable, value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Integer(_) | Value::Boolean(_) => value.write_to(out),
        Value::Number(number) if number.is_finite() => value.write_to(out),
        Value::Bytes(text) if is_decimal(variable, &text) => out.extend_from_slice(&text),
        other => {
            out.push(b'"');
            escaped(other, escape::json).write_to(out);
            out.push(b'"');
        }
    }
}

/// Whether a text is a number such as `0.012`: nginx keeps times as text.
fn is_decimal(variable: &Variable, text: &[u8]) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    matches!(
        variable,
        Variable::RequestTime | Variable::Msec | Variable::ConnectionTime
    ) && parts
        .next()
        .is_some_and(|whole| digits(whole) && (whole == b"0" || whole.first() != Some(&b'0')))
        && parts.next().is_none_or(digits)
}

/// The value with its text escaped; numbers need none.
fn escaped<'a>(value: Value<'a>, escape: fn(Cow<'a, [u8]>) -> Cow<'a, [u8]>) -> Value<'a> {
    match value {
        Value::Bytes(text) => Value::Bytes(escape(text)),
        Value::List(_) => {
            let mut text = Vec::new();
            value.write_to(&mut text);
            Value::Bytes(escape(Cow::Owned(text)))
        }
        plain => plain,
    }
}

/// The request, and what the log knows itself.
struct Values<'r> {
    request: &'r dyn Lookup,
    second: &'r Second,
    number: u64,
    millis: u32,
}

impl Values<'_> {
    fn get<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        match variable {
            Variable::TimeLocal => Some(Value::text(&self.second.local)),
            Variable::TimeIso8601 => Some(Value::text(&self.second.iso8601)),
            Variable::Msec => {
                let text = format!("{}.{:03}", self.number, self.millis);
                Some(Value::Bytes(Cow::Owned(text.into_bytes())))
            }
            Variable::Hostname => Some(Value::text(host::hostname())),
            Variable::Pid => Some(Value::Integer(std::process::id().into())),
            variable => self.request.lookup(variable),
        }
    }
}

/// For lines of text: escaped, and with something for everything.
struct ForText<'r>(Values<'r>);

impl Lookup for ForText<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        let value = self.0.get(variable).or_else(|| match variable {
            // APISIX sets these for every request, before it knows the upstream.
            Variable::UpstreamScheme => Some(Value::text("http")),
            Variable::UpstreamHost => self.0.get(&Variable::HttpHost),
            Variable::UpstreamUri => Some(Value::text("")),
            _ => None,
        });
        Some(value.map_or_else(|| Value::text("-"), |value| escaped(value, escape::nginx)))
    }
}

/// For templates inside JSON strings.
struct ForJson<'r>(Values<'r>);

impl Lookup for ForJson<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        Some(escaped(self.0.get(variable)?, escape::json))
    }
}
