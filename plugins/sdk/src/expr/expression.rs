//! A compiled `vars` expression.

use std::fmt;

use serde_json::Value as Json;

use super::{ExpressionError, Lookup, Value, condition::Condition, parse};

/// A compiled `vars` expression: conditions joined by AND, OR and their negations.
///
/// It behaves as APISIX's does, with these differences, all on the side of saying what is wrong when the expression is
/// written: an unknown variable, a right side that the operator can never be true for (`>` with a word, `in` without a
/// list) and surplus elements are refused; the short form `[variable, value]` compares with the value as it was
/// written, where APISIX lower-cases it first; and a condition whose regular expression gives up (see
/// [`Pattern`](super::Pattern)) is met neither as it stands nor negated, so that nobody passes by exhausting it.
#[derive(Clone, Debug)]
pub struct Expression {
    root: Node,
}

/// What an expression says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request meets it.
    Yes,
    /// The request does not meet it.
    No,
    /// The answer depends on the body, which has not been read.
    NeedsBody,
    /// The answer depends on a search that gave up; to be treated as `No`.
    Undecided,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Box<[Node]>),
    Any(Box<[Node]>),
    Not(Box<Node>),
    Condition(Condition),
}

impl Expression {
    /// Compiles an expression. The empty list is always true.
    pub fn parse(vars: &Json) -> Result<Self, ExpressionError> {
        parse::root(vars).map(|root| Self { root })
    }

    /// Whether the request meets the expression, its body having been read if [`needs_body`](Self::needs_body).
    pub fn matches(&self, from: &dyn Lookup) -> bool {
        self.decide(from, true) == Verdict::Yes
    }

    /// What the expression says. With `body_read` false no variable of the body is asked for; [`Verdict::NeedsBody`]
    /// is then the answer only where the other conditions do not settle it.
    pub fn decide(&self, from: &dyn Lookup, body_read: bool) -> Verdict {
        self.root.decide(from, body_read)
    }

    /// Whether some condition looks into the request body.
    pub fn needs_body(&self) -> bool {
        self.root
            .any_condition(&|condition| condition.variable.needs_body())
    }

    /// Why the request does not meet the expression, in words; `None` when it does.
    pub fn explain(&self, from: &dyn Lookup) -> Option<String> {
        let failing = self.root.failing(from, Verdict::Yes)?;
        let Node::Condition(condition) = failing else {
            return Some(format!("none of the alternatives holds: {failing}"));
        };
        let found = match from.lookup(&condition.variable) {
            None => "it is absent".to_owned(),
            Some(value) => format!("it is {}", shown(&value)),
        };
        Some(format!("`{condition}` does not hold: {found}"))
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl Node {
    fn decide(&self, from: &dyn Lookup, body_read: bool) -> Verdict {
        match self {
            Self::Condition(condition) => condition.decide(from, body_read),
            Self::Not(inner) => match inner.decide(from, body_read) {
                Verdict::Yes => Verdict::No,
                Verdict::No => Verdict::Yes,
                open => open,
            },
            Self::All(nodes) => joined(nodes, from, body_read, Verdict::No, Verdict::Yes),
            Self::Any(nodes) => joined(nodes, from, body_read, Verdict::Yes, Verdict::No),
        }
    }

    fn any_condition(&self, test: &dyn Fn(&Condition) -> bool) -> bool {
        match self {
            Self::Condition(condition) => test(condition),
            Self::Not(inner) => inner.any_condition(test),
            Self::All(nodes) | Self::Any(nodes) => {
                nodes.iter().any(|node| node.any_condition(test))
            }
        }
    }

    /// The part that keeps this node from being `wanted`.
    fn failing(&self, from: &dyn Lookup, wanted: Verdict) -> Option<&Self> {
        if self.decide(from, true) == wanted {
            return None;
        }
        match self {
            Self::All(nodes) if wanted == Verdict::Yes => nodes
                .iter()
                .find_map(|node| node.failing(from, wanted))
                .or(Some(self)),
            _ => Some(self),
        }
    }
}

/// The first `settling` verdict wins; otherwise an open one; otherwise `otherwise`.
fn joined(
    nodes: &[Node],
    from: &dyn Lookup,
    body_read: bool,
    settling: Verdict,
    otherwise: Verdict,
) -> Verdict {
    let mut answer = otherwise;
    for node in nodes {
        let verdict = node.decide(from, body_read);
        if verdict == settling {
            return settling;
        }
        // With the body read, a search that gave up may turn out not to matter: ask for the body first.
        if verdict == Verdict::NeedsBody || (verdict == Verdict::Undecided && answer == otherwise) {
            answer = verdict;
        }
    }
    answer
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, nodes: &[Node], word: &str| {
            f.write_str("(")?;
            for (index, node) in nodes.iter().enumerate() {
                write!(f, "{}{node}", if index > 0 { word } else { "" })?;
            }
            f.write_str(")")
        };
        match self {
            Self::Condition(condition) => condition.fmt(f),
            Self::Not(inner) => write!(f, "not {inner}"),
            Self::All(nodes) => list(f, nodes, " and "),
            Self::Any(nodes) => list(f, nodes, " or "),
        }
    }
}

/// A value as an operator reads it; long ones are cut, for they come from the client.
fn shown(value: &Value<'_>) -> String {
    const SHOWN: usize = 200;
    let mut text = Vec::new();
    value.write_to(&mut text);
    let cut = text.len() > SHOWN;
    text.truncate(SHOWN);
    format!(
        "{:?}{}",
        String::from_utf8_lossy(&text),
        if cut { "…" } else { "" }
    )
}
