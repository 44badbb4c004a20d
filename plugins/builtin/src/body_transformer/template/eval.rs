//! Runs a template over a body.

use super::{
    functions::{self, escape_html},
    parse::{Expression, Node},
    value::Value,
};
use crossway_sdk::expr::{Lookup, Value as Answer};
use serde_json::Value as Json;
use std::borrow::Cow;

/// Steps that one rendering may take.
const STEPS: usize = 1_000_000;

/// Bytes that one rendering may write, and that one value may have.
const LARGEST: usize = 64 * 1024 * 1024;

/// A template could not be rendered over this body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// What a template sees.
pub(crate) struct Scope<'a> {
    /// The decoded body; its members are names.
    pub(crate) data: &'a Json,
    /// The body as it came; `None` when there was none.
    pub(crate) body: Option<&'a [u8]>,
    /// The variables of the request.
    pub(crate) variables: &'a dyn Lookup,
}

struct Run<'a> {
    scope: &'a Scope<'a>,
    locals: Vec<(&'a str, Value<'a>)>,
    out: Vec<u8>,
    steps: usize,
}

/// The text that a template gives.
pub(super) fn render<'a>(nodes: &'a [Node], scope: &'a Scope<'a>) -> Result<Vec<u8>, Failure> {
    let mut run = Run {
        scope,
        locals: Vec::new(),
        out: Vec::new(),
        steps: 0,
    };
    run.nodes(nodes)?;
    Ok(run.out)
}

impl<'a> Run<'a> {
    /// Names that a block makes are gone after it.
    fn nodes(&mut self, nodes: &'a [Node]) -> Result<(), Failure> {
        let outer = self.locals.len();
        for node in nodes {
            self.node(node)?;
        }
        self.locals.truncate(outer);
        Ok(())
    }

