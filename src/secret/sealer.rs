//! Which fields of documents are secret, and their encryption at rest.

use super::keyring::{Keyring, is_sealed, may_be_sealed};
use crate::model::{Kind, ResourceKey, SecretReference};
use crossway_sdk::definition::{Definition, Registry};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What stands for a secret where it must not be read.
const HIDDEN: &str = "<hidden>";
/// Secret fields of documents, beside those of plugins.
const OF_CERTIFICATES: &[&str] = &["key", "keys"];
const OF_UPSTREAMS: &[&str] = &["tls.client_key", "upstream.tls.client_key"];
const OF_MANAGERS: &[&str] = &[
    "token",
    "secret_access_key",
    "session_token",
    "auth_config.private_key",
];

/// So many characters of a secret are looked for in a message; what is longer may have been cut off there.
const BEGINNING: usize = 16;
/// A secret with fewer characters is part of many a word, and looked for in quotation marks alone.
const SHORT: usize = 6;

/// Knows which fields are secret. With keys it seals them for the store, without it leaves them as they are there. Where documents
/// are shown, they are sealed either way.
#[derive(Default)]
pub struct Sealer {
    keyring: Option<Keyring>,
    /// Stands in for the keyring where documents are shown. What it seals may be written back as long as this process lives.
    passing: Option<Keyring>,
    plugins: BTreeMap<&'static str, Fields>,
}

/// What is to be known of the configuration of a plugin.
#[derive(Default)]
struct Fields {
    secret: Vec<&'static str>,
    /// Where other plugins are configured inside of it.
    nested: &'static [&'static str],
}

/// What is done with a secret, which may have the wrong type.
type Visit<'v> = dyn FnMut(&mut Value) + 'v;

impl Sealer {
    /// For the plugins of a registry.
    pub fn new(registry: &Registry, keyring: Option<Keyring>) -> Self {
        let fields = |d: &Definition| {
            let secret = d.encrypted.iter().chain(d.encrypted_credential);
            let fields = Fields {
                secret: secret.copied().collect(),
                nested: d.nested,
            };
            (d.name, fields)
        };
        let has_some = |(_, f): &(&str, Fields)| !f.secret.is_empty() || !f.nested.is_empty();
        let plugins = registry.iter().map(fields).filter(has_some).collect();
        Self {
            // Without random bytes nothing is sealed, and what should be shown so is blanked out.
            passing: match &keyring {
                Some(_) => None,
                None => Keyring::passing().ok(),
            },
            keyring,
            plugins,
        }
    }

    /// Whether documents are encrypted at rest.
    pub fn is_on(&self) -> bool {
        self.keyring.is_some()
    }

    /// Encrypts the secret fields of a document. References to secrets are none, and what is sealed stays so. `false` when
    /// the system gives no random bytes, and the document must not be stored.
    pub fn seal(&self, key: &ResourceKey, document: &mut Value) -> bool {
        let Some(keyring) = &self.keyring else {
            return true;
        };
        let mut all = true;
        self.texts(key, document, &mut |text| match keyring.seal(text) {
            Ok(sealed) => *text = sealed,
            Err(_) => all = false,
        });
        all
    }

    /// Decrypts the secret fields of a document. What no key opens stays sealed.
    pub fn open(&self, key: &ResourceKey, document: &mut Value) {
        let Some(keyring) = self.keyring.as_ref().or(self.passing.as_ref()) else {
            return;
        };
        self.visit(key.kind, key.id.as_str(), document, &mut |value| {
            let Value::String(text) = value else { return };
            if let Some(opened) = keyring.open(text) {
                *text = opened;
            }
        });
    }

    /// The bytes of a document with its secret fields decrypted; `None` when nothing in it is sealed.
    pub fn opened(&self, key: &ResourceKey, content: &[u8]) -> Option<Value> {
        self.keyring.as_ref()?;
        if !may_be_sealed(content) {
            return None;
        }
        let mut document: Value = serde_json::from_slice(content).ok()?;
        self.open(key, &mut document);
        Some(document)
    }

    /// Encrypts the secret fields of a document that is to be shown to those who may not read them. What was shown so can be
    /// written back, and is the same each time until the secret changes.
    pub fn veil(&self, key: &ResourceKey, document: &mut Value) {
        let keyring = self.keyring.as_ref().or(self.passing.as_ref());
        let mut count = 0_usize;
        self.texts(key, document, &mut |text| {
            let place = format!("{key}#{count}");
            count += 1;
            let sealed = keyring.and_then(|keyring| keyring.seal_steadily(&place, text).ok());
            *text = sealed.unwrap_or_else(|| HIDDEN.to_owned());
        });
    }

    /// Encrypts a text that is no field of a document. `None` when the system gives no random bytes, and it must not be stored.
    pub fn seal_text(&self, text: &str) -> Option<String> {
        match &self.keyring {
            Some(keyring) => keyring.seal(text).ok(),
            None => Some(text.to_owned()),
        }
    }

    /// The text that [`seal_text`](Self::seal_text) was given, also when that was without keys. `None` when no key opens it.
    pub fn open_text(&self, text: String) -> Option<String> {
        match is_sealed(&text) {
            true => self.keyring.as_ref()?.open(&text),
            false => Some(text),
        }
    }

    /// Blanks the secret fields of a document. References to secrets may be read.
    pub fn hide(&self, key: &ResourceKey, document: &mut Value) {
        self.visit(key.kind, key.id.as_str(), document, &mut |value| {
            if !matches!(value, Value::String(text) if SecretReference::parse(text).is_some()) {
                *value = HIDDEN.into();
            }
        });
    }

