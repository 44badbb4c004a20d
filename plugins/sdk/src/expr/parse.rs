//! From the JSON of `vars` to a compiled expression.

use serde_json::Value as Json;

use super::{
    IpSet, Pattern, Variable,
    condition::{Choices, Condition, Literal, Order, Test},
    expression::Node,
};

/// How deep AND and OR may nest.
const MAX_DEPTH: usize = 32;

const OPERATORS: &str = "one of the operators ==, ~=, >, >=, <, <=, ~~, ~*, in, has, ipmatch";

/// Why an expression was refused: where, what was expected, what came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at {path}: expected {expected}, found {found}")]
pub struct ExpressionError {
    /// JSON path from the expression's own root `$`, for instance `$[0][2]`.
    pub path: String,
    /// What would have been right.
    pub expected: String,
    /// What was there instead.
    pub found: String,
}

/// A place in the expression; the path is written out only for an error.
#[derive(Clone, Copy)]
struct Place<'p> {
    outer: Option<&'p Place<'p>>,
    index: usize,
    depth: usize,
}

impl Place<'_> {
    fn at(&self, index: usize) -> Place<'_> {
        Place {
            outer: Some(self),
            index,
            depth: self.depth + 1,
        }
    }

    fn path(&self) -> String {
        match self.outer {
            None => "$".to_owned(),
            Some(outer) => format!("{}[{}]", outer.path(), self.index),
        }
    }

    fn error(&self, expected: impl Into<String>, found: impl Into<String>) -> ExpressionError {
        ExpressionError {
            path: self.path(),
            expected: expected.into(),
            found: found.into(),
        }
    }
}

pub(super) fn root(vars: &Json) -> Result<Node, ExpressionError> {
    let place = Place {
        outer: None,
        index: 0,
        depth: 0,
    };
    match vars {
        Json::Array(rules) if rules.is_empty() => Ok(Node::All(Box::default())),
        Json::Array(rules) => match rules.first() {
            Some(Json::String(word)) if logic(word).is_none() => Err(place.error(
                "a list of conditions, such as [[\"arg_name\", \"==\", \"value\"]]",
                "a condition that is not wrapped in a list",
            )),
            _ => list(rules, place),
        },
        other => Err(place.error("a list of conditions", shown(other))),
    }
}

fn list(rules: &[Json], place: Place<'_>) -> Result<Node, ExpressionError> {
    if place.depth > MAX_DEPTH {
        return Err(place.error(format!("at most {MAX_DEPTH} levels"), "more"));
    }
    match rules.split_first() {
        None => Err(place.error("a condition", "an empty list")),
        Some((Json::Array(_), _)) => each(rules, 0, place).map(Node::All),
        Some((Json::String(word), operands)) => match logic(word) {
            None => condition(rules, place).map(Node::Condition),
            Some(_) if operands.len() < 2 => Err(place.error(
                format!("at least two conditions after {word:?}"),
                operands.len().to_string(),
            )),
            Some(join) => Ok(join(each(operands, 1, place)?)),
        },
        Some((other, _)) => Err(place.at(0).error(
            "a variable, \"AND\", \"OR\", \"!AND\" or \"!OR\"",
            shown(other),
        )),
    }
}

fn each(rules: &[Json], from: usize, place: Place<'_>) -> Result<Box<[Node]>, ExpressionError> {
    let one = |(index, rule): (usize, &Json)| match rule {
        Json::Array(rules) => list(rules, place.at(from + index)),
        other => Err(place
            .at(from + index)
            .error("a condition (a list)", shown(other))),
    };
    rules.iter().enumerate().map(one).collect()
}

type Join = fn(Box<[Node]>) -> Node;

fn logic(word: &str) -> Option<Join> {
    Some(match word.to_ascii_uppercase().as_str() {
        "AND" => Node::All,
        "OR" => Node::Any,
        "!AND" => |nodes| Node::Not(Box::new(Node::All(nodes))),
        "!OR" => |nodes| Node::Not(Box::new(Node::Any(nodes))),
        _ => return None,
    })
}

fn condition(rule: &[Json], place: Place<'_>) -> Result<Condition, ExpressionError> {
    let left = |name: &Json| {
        let name = name.as_str().unwrap_or_default();
        Variable::parse(name)
            .map_err(|error| place.at(0).error("a known variable", error.to_string()))
    };
    match rule {
        // An operator that may stand without a right side: it compares with "absent".
        [name, Json::String(word)] if matches!(word.as_str(), "==" | "~=") => {
            let test = test(word, &Json::Null, place.at(1), place.at(1))?;
            Ok(Condition {
                variable: left(name)?,
                negated: false,
                test,
            })
        }
        [_, Json::String(word)] if is_operator(word) => {
            Err(place.error(format!("a value after the operator {word:?}"), "none"))
        }
        [name, right] => {
            let test = test("==", right, place.at(1), place.at(1))?;
            Ok(Condition {
                variable: left(name)?,
                negated: false,
                test,
            })
        }
        [name, Json::String(word), right] => {
            let test = test(word, right, place.at(1), place.at(2))?;
            Ok(Condition {
                variable: left(name)?,
                negated: false,
                test,
            })
        }
        [name, Json::String(not), Json::String(word), right] if not == "!" => {
            let test = test(word, right, place.at(2), place.at(3))?;
            Ok(Condition {
                variable: left(name)?,
                negated: true,
                test,
            })
        }
        [_, not, _, _] => Err(place.at(1).error("\"!\" before the operator", shown(not))),
        [_, other, _] => Err(place.at(1).error(OPERATORS, shown(other))),
        _ => Err(place.error("two, three or four elements", rule.len().to_string())),
    }
}

