//! From the text of a declarative file to keys and documents; pure. The table of sections is the
//! only thing here that knows APISIX, and it knows no more than where an item's id is.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::environment::{Environment, Unset, substitute};
use super::outline::{Body, Section};
use super::{json, yaml};
use crate::store::{Key, Position};

/// The top-level keys that hold documents; `plugins`, the list of enabled plugins, is the single
/// document `plugins`.
pub const SECTIONS: [&str; 12] = [
    "routes",
    "services",
    "upstreams",
    "consumers",
    "consumer_groups",
    "plugin_configs",
    "global_rules",
    "ssls",
    "plugin_metadata",
    "protos",
    "stream_routes",
    "secrets",
];
const PLUGINS: &str = "plugins";

/// How a declarative file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Up to a line `#END`, if there is one.
    Yaml,
    /// Without an end mark.
    Json,
}

impl Format {
    /// JSON for `.json`, else YAML.
    pub fn of(path: &Path) -> Self {
        match path.extension() {
            Some(extension) if extension.eq_ignore_ascii_case("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// A document in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `routes/1`.
    pub key: Key,
    /// With variables replaced and, but for consumers and plugin metadata, with its `id` as the
    /// string it has in the key.
    pub value: Value,
    /// Where it begins.
    pub at: Option<Position>,
}

/// What is wrong with a file.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum FileError {
    /// Not YAML, not JSON, or too much of it.
    #[error("{why}")]
    Syntax {
        /// Where it was noticed.
        at: Option<Position>,
        /// The parser's words.
        why: String,
    },
    /// A top-level key that means nothing. What begins with `x-` is free for anchors.
    #[error("unknown section {name:?}; sections are {}, plugins", SECTIONS.join(", "))]
    Section {
        /// Where it is.
        at: Option<Position>,
        /// As written.
        name: String,
    },
    /// A section or item that is not what it must be.
    #[error("{what}: {why}")]
    Item {
        /// Where it begins.
        at: Option<Position>,
        /// `routes[0]`
        what: String,
        /// What was expected.
        why: String,
    },
    /// Two items with one key.
    #[error("{key} is there twice, first at {}", place(*first))]
    Duplicate {
        /// What both are.
        key: Key,
        /// The first one.
        first: Option<Position>,
        /// The second one.
        at: Option<Position>,
    },
    /// `${{NAME}}` without a value.
    #[error("{what}: the environment variable {name} is not set and has no default")]
    Variable {
        /// Where the item begins.
        at: Option<Position>,
        /// `routes[0]`
        what: String,
        /// The variable.
        name: String,
    },
}

fn place(at: Option<Position>) -> String {
    at.map_or_else(|| "an unknown place".to_owned(), |at| at.to_string())
}

impl FileError {
    /// Where to look.
    pub fn at(&self) -> Option<Position> {
        match self {
            Self::Syntax { at, .. }
            | Self::Section { at, .. }
            | Self::Item { at, .. }
            | Self::Duplicate { at, .. }
            | Self::Variable { at, .. } => *at,
        }
    }
}

/// What comes before the line `#END`, and whether there is one.
pub(super) fn text_before_end(text: &str, format: Format) -> (&str, bool) {
    if format == Format::Json {
        return (text, false);
    }
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "#END" {
            return (text.get(..offset).unwrap_or(text), true);
        }
        offset += line.len();
    }
    (text, false)
}

/// Reads a declarative file. Ids are strings or integers; a consumer is known by its `username`,
/// plugin metadata by the plugin's name in `id`, a credential (listed in `consumers`) by
/// `user/credentials/id`, a secret by `manager/id`. Another item without an id gets its position,
/// from 1, as APISIX names it: `routes/arr_1`. `<section>_conf_version` and sections whose name
/// begins with `x-` are skipped.
///
/// # Errors
/// The first [`FileError`] in the order of the text.
pub fn parse(
    text: &str,
    format: Format,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Item>, FileError> {
    let (text, _) = text_before_end(text, format);
    let sections = match format {
        Format::Yaml => yaml::outline(text)?,
        Format::Json => json::outline(text)?,
    };
    let mut items: Vec<Item> = Vec::new();
    let mut places: HashMap<Key, Option<Position>> = HashMap::new();
    for section in sections {
        for item in documents(section, environment)? {
            if let Some(first) = places.insert(item.key.clone(), item.at) {
                return Err(FileError::Duplicate {
                    key: item.key,
                    first,
                    at: item.at,
                });
            }
            items.push(item);
        }
    }
    Ok(items)
}

fn documents(section: Section, environment: Environment<'_>) -> Result<Vec<Item>, FileError> {
    let Section { name, at, body } = section;
    let version_of = name.strip_suffix("_conf_version");
    if name.starts_with("x-") || version_of.is_some_and(|of| SECTIONS.contains(&of)) {
        return Ok(Vec::new());
    }
    if name != PLUGINS && !SECTIONS.contains(&name.as_str()) {
        return Err(FileError::Section { at, name });
    }
    let items = match body {
        Body::Items(items) => items,
        Body::Empty => return Ok(Vec::new()),
        Body::Other => {
            return Err(FileError::Item {
                at,
                what: name,
                why: "expected a list".to_owned(),
            });
        }
    };
    if name == PLUGINS {
        let mut value = Value::Array(items.into_iter().map(|(_, value)| value).collect());
        resolve(&mut value, environment, at, &name)?;
        let key = Key::new(PLUGINS).map_err(|error| unusable(at, &name, &error))?;
        return Ok(vec![Item { key, value, at }]);
    }
    let mut documents = Vec::with_capacity(items.len());
    for (index, (at, mut value)) in items.into_iter().enumerate() {
        let what = format!("{name}[{index}]");
        resolve(&mut value, environment, at, &what)?;
        let key = identify(&name, index, &mut value)
            .and_then(|path| Key::new(&path).map_err(|error| error.to_string()))
            .map_err(|why| FileError::Item { at, what, why })?;
        documents.push(Item { key, value, at });
    }
    Ok(documents)
}

fn resolve(
    value: &mut Value,
    environment: Environment<'_>,
    at: Option<Position>,
    what: &str,
) -> Result<(), FileError> {
    substitute(value, environment).map_err(|Unset(name)| FileError::Variable {
        at,
        what: what.to_owned(),
        name,
    })
}

fn unusable(at: Option<Position>, what: &str, why: &dyn std::fmt::Display) -> FileError {
    FileError::Item {
        at,
        what: what.to_owned(),
        why: why.to_string(),
    }
}

/// The key of an item. Leaves its `id` in the form in which the Admin API would store it.
fn identify(section: &str, index: usize, value: &mut Value) -> Result<String, String> {
    let Value::Object(fields) = value else {
        return Err("expected a mapping".to_owned());
    };
    let id = match fields.get("id") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) if id.is_u64() => Some(id.to_string()),
        Some(_) => return Err("its id must be a string or an integer from 0".to_owned()),
    };
    let segments: Vec<&str> = id.iter().flat_map(|id| id.split('/')).collect();
    let (key, id) = match (section, segments.as_slice()) {
        ("consumers", [user, "credentials", id]) => (
            format!("consumers/{user}/credentials/{id}"),
            Some((*id).to_owned()),
        ),
        ("consumers", _) => match fields.get("username") {
            Some(Value::String(name)) if name.contains('/') => return Err(slash(name)),
            Some(Value::String(name)) => return Ok(format!("consumers/{name}")),
            _ => {
                return Err(
                    "expected a username, or the id of a credential in the form \
                            <username>/credentials/<id>"
                        .to_owned(),
                );
            }
        },
        ("secrets", [manager, id]) => (format!("secrets/{manager}/{id}"), Some((*id).to_owned())),
        ("secrets", _) => return Err("expected an id in the form <manager>/<id>".to_owned()),
        ("plugin_metadata", [plugin]) => (format!("plugin_metadata/{plugin}"), None),
        ("plugin_metadata", []) => return Err("expected the plugin's name as id".to_owned()),
        (_, []) => {
            let id = format!("arr_{}", index + 1);
            (format!("{section}/{id}"), Some(id))
        }
        (_, [id]) => (format!("{section}/{id}"), Some((*id).to_owned())),
        (_, segments) => return Err(slash(&segments.join("/"))),
    };
    match id {
        Some(id) => fields.insert("id".to_owned(), Value::String(id)),
        None => fields.remove("id"),
    };
    Ok(key)
}

fn slash(id: &str) -> String {
    format!("the id {id:?} must not contain a slash")
}
