//! The part of JSONPath that names places in a document: `$.a.b[0]`, `['name']`, `[*]`, `.*`, and `..` for any depth.
//! Filters and slices are refused.

use serde_json::Value;

/// A compiled path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath(Box<[Step]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(Box<str>),
    Index(usize),
    Every,
    /// What follows may stand at any depth.
    Anywhere,
}

/// A path was refused.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot read the JSONPath `{path}` at `{at}`: expected `.name`, `[n]`, `['name']`, `[*]`, `.*` or `..name`; filters and slices are not supported"
)]
pub(crate) struct BadPath {
    path: String,
    at: String,
}

impl JsonPath {
    /// Reads a path; the `$` at its beginning may be left out.
    pub(crate) fn parse(path: &str) -> Result<Self, BadPath> {
        let rooted = path.strip_prefix('$');
        let mut rest = rooted.unwrap_or(path);
        let mut bare = rooted.is_none();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let Some(after) = read(rest, bare, &mut steps) else {
                return Err(BadPath {
                    path: path.to_owned(),
                    at: rest.to_owned(),
                });
            };
            rest = after;
            bare = false;
        }
        match steps.is_empty() {
            false => Ok(Self(steps.into())),
            true => Err(BadPath {
                path: path.to_owned(),
                at: path.to_owned(),
            }),
        }
    }

    /// The first value that the path leads to.
    pub(crate) fn first<'v>(&self, document: &'v Value) -> Option<&'v Value> {
        first(&self.0, document)
    }

    /// Calls `change` with each value that the path leads to; `None` takes the value out. Returns how many there were.
    pub(crate) fn change(
        &self,
        document: &mut Value,
        change: &mut dyn FnMut(&Value) -> Option<Value>,
    ) -> usize {
        walk(&self.0, document, change)
    }
}

fn read<'p>(rest: &'p str, bare: bool, steps: &mut Vec<Step>) -> Option<&'p str> {
    if let Some(inside) = rest.strip_prefix('[') {
        let quote = inside.chars().next().filter(|c| matches!(c, '\'' | '"'));
        if let Some(quote) = quote {
            let (name, after) = inside.strip_prefix(quote)?.split_once(quote)?;
            steps.push(Step::Name(name.into()));
            return after.strip_prefix(']');
        }
        let (inside, after) = inside.split_once(']')?;
        steps.push(match inside.trim() {
            "*" => Step::Every,
            digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
                Step::Index(digits.parse().ok()?)
            }
            _ => return None,
        });
        return Some(after);
    }
    let rest = match rest.strip_prefix("..") {
        Some(after) => {
            steps.push(Step::Anywhere);
            if after.starts_with('[') {
                return Some(after);
            }
            after
        }
        None if bare => rest,
        None => rest.strip_prefix('.')?,
    };
    let end = rest.find(['.', '[']).unwrap_or(rest.len());
    let (name, after) = rest.split_at_checked(end)?;
    steps.push(match name {
        "" => return None,
        "*" => Step::Every,
        name if name.contains(['?', '(', ')', '@', ' ', '\'', '"']) => return None,
        name => Step::Name(name.into()),
    });
    Some(after)
}

fn first<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    let Some((step, rest)) = steps.split_first() else {
        return Some(value);
    };
    let mut children: Box<dyn Iterator<Item = &'v Value> + 'v> = match value {
        Value::Array(items) => Box::new(items.iter()),
        Value::Object(members) => Box::new(members.values()),
        _ => return None,
    };
    match step {
        Step::Name(name) => first(rest, value.get(&**name)?),
        Step::Index(index) => first(rest, value.get(*index)?),
        Step::Every => children.find_map(|child| first(rest, child)),
        Step::Anywhere => first(rest, value).or_else(|| children.find_map(|c| first(steps, c))),
    }
}