    fn node(&mut self, node: &'a Node) -> Result<(), Failure> {
        self.step()?;
        match node {
            Node::Literal(text) => self.out.extend_from_slice(text),
            Node::Output {
                expression,
                escaped,
            } => {
                let value = self.value(expression)?;
                if matches!(value, Value::Nil) {
                    return Ok(());
                }
                let shown = value.shown()?;
                match *escaped && matches!(value, Value::Text(_)) {
                    true => self.out.extend(escape_html(&shown)),
                    false => self.out.extend_from_slice(&shown),
                }
            }
            Node::If {
                branches,
                otherwise,
            } => {
                for (condition, body) in branches {
                    if self.value(condition)?.truth() {
                        return self.nodes(body);
                    }
                }
                return self.nodes(otherwise);
            }
            Node::Local { name, value } => {
                let value = self.value(value)?;
                self.locals.push((name, value));
            }
            Node::Each {
                names,
                over,
                list,
                body,
            } => {
                let over = self.value(over)?;
                return self.each(names, over, *list, body);
            }
            Node::Count {
                name,
                from,
                to,
                step,
                body,
            } => {
                let (from, to) = (self.number(from)?, self.number(to)?);
                let step = step.as_ref().map_or(Ok(1.0), |step| self.number(step))?;
                let mut at = from;
                while (step > 0.0 && at <= to) || (step <= 0.0 && at >= to) {
                    self.round(&[(name, Value::Number(at))], body)?;
                    at += step;
                }
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        names: &'a (String, Option<String>),
        over: Value<'a>,
        list: bool,
        body: &'a [Node],
    ) -> Result<(), Failure> {
        let mut round = |key: Value<'a>, value: Value<'a>| {
            let second = names.1.as_deref();
            let mut bound = vec![(names.0.as_str(), key)];
            bound.extend(second.map(|name| (name, value)));
            self.round(&bound, body)
        };
        match over {
            Value::Table(Json::Array(items)) => {
                for (place, item) in (1..).zip(items) {
                    let item = Value::of(item);
                    // A hole ends a list.
                    if list && matches!(item, Value::Nil) {
                        break;
                    }
                    round(Value::Integer(place), item)?;
                }
                Ok(())
            }
            Value::Table(Json::Object(members)) if list => {
                for place in 1_i64.. {
                    let Some(item) = members.get(&place.to_string()) else {
                        break;
                    };
                    round(Value::Integer(place), Value::of(item))?;
                }
                Ok(())
            }
            Value::Table(Json::Object(members)) => {
                for (name, item) in members {
                    round(Value::Text(Cow::Borrowed(name.as_bytes())), Value::of(item))?;
                }
                Ok(())
            }
            other => Err(Failure::new(format!(
                "bad argument to a loop: expected a table, got a {} value",
                other.kind()
            ))),
        }
    }

    fn round(&mut self, names: &[(&'a str, Value<'a>)], body: &'a [Node]) -> Result<(), Failure> {
        self.step()?;
        let outer = self.locals.len();
        self.locals.extend_from_slice(names);
        self.nodes(body)?;
        self.locals.truncate(outer);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > STEPS || self.out.len() > LARGEST {
            return Err(Failure::new(
                "the template writes too much or runs too long",
            ));
        }
        Ok(())
    }

    fn value(&mut self, expression: &'a Expression) -> Result<Value<'a>, Failure> {
        Ok(match expression {
            Expression::Nil => Value::Nil,
            Expression::Boolean(truth) => Value::Boolean(*truth),
            Expression::Number(number) => Value::Number(*number),
            Expression::Text(text) => Value::Text(Cow::Borrowed(text.as_bytes())),
            Expression::Name(name) => self.named(name),
            Expression::Body => self
                .scope
                .body
                .map_or(Value::Nil, |b| Value::Text(Cow::Borrowed(b))),
            Expression::Variable(variable) => match self.scope.variables.lookup(variable) {
                None => Value::Nil,
                Some(Answer::Boolean(truth)) => Value::Boolean(truth),
                Some(Answer::Number(number)) => Value::Number(number),
                Some(other) => {
                    let mut text = Vec::new();
                    other.write_to(&mut text);
                    Value::text(text)
                }
            },
            Expression::Index(parts) => {
                let table = self.value(&parts.0)?;
                let key = self.value(&parts.1)?;
                table.index(&key).map_err(|failure| match &parts.0 {
                    Expression::Name(name) => Failure::new(format!("{failure} (global '{name}')")),
                    _ => failure,
                })?
            }
            Expression::Call(function, arguments) => {
                self.step()?;
                let arguments = arguments.iter().map(|a| self.value(a));
                functions::call(*function, &arguments.collect::<Result<Vec<_>, _>>()?)?
            }
            Expression::Not(value) => Value::Boolean(!self.value(value)?.truth()),
            Expression::Negative(value) => Value::Number(-self.number(value)?),
            Expression::Length(value) => {
                let length = self.value(value)?.length()?;
                Value::Integer(length.try_into().unwrap_or(i64::MAX))
            }
            Expression::Binary("and", sides) => match self.value(&sides.0)? {
                left if left.truth() => self.value(&sides.1)?,
                left => left,
            },
            Expression::Binary("or", sides) => match self.value(&sides.0)? {
                left if left.truth() => left,
                _ => self.value(&sides.1)?,
            },
            Expression::Binary(sign, sides) => {
                let (left, right) = (self.value(&sides.0)?, self.value(&sides.1)?);
                self.binary(sign, &left, &right)?
            }
        })
    }

    /// A local name, else a member of the body.
    fn named(&self, name: &str) -> Value<'a> {
        if let Some((_, value)) = self.locals.iter().rfind(|(n, _)| *n == name) {
            return value.clone();
        }
        match self.scope.data {
            Json::Object(members) => members.get(name).map_or(Value::Nil, Value::of),
            _ => Value::Nil,
        }
    }

    fn number(&mut self, expression: &'a Expression) -> Result<f64, Failure> {
        let value = self.value(expression)?;
        arithmetic(&value)
    }

    fn binary(
        &mut self,
        sign: &str,
        left: &Value<'a>,
        right: &Value<'a>,
    ) -> Result<Value<'a>, Failure> {
        Ok(match sign {
            "==" => Value::Boolean(left.equals(right)),
            "~=" => Value::Boolean(!left.equals(right)),
            "<" => Value::Boolean(less(left, right, false)?),
            "<=" => Value::Boolean(less(left, right, true)?),
            ">" => Value::Boolean(less(right, left, false)?),
            ">=" => Value::Boolean(less(right, left, true)?),
            ".." => {
                self.step()?;
                let text = |value: &Value<'a>| {
                    let kind = value.kind();
                    let why = || Failure::new(format!("attempt to concatenate a {kind} value"));
                    value.as_text().ok_or_else(why)
                };
                let joined = [text(left)?, text(right)?].concat();
                if joined.len() > LARGEST {
                    return Err(Failure::new(
                        "the template writes too much or runs too long",
                    ));
                }
                Value::text(joined)
            }
            sign => {
                let (left, right) = (arithmetic(left)?, arithmetic(right)?);
                Value::Number(match sign {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    "/" => left / right,
                    _ => left - (left / right).floor() * right,
                })
            }
        })
    }
}

fn arithmetic(value: &Value<'_>) -> Result<f64, Failure> {
    let kind = value.kind();
    let why = || Failure::new(format!("attempt to perform arithmetic on a {kind} value"));
    value.number().ok_or_else(why)
}

/// Numbers with numbers, text with text.
fn less(left: &Value<'_>, right: &Value<'_>, or_equal: bool) -> Result<bool, Failure> {
    use Value::{Integer, Number, Text};
    let order = match (left, right) {
        (Text(a), Text(b)) => Some(a.cmp(b)),
        (Integer(a), Integer(b)) => Some(a.cmp(b)),
        (Integer(_) | Number(_), Integer(_) | Number(_)) => {
            let (Some(a), Some(b)) = (left.number(), right.number()) else {
                return Ok(false);
            };
            a.partial_cmp(&b)
        }
        _ => {
            let (a, b) = (left.kind(), right.kind());
            return Err(Failure::new(format!(
                "attempt to compare a {a} with a {b} value"
            )));
        }
    };
    Ok(order.is_some_and(|o| o.is_lt() || (or_equal && o.is_eq())))
}
