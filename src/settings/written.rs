//! Settings together with the document that they were read from: what a later reading of the same file changes, and what of it
//! can take effect in a process that runs.

use super::{
    Settings, SettingsError, check, environment,
    keys::{self, Key, Misfit, leaves},
    places, yaml,
};
use serde_json::{Map, Value};
use std::path::Path;

/// Settings, and what was written.
#[derive(Clone, Debug)]
pub struct Written {
    settings: Settings,
    /// The file with the environment over it. Keys that are not written are not there.
    document: Value,
}

/// What becomes of settings when they are read again.
#[derive(Debug)]
pub struct Renewal {
    /// What holds from now on: the live keys as they are written now, the others as they were.
    pub written: Written,
    /// The live keys that changed.
    pub changed: Vec<Difference>,
    /// The keys that are written in another way and need a restart.
    pub awaiting: Vec<Difference>,
}

/// A key whose value is not what it was. Values of secret keys are not shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its path, e.g. `listen.http`.
    pub key: String,
    /// The value that the process runs with, as JSON.
    pub running: String,
    /// The value that is written now.
    pub written: String,
}

impl Written {
    /// As [`Settings::load`].
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn read(
        path: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let Some(path) = path else {
            return Self::parse("", "the defaults", env);
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, &path.display().to_string(), env),
            Err(source) => Err(SettingsError::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    pub(super) fn parse(
        text: &str,
        file: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        let schema = Settings::schema();
        let keys = Key::tree(&schema);
        let document = yaml::parse(text).map_err(|message| SettingsError::Syntax {
            origin: file.to_owned(),
            message,
        })?;
        let mut document = match document {
            Value::Null => Value::Object(Map::new()),
            document => document,
        };
        let in_file = |key: &str| match places::line(text, key) {
            Some(line) => format!("{file}:{line}"),
            None => file.to_owned(),
        };
        keys::fit(&mut document, &keys, "").map_err(|misfit| {
            let origin = in_file(misfit.key());
            misfit.in_origin(origin)
        })?;
        let mut from = Vec::new();
        if let Value::Object(map) = &mut document {
            from = environment::overlay(map, &keys, env)?;
        }
        let origin = |key: &str| {
            let variable = from.iter().find(|(path, _)| {
                key.strip_prefix(path.as_str())
                    .is_some_and(|r| r.is_empty() || r.starts_with(['.', '[']))
            });
            variable.map_or_else(|| in_file(key), |(_, variable)| variable.clone())
        };
        // Once more: a variable may hold a list of objects.
        keys::fit(&mut document, &keys, "").map_err(|misfit| {
            let origin = origin(misfit.key());
            misfit.in_origin(origin)
        })?;
        match check::typed(&schema, &document) {
            Ok(settings) => Ok(Self { settings, document }),
            Err((key, message)) => Err(SettingsError::Value {
                origin: origin(&key),
                key,
                message,
            }),
        }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The settings alone.
    pub fn into_settings(self) -> Settings {
        self.settings
    }

    /// What becomes of a process that runs with these settings when `now` is what is written.
    ///
    /// # Errors
    /// The live keys of `now` do not go with the others as they were.
    pub fn renewed(&self, now: &Self) -> Result<Renewal, SettingsError> {
        let schema = Settings::schema();
        let tree = Key::tree(&schema);
        let mut document = self.document.clone();
        let (mut changed, mut awaiting) = (Vec::new(), Vec::new());
        for key in leaves(&tree) {
            if !self.differs(now, key) {
                continue;
            }
            let difference = Difference {
                key: key.path.clone(),
                running: shown(key, self.value(key)),
                written: shown(key, now.value(key)),
            };
            if key.is_live() {
                put(&mut document, &key.path, now.written(key).cloned());
                changed.push(difference);
            } else {
                awaiting.push(difference);
            }
        }
        match check::typed(&schema, &document) {
            Ok(settings) => Ok(Renewal {
                written: Self { settings, document },
                changed,
                awaiting,
            }),
            Err((key, message)) => Err(SettingsError::NeedsRestart {
                key,
                message,
                awaiting: awaiting.into_iter().map(|one| one.key).collect(),
            }),
        }
    }

    /// With this key as `other` has it, whatever the other keys are.
    #[cfg(test)]
    pub(crate) fn with(&self, key: &str, other: &Self) -> Settings {
        let mut document = self.document.clone();
        let pointer = format!("/{}", key.replace('.', "/"));
        let value = other.document.pointer(&pointer).cloned();
        put(&mut document, key, value);
        serde_json::from_value(document).unwrap_or_default()
    }

    /// Whether a key means something else in `now`. The same thing may be written in several ways.
    fn differs(&self, now: &Self, key: &Key) -> bool {
        if self.value(key) == now.value(key) {
            return false;
        }
        let mut other = self.document.clone();
        put(&mut other, &key.path, now.written(key).cloned());
        match serde_json::from_value::<Settings>(other) {
            Ok(other) => other != self.settings,
            Err(_) => true,
        }
    }

    fn written(&self, key: &Key) -> Option<&Value> {
        self.document
            .pointer(&format!("/{}", key.path.replace('.', "/")))
    }

    /// What is written, else the default.
    fn value<'s>(&'s self, key: &'s Key) -> Option<&'s Value> {
        let default = key.schema.get("default");
        self.written(key)
            .or(default)
            .filter(|value| !value.is_null())
    }
}

fn shown(key: &Key, value: Option<&Value>) -> String {
    match value {
        None => "not set".to_owned(),
        Some(_) if key.is_secret() => "a value that is not shown".to_owned(),
        Some(value) => value.to_string(),
    }
}

/// Writes a value into a document that fits the tree, or takes it out.
fn put(document: &mut Value, path: &str, value: Option<Value>) {
    let Value::Object(map) = document else { return };
    match (path.split_once('.'), value) {
        (Some((section, below)), value) => {
            let section = map
                .entry(section)
                .or_insert_with(|| Value::Object(Map::new()));
            put(section, below, value);
        }
        (None, Some(value)) => drop(map.insert(path.to_owned(), value)),
        (None, None) => drop(map.remove(path)),
    }
}

impl Misfit {
    fn key(&self) -> &str {
        match self {
            Self::Unknown { key, .. } | Self::NoSection { key, .. } | Self::NoList { key } => key,
        }
    }

    fn in_origin(self, origin: String) -> SettingsError {
        match self {
            Self::Unknown { key, expected } => SettingsError::UnknownKey {
                key,
                origin,
                expected,
            },
            Self::NoList { key } => SettingsError::Value {
                key,
                origin,
                message: "expected a list".to_owned(),
            },
            Self::NoSection { key, expected } => SettingsError::Value {
                key: if key.is_empty() {
                    "the document".to_owned()
                } else {
                    key
                },
                origin,
                message: format!("expected keys and values: {}", expected.join(", ")),
            },
        }
    }
}
