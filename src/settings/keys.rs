//! The tree of keys, read from the JSON Schema of the settings: what may be written, overridden and documented follows from it.

use serde_json::Value;

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// Its own name, e.g. `http`.
    pub(super) name: String,
    /// The whole path, e.g. `listen.http`.
    pub(super) path: String,
    /// What the schema says of it.
    pub(super) schema: Value,
    /// What is below it.
    pub(super) inside: Inside,
}

/// What is below a key.
#[derive(Debug)]
pub(super) enum Inside {
    /// A value.
    Value,
    /// Keys.
    Section(Vec<Key>),
    /// A list whose items have these keys.
    Items(Vec<Key>),
}

impl Key {
    /// The keys below the root.
    pub(super) fn tree(schema: &Value) -> Vec<Key> {
        keys(schema, "")
    }

    /// The environment variable that overrides it.
    pub(super) fn variable(&self) -> String {
        format!(
            "CROSSWAY_{}",
            self.path.replace('.', "_").to_ascii_uppercase()
        )
    }

    /// Whether a change takes effect on SIGHUP. The other keys need a restart.
    pub(super) fn is_live(&self) -> bool {
        self.applies() == Some("live")
    }

    /// What its field says of the time when a change takes effect: `live` or `restart`.
    pub(super) fn applies(&self) -> Option<&str> {
        self.schema.get("x-applies").and_then(Value::as_str)
    }

    /// Whether its value, or a part of it, must not show up in logs.
    pub(super) fn is_secret(&self) -> bool {
        fn holds_secret(schema: &Value) -> bool {
            match schema {
                Value::Object(map) => {
                    map.get("writeOnly") == Some(&Value::Bool(true))
                        || map.values().any(holds_secret)
                }
                Value::Array(list) => list.iter().any(holds_secret),
                _ => false,
            }
        }
        holds_secret(&self.schema)
    }

    /// The JSON types that it takes.
    pub(super) fn types(&self) -> Vec<&str> {
        let mut types = Vec::new();
        collect_types(&self.schema, &mut types);
        types.retain(|kind| *kind != "null");
        types.sort_unstable_by_key(|kind| *kind == "array");
        types.dedup();
        types
    }
}

fn collect_types<'s>(schema: &'s Value, types: &mut Vec<&'s str>) {
    match schema.get("type") {
        Some(Value::String(one)) => types.push(one),
        Some(Value::Array(several)) => types.extend(several.iter().filter_map(Value::as_str)),
        _ => {}
    }
    for alternatives in ["oneOf", "anyOf"] {
        for alternative in list(schema, alternatives) {
            collect_types(alternative, types);
        }
    }
}

/// The list under this name; empty when there is none.
pub(super) fn list<'s>(schema: &'s Value, name: &str) -> &'s [Value] {
    schema
        .get(name)
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
}

fn keys(schema: &Value, above: &str) -> Vec<Key> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let key = |(name, schema): (&String, &Value)| {
        let path = if above.is_empty() {
            name.clone()
        } else {
            format!("{above}.{name}")
        };
        let items = schema
            .get("items")
            .filter(|items| items.get("properties").is_some());
        let inside = match items {
            _ if schema.get("properties").is_some() => Inside::Section(keys(schema, &path)),
            Some(items) => Inside::Items(keys(items, &format!("{path}[]"))),
            None => Inside::Value,
        };
        Key {
            name: name.clone(),
            path,
            schema: schema.clone(),
            inside,
        }
    };
    properties.into_iter().flatten().map(key).collect()
}

/// All keys that hold a value, sections resolved.
pub(super) fn leaves(keys: &[Key]) -> Vec<&Key> {
    let mut all = Vec::new();
    for key in keys {
        match &key.inside {
            Inside::Section(below) => all.extend(leaves(below)),
            Inside::Value | Inside::Items(_) => all.push(key),
        }
    }
    all
}

/// A key that does not fit the tree.
#[derive(Debug, PartialEq)]
pub(super) enum Misfit {
    /// There is no such key.
    Unknown { key: String, expected: Vec<String> },
    /// A section is no mapping.
    NoSection { key: String, expected: Vec<String> },
    /// What should be a list is none. Not left to the types' errors, which would quote a key that stands in the wrong place.
    NoList { key: String },
}

/// Judges the keys of a document, and takes those out that are `null`: a key with nothing behind it has its default.
pub(super) fn fit(document: &mut Value, keys: &[Key], above: &str) -> Result<(), Misfit> {
    let names = || keys.iter().map(|key| key.name.clone()).collect();
    let Value::Object(map) = document else {
        return Err(Misfit::NoSection {
            key: above.to_owned(),
            expected: names(),
        });
    };
    for name in map.keys() {
        if !keys.iter().any(|key| key.name == *name) {
            let key = if above.is_empty() {
                name.clone()
            } else {
                format!("{above}.{name}")
            };
            return Err(Misfit::Unknown {
                key,
                expected: names(),
            });
        }
    }
    map.retain(|_, value| !value.is_null());
    for key in keys {
        let Some(value) = map.get_mut(&key.name) else {
            continue;
        };
        match &key.inside {
            Inside::Value => {}
            Inside::Section(below) => fit(value, below, &key.path)?,
            Inside::Items(below) => {
                let Some(items) = value.as_array_mut() else {
                    return Err(Misfit::NoList {
                        key: key.path.clone(),
                    });
                };
                for (index, item) in items.iter_mut().enumerate() {
                    fit(item, below, &format!("{}[{index}]", key.path))?;
                }
            }
        }
    }
    Ok(())
}
