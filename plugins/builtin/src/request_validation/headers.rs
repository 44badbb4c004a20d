//! Headers as a document, and their schema.

use super::compiled;
use crossway_sdk::{build::BuildError, schema::Schema};
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// A schema, and the spellings by which it names headers beside their lower-case names.
pub(super) struct HeaderSchema {
    schema: Schema,
    spellings: Box<[(String, HeaderName)]>,
}

impl HeaderSchema {
    pub(super) fn new(document: Map<String, Value>, path: &str) -> Result<Self, BuildError> {
        let mut names = BTreeSet::new();
        collect(&document, &mut names);
        let spellings = names.into_iter().filter_map(|name| {
            // As in OpenResty, `Content_Type` is `content-type` too.
            let plain = name.to_ascii_lowercase().replace('_', "-");
            (plain != name).then_some(())?;
            Some((name, plain.parse().ok()?))
        });
        Ok(Self {
            spellings: spellings.collect(),
            schema: compiled(document, path)?,
        })
    }

    /// Judges headers.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), String> {
        let mut document = Map::new();
        for name in headers.keys() {
            document.insert(name.as_str().to_owned(), value(headers, name));
        }
        for (spelling, name) in &self.spellings {
            if headers.contains_key(name) {
                document.insert(spelling.clone(), value(headers, name));
            }
        }
        self.schema
            .check(&Value::Object(document))
            .map_err(|e| e.message)
    }
}

/// A header's value, or all of them.
fn value(headers: &HeaderMap, name: &HeaderName) -> Value {
    let mut values: Vec<Value> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
        .collect();
    match values.len() {
        1 => values.pop().unwrap_or_default(),
        _ => Value::Array(values),
    }
}

/// The names of properties of the document itself, also where parts of the schema apply to it under a condition.
fn collect(schema: &Map<String, Value>, names: &mut BTreeSet<String>) {
    let members = schema.get("properties").and_then(Value::as_object);
    names.extend(members.into_iter().flat_map(|m| m.keys().cloned()));
    let required = schema.get("required").and_then(Value::as_array);
    let required = required.into_iter().flatten().filter_map(Value::as_str);
    names.extend(required.map(str::to_owned));
    for key in ["allOf", "anyOf", "oneOf"] {
        let parts = schema.get(key).and_then(Value::as_array);
        for part in parts.into_iter().flatten().filter_map(Value::as_object) {
            collect(part, names);
        }
    }
    for key in ["not", "if", "then", "else"] {
        if let Some(part) = schema.get(key).and_then(Value::as_object) {
            collect(part, names);
        }
    }
}