fn is_operator(word: &str) -> bool {
    matches!(
        word.to_ascii_lowercase().as_str(),
        "==" | "~=" | ">" | ">=" | "<" | "<=" | "~~" | "~*" | "in" | "has" | "ipmatch"
    )
}

fn test(
    operator: &str,
    right: &Json,
    operator_place: Place<'_>,
    place: Place<'_>,
) -> Result<Test, ExpressionError> {
    let single = || {
        literal(right)
            .ok_or_else(|| place.error("a string, a number, true, false or null", shown(right)))
    };
    let compare = |order| match right_number(right) {
        Some(number) => Ok(Test::Compare(order, number)),
        None => Err(place.error(format!("a number after {operator:?}"), shown(right))),
    };
    match operator.to_ascii_lowercase().as_str() {
        "==" => single().map(Test::Equal),
        "~=" => single().map(Test::NotEqual),
        "<" => compare(Order::Less),
        "<=" => compare(Order::LessOrEqual),
        ">" => compare(Order::Greater),
        ">=" => compare(Order::GreaterOrEqual),
        "~~" => search(right, false, place),
        "~*" => search(right, true, place),
        "in" => choices(right, place).map(Test::In),
        "has" => single().map(Test::Has),
        "ipmatch" => networks(right, place).map(Test::Within),
        _ => Err(operator_place.error(OPERATORS, format!("the unknown operator {operator:?}"))),
    }
}

fn literal(json: &Json) -> Option<Literal> {
    Some(match json {
        Json::Null => Literal::Absent,
        Json::Bool(truth) => Literal::Boolean(*truth),
        Json::Number(number) => Literal::Number(number.as_f64()?),
        Json::String(text) => Literal::Text(text.as_bytes().into()),
        Json::Array(_) | Json::Object(_) => return None,
    })
}

fn right_number(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => super::number::parse(text.as_bytes()),
        _ => None,
    }
}

fn search(right: &Json, ignore_case: bool, place: Place<'_>) -> Result<Test, ExpressionError> {
    let number;
    let pattern = match right {
        Json::String(pattern) => pattern,
        // Lua turns a number into its text where a string is wanted.
        Json::Number(_) => {
            number = right.to_string();
            &number
        }
        other => return Err(place.error("a regular expression", shown(other))),
    };
    Pattern::new(pattern, ignore_case)
        .map(Test::Search)
        .map_err(|error| place.error("a regular expression", error.to_string()))
}

fn choices(right: &Json, place: Place<'_>) -> Result<Choices, ExpressionError> {
    let Json::Array(items) = right else {
        return Err(place.error("a list after \"in\"", shown(right)));
    };
    let (mut texts, mut numbers, mut booleans) = (Vec::new(), Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        match literal(item) {
            Some(Literal::Text(text)) => texts.push(text),
            Some(Literal::Number(number)) => numbers.push(number),
            Some(Literal::Boolean(truth)) => booleans.push(truth),
            Some(Literal::Absent) | None => {
                let found = shown(item);
                return Err(place
                    .at(index)
                    .error("a string, a number, true or false", found));
            }
        }
    }
    texts.sort_unstable();
    Ok(Choices {
        texts: texts.into(),
        numbers: numbers.into(),
        booleans: booleans.into(),
    })
}

fn networks(right: &Json, place: Place<'_>) -> Result<IpSet, ExpressionError> {
    let items = match right {
        Json::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut texts = Vec::with_capacity(items.len());
    for item in items {
        match item {
            Json::String(text) => texts.push(text.as_str()),
            other => return Err(place.error("IP addresses and networks", shown(other))),
        }
    }
    IpSet::parse(texts).map_err(|error| place.error("IP addresses and networks", error.to_string()))
}

/// What came, short enough for a message.
fn shown(json: &Json) -> String {
    const SHOWN: usize = 80;
    match json {
        Json::Array(items) => format!("a list of {}", items.len()),
        Json::Object(_) => "an object".to_owned(),
        scalar => {
            let text = scalar.to_string();
            match text
                .char_indices()
                .nth(SHOWN)
                .and_then(|(end, _)| text.split_at_checked(end))
            {
                Some((start, _)) => format!("{start}…"),
                None => text,
            }
        }
    }
}
