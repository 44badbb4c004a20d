//! Forms and queries as members of an object.

use percent_encoding::percent_decode;
use serde_json::{Map, Value};

/// Names and values of a form; one without `=` is `true`, several of one name are a list.
pub(crate) fn members(text: &[u8]) -> Map<String, Value> {
    let mut members = Map::new();
    for pair in text.split(|b| *b == b'&').filter(|pair| !pair.is_empty()) {
        let at = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at_checked(at).unwrap_or((pair, b""));
        if name.is_empty() {
            continue;
        }
        let value = value
            .strip_prefix(b"=")
            .map_or(Value::Bool(true), |v| Value::String(unescaped(v)));
        add(&mut members, unescaped(name), value);
    }
    members
}

/// Adds a value under a name; with those before it, it is a list.
pub(crate) fn add(members: &mut Map<String, Value>, name: String, value: Value) {
    match members.get_mut(&name) {
        None => drop(members.insert(name, value)),
        Some(Value::Array(values)) => values.push(value),
        Some(first) => {
            let before = first.take();
            *first = Value::Array(vec![before, value]);
        }
    }
}

fn unescaped(text: &[u8]) -> String {
    let spaced: Vec<u8> = text
        .iter()
        .map(|b| if *b == b'+' { b' ' } else { *b })
        .collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
