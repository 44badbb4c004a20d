//! `${{NAME}}` and `${{NAME:=default}}` in the strings of a document. After parsing, so that no
//! value can change the structure of the file.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

/// The values of variables.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that is neither set nor has a default.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unset(pub(super) String);

/// Replaces variables in all strings and keys. As in APISIX, a string that becomes a number or
/// boolean by it is one from then on: `port: ${{PORT}}`. Only a number that prints as it was
/// written, so `007` and long digits stay strings.
pub(super) fn substitute(value: &mut Value, environment: Environment<'_>) -> Result<(), Unset> {
    match value {
        Value::String(text) => {
            if let Cow::Owned(new) = replaced(text, environment)? {
                *value = typed(new);
            }
        }
        Value::Array(list) => {
            for value in list {
                substitute(value, environment)?;
            }
        }
        Value::Object(map) => {
            for value in map.values_mut() {
                substitute(value, environment)?;
            }
            if map.keys().any(|key| key.contains("${{")) {
                let mut renamed = Map::new();
                for (key, value) in std::mem::take(map) {
                    renamed.insert(replaced(&key, environment)?.into_owned(), value);
                }
                *map = renamed;
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

fn typed(text: String) -> Value {
    match text.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        number => match number.parse::<Number>() {
            Ok(parsed) if parsed.to_string() == number => Value::Number(parsed),
            _ => Value::String(text),
        },
    }
}

fn replaced<'a>(text: &'a str, environment: Environment<'_>) -> Result<Cow<'a, str>, Unset> {
    let mut new = String::new();
    let mut rest = text;
    let mut found = false;
    while let Some((before, after)) = rest.split_once("${{") {
        let Some((inner, behind)) = after.split_once("}}") else {
            break;
        };
        new.push_str(before);
        match reference(inner) {
            Some((name, default)) => {
                let value = environment(name).or_else(|| default.map(str::to_owned));
                new.push_str(&value.ok_or_else(|| Unset(name.to_owned()))?);
                found = true;
                rest = behind;
            }
            None => {
                new.push_str("${{");
                rest = after;
            }
        }
    }
    if !found {
        return Ok(Cow::Borrowed(text));
    }
    new.push_str(rest);
    Ok(Cow::Owned(new))
}

/// The name and the default; `None` for what only looks like a reference.
fn reference(inner: &str) -> Option<(&str, Option<&str>)> {
    let (name, default) = match inner.split_once(":=") {
        Some((name, default)) => (name.trim(), Some(default.trim())),
        None => (inner.trim(), None),
    };
    let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    named.then_some((name, default))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn set(name: &str) -> Option<String> {
        let value = match name {
            "PORT" => "8080",
            "HOST" => "a.example",
            "ON" => "true",
            "PIN" => "007",
            "EMPTY" => "",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn variables_are_replaced_and_whole_numbers_and_booleans_get_their_type() {
        let mut value = json!({
            "port": "${{PORT}}",
            "on": "${{ ON }}",
            "pin": "${{PIN}}",
            "node": "http://${{HOST}}:${{PORT}}/${{NONE:=x y }}",
            "empty": "${{EMPTY:=default}}",
            "nodes": { "${{HOST}}:${{PORT}}": 1 },
            "written": "8080",
            "nginx": "${host} $host ${{not a name}} ${{PORT",
        });
        substitute(&mut value, &set).unwrap();
        let expected = json!({
            "port": 8080,
            "on": true,
            "pin": "007",
            "node": "http://a.example:8080/x y",
            "empty": "",
            "nodes": { "a.example:8080": 1 },
            "written": "8080",
            "nginx": "${host} $host ${{not a name}} ${{PORT",
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_variable_without_value_and_default_is_named() {
        let mut value = json!(["${{NONE}}"]);
        assert_eq!(substitute(&mut value, &set), Err(Unset("NONE".to_owned())));
    }
}
