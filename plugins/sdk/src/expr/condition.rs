//! One condition: a variable, an operator, and what stands on its right.

use std::fmt;

use super::{IpSet, Lookup, Pattern, Value, Variable, Verdict, network};

/// What a value is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// JSON `null`: the variable is absent.
    Absent,
    Boolean(bool),
    Number(f64),
    Text(Box<[u8]>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The right side of `in`: sorted, so that a long list costs a binary search.
#[derive(Clone, Debug, Default)]
pub(super) struct Choices {
    pub(super) texts: Box<[Box<[u8]>]>,
    pub(super) numbers: Box<[f64]>,
    pub(super) booleans: Box<[bool]>,
}

#[derive(Clone, Debug)]
pub(super) enum Test {
    Equal(Literal),
    NotEqual(Literal),
    Compare(Order, f64),
    Search(Pattern),
    In(Choices),
    Has(Literal),
    Within(IpSet),
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    pub(super) variable: Variable,
    pub(super) negated: bool,
    pub(super) test: Test,
}

impl Condition {
    pub(super) fn decide(&self, from: &dyn Lookup, body_read: bool) -> Verdict {
        if !body_read && self.variable.needs_body() {
            return Verdict::NeedsBody;
        }
        match self.test.holds(from.lookup(&self.variable).as_ref()) {
            Some(holds) if holds != self.negated => Verdict::Yes,
            Some(_) => Verdict::No,
            None => Verdict::Undecided,
        }
    }
}

impl Test {
    /// Whether the value passes; `None` when a pattern gave up.
    fn holds(&self, value: Option<&Value<'_>>) -> Option<bool> {
        Some(match self {
            Self::Equal(literal) => loosely_equal(value, literal),
            Self::NotEqual(literal) => !loosely_equal(value, literal),
            Self::Compare(order, right) => {
                value
                    .and_then(Value::number)
                    .is_some_and(|left| match order {
                        Order::Less => left < *right,
                        Order::LessOrEqual => left <= *right,
                        Order::Greater => left > *right,
                        Order::GreaterOrEqual => left >= *right,
                    })
            }
            Self::Search(pattern) => match value {
                Some(value) => value
                    .with_text(|text| pattern.search(text))
                    .unwrap_or(Some(false))?,
                None => false,
            },
            Self::In(choices) => value.is_some_and(|value| choices.hold(value)),
            Self::Has(literal) => match value {
                Some(Value::List(items)) => items.iter().any(|item| equal(Some(item), literal)),
                _ => false,
            },
            Self::Within(networks) => value
                .and_then(address)
                .is_some_and(|address| networks.contains(address)),
        })
    }
}

/// Equality for `==` and `~=`: with a number on the right, the left is read as a number first.
fn loosely_equal(value: Option<&Value<'_>>, literal: &Literal) -> bool {
    match literal {
        Literal::Number(right) => value.and_then(Value::number) == Some(*right),
        _ => equal(value, literal),
    }
}

/// Strict equality: kinds must agree.
fn equal(value: Option<&Value<'_>>, literal: &Literal) -> bool {
    match (value, literal) {
        (None, Literal::Absent) => true,
        (Some(Value::Boolean(left)), Literal::Boolean(right)) => left == right,
        (Some(Value::Number(left)), Literal::Number(right)) => left == right,
        (Some(Value::Bytes(left)), Literal::Text(right)) => **left == **right,
        (Some(Value::Integer(left)), Literal::Text(right)) => {
            itoa::Buffer::new().format(*left).as_bytes() == &**right
        }
        _ => false,
    }
}

fn address(value: &Value<'_>) -> Option<std::net::IpAddr> {
    match value {
        Value::Bytes(text) => network::parse_address(std::str::from_utf8(text).ok()?),
        _ => None,
    }
}

impl Choices {
    fn hold(&self, value: &Value<'_>) -> bool {
        let has_text = |text: &[u8]| self.texts.binary_search_by(|one| (**one).cmp(text)).is_ok();
        match value {
            Value::Bytes(text) => has_text(text),
            Value::Integer(number) => has_text(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Number(number) => self.numbers.contains(number),
            Value::Boolean(truth) => self.booleans.contains(truth),
            Value::List(_) => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            negated,
            test,
        } = self;
        write!(f, "{variable} {}", if *negated { "! " } else { "" })?;
        match test {
            Test::Equal(right) => write!(f, "== {right}"),
            Test::NotEqual(right) => write!(f, "~= {right}"),
            Test::Compare(order, right) => write!(f, "{order} {right}"),
            Test::Search(pattern) => {
                let operator = if pattern.ignores_case() { "~*" } else { "~~" };
                write!(f, "{operator} {:?}", pattern.as_str())
            }
            Test::In(choices) => write!(f, "in {choices}"),
            Test::Has(right) => write!(f, "has {right}"),
            Test::Within(networks) => write!(f, "ipmatch [{networks}]"),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("null"),
            Self::Boolean(truth) => write!(f, "{truth}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        })
    }
}

impl fmt::Display for Choices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        list.entries(self.texts.iter().map(|text| String::from_utf8_lossy(text)));
        list.entries(&self.numbers).entries(&self.booleans).finish()
    }
}