    /// What is wrong with a document, at `path`; without the words that were found for it when they repeat a secret.
    pub fn hushed(
        &self,
        (kind, id): (Kind, &str),
        document: &Value,
        path: &str,
        message: String,
    ) -> String {
        let mut told = false;
        self.visit(kind, id, &mut document.clone(), &mut |value| {
            told |= match value {
                Value::String(text) if may_be_known(text) => false,
                Value::String(text) => repeats(&message, text),
                Value::Number(number) => repeats(&message, &number.to_string()),
                _ => false,
            };
        });
        match told {
            true => format!(
                "invalid configuration: what is wrong is not said, because that would show a secret (at {path})"
            ),
            false => message,
        }
    }

    /// Every secret text of a document that is neither sealed nor a reference.
    fn texts(&self, key: &ResourceKey, document: &mut Value, with: &mut dyn FnMut(&mut String)) {
        self.visit(key.kind, key.id.as_str(), document, &mut |value| {
            if let Value::String(text) = value
                && !may_be_known(text)
            {
                with(text);
            }
        });
    }

    fn visit(&self, kind: Kind, id: &str, document: &mut Value, with: &mut Visit<'_>) {
        let own = match kind {
            Kind::Ssl => OF_CERTIFICATES,
            Kind::Upstream | Kind::Service | Kind::Route | Kind::StreamRoute => OF_UPSTREAMS,
            Kind::Secret => OF_MANAGERS,
            _ => &[],
        };
        for field in own {
            at(document, field, &mut |value| leaves(value, with));
        }
        if kind == Kind::PluginMetadata {
            self.visit_plugin(id, document, with);
        } else if let Some(Value::Object(plugins)) = document.get_mut("plugins") {
            self.visit_plugins(plugins, with);
        }
    }

    fn visit_plugins(&self, plugins: &mut Map<String, Value>, with: &mut Visit<'_>) {
        for (name, config) in plugins {
            self.visit_plugin(name, config, with);
        }
    }

    fn visit_plugin(&self, name: &str, config: &mut Value, with: &mut Visit<'_>) {
        let Some(fields) = self.plugins.get(name) else {
            return;
        };
        for field in &fields.secret {
            at(config, field, &mut |value| leaves(value, with));
        }
        for field in fields.nested {
            at(config, field, &mut |value| self.visit_nested(value, with));
        }
    }

    /// Plugins by their names, or a pair of a name and a configuration, or a list of such.
    fn visit_nested(&self, value: &mut Value, with: &mut Visit<'_>) {
        match value {
            Value::Object(plugins) => self.visit_plugins(plugins, with),
            Value::Array(items) => match items.as_mut_slice() {
                [Value::String(name), config] => self.visit_plugin(name, config, with),
                items => {
                    for item in items {
                        self.visit_nested(item, with);
                    }
                }
            },
            _ => {}
        }
    }
}

/// What everybody may read: a reference to a secret, and what is sealed.
fn may_be_known(text: &str) -> bool {
    is_sealed(text) || SecretReference::parse(text).is_some()
}

/// Whether a message repeats a secret, or the beginning of a long one.
fn repeats(message: &str, secret: &str) -> bool {
    let beginning: String = secret.chars().take(BEGINNING).collect();
    if beginning.is_empty() {
        return false;
    }
    let quoted = [
        format!("{beginning:?}"),
        Value::from(&*beginning).to_string(),
    ];
    if beginning.chars().count() < SHORT {
        return quoted.iter().any(|quoted| message.contains(quoted));
    }
    let mut bare = quoted
        .iter()
        .filter_map(|q| q.strip_prefix('"')?.strip_suffix('"'));
    message.contains(&beginning) || bare.any(|bare| message.contains(bare))
}

/// Every value at a path such as `auth.password`. A list on the way stands for all of its items, and a value of the wrong type for
/// what should be below it.
fn at(value: &mut Value, path: &str, with: &mut Visit<'_>) {
    match value {
        _ if path.is_empty() => with(value),
        Value::Array(items) => {
            for item in items {
                at(item, path, with);
            }
        }
        Value::Object(members) => {
            let (name, rest) = path.split_once('.').unwrap_or((path, ""));
            if let Some(inner) = members.get_mut(name) {
                at(inner, rest, with);
            }
        }
        other => with(other),
    }
}

/// Everything in a value that is neither a list nor an object.
fn leaves(value: &mut Value, with: &mut Visit<'_>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| leaves(item, with)),
        Value::Object(members) => members.values_mut().for_each(|inner| leaves(inner, with)),
        Value::Null => {}
        leaf => with(leaf),
    }
}

/// The JSON pointer of a text that is sealed still, wherever it stands: no key has opened it.
pub fn sealed_place(content: &[u8], document: &Value) -> Option<String> {
    may_be_sealed(content).then(|| find(document))?
}

fn find(value: &Value) -> Option<String> {
    let below = |name: &str, inner: &Value| {
        let rest = find(inner)?;
        Some(format!(
            "/{}{rest}",
            name.replace('~', "~0").replace('/', "~1")
        ))
    };
    match value {
        Value::String(text) => is_sealed(text).then(String::new),
        Value::Array(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(index, inner)| below(&index.to_string(), inner))
        }
        Value::Object(members) => members.iter().find_map(|(name, inner)| below(name, inner)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