fn walk(
    steps: &[Step],
    value: &mut Value,
    change: &mut dyn FnMut(&Value) -> Option<Value>,
) -> usize {
    let Some((step, rest)) = steps.split_first() else {
        return 0;
    };
    let mut count = 0;
    match step {
        Step::Anywhere => {
            for child in children(value) {
                count += walk(steps, child, change);
            }
            count + walk(rest, value, change)
        }
        _ if !rest.is_empty() => {
            for child in chosen(step, value) {
                count += walk(rest, child, change);
            }
            count
        }
        Step::Name(name) => {
            if let Value::Object(members) = value
                && let Some(held) = members.get_mut(&**name)
            {
                match change(held) {
                    Some(new) => *held = new,
                    None => drop(members.remove(&**name)),
                }
                return 1;
            }
            0
        }
        Step::Index(index) => {
            if let Value::Array(items) = value
                && let Some(held) = items.get_mut(*index)
            {
                match change(held) {
                    Some(new) => *held = new,
                    None => drop(items.remove(*index)),
                }
                return 1;
            }
            0
        }
        Step::Every => match value {
            Value::Object(members) => {
                let held = std::mem::take(members);
                count = held.len();
                *members = held
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, change(&value)?)))
                    .collect();
                count
            }
            Value::Array(items) => {
                count = items.len();
                *items = items.iter().filter_map(change).collect();
                count
            }
            _ => 0,
        },
    }
}

fn children(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Array(items) => items.iter_mut().collect(),
        Value::Object(members) => members.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn chosen<'v>(step: &Step, value: &'v mut Value) -> Vec<&'v mut Value> {
    match step {
        Step::Name(name) => match value {
            Value::Object(members) => members.get_mut(&**name).into_iter().collect(),
            _ => Vec::new(),
        },
        Step::Index(index) => match value {
            Value::Array(items) => items.get_mut(*index).into_iter().collect(),
            _ => Vec::new(),
        },
        Step::Every | Step::Anywhere => children(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn book() -> Value {
        json!({"a": 1, "users": [{"t": "x", "c": {"n": "1"}}, {"t": "y", "c": {"n": "2"}}], "c": {"n": "3"}, "odd key": 4})
    }

    fn replaced(path: &str) -> (usize, Value) {
        let mut document = book();
        let count = JsonPath::parse(path)
            .unwrap()
            .change(&mut document, &mut |_| Some(json!("*")));
        (count, document)
    }

    #[test]
    fn values_are_changed_where_the_path_leads() {
        let (count, after) = replaced("$.users[*].c.n");
        assert_eq!(count, 2);
        assert_eq!(after["users"][1]["c"]["n"], "*");
        assert_eq!(after["c"]["n"], "3");
        let (count, after) = replaced("$..n");
        assert_eq!((count, after["c"]["n"].as_str()), (3, Some("*")));
        assert_eq!(replaced("$.users[1]").1["users"][1], "*");
        assert_eq!(replaced("$['odd key']").1["odd key"], "*");
        assert_eq!(replaced("a").1["a"], "*");
        assert_eq!(replaced("$.users.*.t").0, 2);
        assert_eq!(replaced("$..[0]").0, 1);
        assert_eq!(replaced("$.*").0, 4);
        assert_eq!(replaced("$.none.n").0, 0);
        assert_eq!(replaced("$.a.b").0, 0);
    }

    #[test]
    fn values_are_taken_out() {
        let mut document = book();
        let path = JsonPath::parse("$..c").unwrap();
        assert_eq!(path.change(&mut document, &mut |_| None), 3);
        assert_eq!(
            document,
            json!({"a": 1, "users": [{"t": "x"}, {"t": "y"}], "odd key": 4})
        );
        let all = JsonPath::parse("$.users[*]").unwrap();
        all.change(&mut document, &mut |_| None);
        assert_eq!(document["users"], json!([]));
    }

    #[test]
    fn the_first_value_is_found() {
        let found = |path: &str| JsonPath::parse(path).unwrap().first(&book()).cloned();
        assert_eq!(found("users[1].t"), Some(json!("y")));
        assert_eq!(found("$.c.n"), Some(json!("3")));
        assert_eq!(found("$.c.x"), None);
        assert_eq!(found("$.a.x"), None);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for path in [
            "",
            "$",
            "a..",
            "a[",
            "a[x]",
            "a.",
            "a[-1]",
            "$[?(@.x)]",
            "a[1:2]",
            "a['b",
            "a b",
        ] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
