//! The small part of JSONPath that `post_arg.…` variables use: `a.b[0].c[*]`.

use std::{borrow::Cow, fmt};

use serde_json::Value as Json;

use super::Value;

/// A path into a request body: names, `[n]` (from 0), `['name']`, and `[*]` or `.*` for every element.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonPath {
    text: Box<str>,
    steps: Box<[Step]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Step {
    Name(Box<str>),
    Index(usize),
    Every,
}

/// Which values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occurrence {
    /// As it comes.
    Any,
    /// That one, from 0.
    Nth(usize),
    /// All of them.
    Each,
}

/// Why a path was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "cannot read the path `{path}` at `{at}`: expected a name, `[n]`, `['name']`, `[*]` or `.*`"
)]
pub struct BadPath {
    path: String,
    at: String,
}

impl JsonPath {
    /// Reads what follows `post_arg.`.
    pub fn parse(text: &str) -> Result<Self, BadPath> {
        let mut steps = Vec::new();
        let mut rest = text;
        while !rest.is_empty() || steps.is_empty() {
            let Some((step, after)) = step(rest, steps.is_empty()) else {
                return Err(BadPath {
                    path: text.into(),
                    at: rest.into(),
                });
            };
            steps.push(step);
            rest = after;
        }
        Ok(Self {
            text: text.into(),
            steps: steps.into(),
        })
    }

    /// The path as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The field of a form that the path asks for: a form has names and values and nothing deeper.
    pub(crate) fn as_field(&self) -> Option<(&str, Occurrence)> {
        match &*self.steps {
            [Step::Name(name)] => Some((name, Occurrence::Any)),
            [Step::Name(name), Step::Index(index)] => Some((name, Occurrence::Nth(*index))),
            [Step::Name(name), Step::Every] => Some((name, Occurrence::Each)),
            _ => None,
        }
    }

    /// What the path finds in a JSON body: nothing, one value, or a list of several. An object has no value that a
    /// condition could compare, and `null` counts as absent.
    pub fn find<'a>(&self, body: &'a Json) -> Option<Value<'a>> {
        let mut found = Vec::new();
        collect(body, &self.steps, &mut found);
        match found.len() {
            0 => None,
            1 => found.pop(),
            _ => Some(Value::List(found)),
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn step(rest: &str, first: bool) -> Option<(Step, &str)> {
    if let Some(inside) = rest.strip_prefix('[') {
        let (inside, after) = inside.split_once(']')?;
        let quoted = |quote: char| inside.strip_prefix(quote)?.strip_suffix(quote);
        let step = if inside == "*" {
            Step::Every
        } else if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
            Step::Name(name.into())
        } else {
            Step::Index(inside.parse().ok()?)
        };
        return Some((step, after));
    }
    let rest = if first { rest } else { rest.strip_prefix('.')? };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    match name {
        "" => None,
        "*" => Some((Step::Every, after)),
        name => Some((Step::Name(name.into()), after)),
    }
}

fn collect<'a>(json: &'a Json, steps: &[Step], found: &mut Vec<Value<'a>>) {
    let Some((step, rest)) = steps.split_first() else {
        found.extend(value(json));
        return;
    };
    match (step, json) {
        (Step::Name(name), Json::Object(fields)) => {
            if let Some(inner) = fields.get(&**name) {
                collect(inner, rest, found);
            }
        }
        (Step::Index(index), Json::Array(items)) => {
            if let Some(inner) = items.get(*index) {
                collect(inner, rest, found);
            }
        }
        (Step::Every, Json::Array(items)) => {
            items.iter().for_each(|inner| collect(inner, rest, found));
        }
        (Step::Every, Json::Object(fields)) => {
            fields
                .values()
                .for_each(|inner| collect(inner, rest, found));
        }
        _ => {}
    }
}

fn value(json: &Json) -> Option<Value<'_>> {
    match json {
        Json::Null | Json::Object(_) => None,
        Json::Bool(truth) => Some(Value::Boolean(*truth)),
        Json::Number(number) => number.as_f64().map(Value::Number),
        Json::String(text) => Some(Value::Bytes(Cow::Borrowed(text.as_bytes()))),
        Json::Array(items) => Some(Value::List(items.iter().filter_map(value).collect())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::{JsonPath, Value};

    #[test]
    fn finds_names_indexes_and_every_element() {
        let body = json!({"model": "small", "n": 3, "on": true, "none": null, "tags": ["a", "b"],
            "messages": [{"content": [{"type": "text"}, {"type": "image"}]}, {"content": []}],
            "a key": {"b": 1}});
        let find = |path: &str| JsonPath::parse(path).unwrap().find(&body);
        assert_eq!(find("model"), Some(Value::text("small")));
        assert_eq!(find("n"), Some(Value::Number(3.0)));
        assert_eq!(find("on"), Some(Value::Boolean(true)));
        assert_eq!(find("none"), None);
        assert_eq!(find("absent.deeper"), None);
        let both = Some(Value::List(vec![Value::text("a"), Value::text("b")]));
        assert_eq!(find("tags"), both);
        assert_eq!(find("tags[*]"), both);
        assert_eq!(find("tags[1]"), Some(Value::text("b")));
        assert_eq!(find("tags[2]"), None);
        assert_eq!(
            find("messages[*].content[*].type"),
            Some(Value::List(vec![Value::text("text"), Value::text("image")]))
        );
        assert_eq!(find("['a key'].b"), Some(Value::Number(1.0)));
        assert_eq!(
            find("messages.*.content[0].type"),
            Some(Value::text("text"))
        );
    }

    #[test]
    fn refuses_what_it_cannot_read() {
        for path in ["", "a..b", "a[", "a[x]", "a.", "a[-1]", "a[0]b"] {
            let error = JsonPath::parse(path).unwrap_err().to_string();
            assert!(error.contains(path), "{error}");
        }
    }
}
