//! Which fields of documents are secret, and their encryption at rest.

use super::keyring::{Keyring, is_sealed, may_be_sealed};
use crate::model::{Kind, ResourceKey, SecretReference};
use crossway_sdk::definition::Registry;
use serde_json::Value;
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

/// Knows which fields are secret. With keys it seals them, without it leaves them as they are.
#[derive(Default)]
pub struct Sealer {
    keyring: Option<Keyring>,
    plugins: BTreeMap<&'static str, Vec<&'static str>>,
}

impl Sealer {
    /// For the plugins of a registry.
    pub fn new(registry: &Registry, keyring: Option<Keyring>) -> Self {
        let fields = |d: &crossway_sdk::definition::Definition| {
            let all = d.encrypted.iter().chain(d.encrypted_credential);
            (d.name, all.copied().collect::<Vec<_>>())
        };
        let plugins = registry.iter().map(fields);
        Self {
            keyring,
            plugins: plugins.filter(|(_, fields)| !fields.is_empty()).collect(),
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
        self.visit(key, document, &mut |text| {
            if is_sealed(text) || SecretReference::parse(text).is_some() {
                return;
            }
            match keyring.seal(text) {
                Ok(sealed) => *text = sealed,
                Err(_) => all = false,
            }
        });
        all
    }

    /// Decrypts the secret fields of a document. What no key opens stays sealed.
    pub fn open(&self, key: &ResourceKey, document: &mut Value) {
        let Some(keyring) = &self.keyring else {
            return;
        };
        self.visit(key, document, &mut |text| {
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
        self.visit(key, document, &mut |text| {
            if SecretReference::parse(text).is_none() {
                *text = HIDDEN.to_owned();
            }
        });
    }

    fn visit(&self, key: &ResourceKey, document: &mut Value, with: &mut dyn FnMut(&mut String)) {
        let own = match key.kind {
            Kind::Ssl => OF_CERTIFICATES,
            Kind::Upstream | Kind::Service | Kind::Route | Kind::StreamRoute => OF_UPSTREAMS,
            Kind::Secret => OF_MANAGERS,
            _ => &[],
        };
        for field in own {
            field_of(document, field, with);
        }
        if key.kind == Kind::PluginMetadata {
            for field in self.plugins.get(key.id.as_str()).into_iter().flatten() {
                field_of(document, field, with);
            }
        } else if let Some(Value::Object(plugins)) = document.get_mut("plugins") {
            for (name, config) in plugins {
                for field in self.plugins.get(name.as_str()).into_iter().flatten() {
                    field_of(config, field, with);
                }
            }
        }
    }
}

/// Every text at a path such as `auth.password`. A list on the way stands for all of its items, and an object at its end for all
/// of its values.
fn field_of(value: &mut Value, path: &str, with: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Array(items) => {
            for item in items {
                field_of(item, path, with);
            }
        }
        Value::String(text) if path.is_empty() => with(text),
        Value::Object(members) if path.is_empty() => {
            for (_, inner) in members {
                field_of(inner, "", with);
            }
        }
        Value::Object(members) => {
            let (name, rest) = path.split_once('.').unwrap_or((path, ""));
            if let Some(inner) = members.get_mut(name) {
                field_of(inner, rest, with);
            }
        }
        _ => {}
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
mod tests {
    use super::*;
    use serde_json::json;

    fn sealer() -> Sealer {
        Sealer {
            keyring: Keyring::new(["edd1c9f0985e76a2"]).ok(),
            plugins: [
                ("door", vec!["key"]),
                ("post", vec!["headers", "to.password"]),
            ]
            .into(),
        }
    }

    fn key(text: &str) -> ResourceKey {
        text.parse().unwrap()
    }

    #[test]
    fn secret_fields_are_sealed_and_opened_and_others_left_alone() {
        let route = json!({
            "uri": "/", "upstream": {"tls": {"client_cert": "C", "client_key": "hush"}},
            "plugins": {
                "door": {"key": "$env://KEY", "other": "plain"},
                "post": {"headers": {"a": "hush"}, "to": [{"password": "hush", "user": "me"}]}
            }
        });
        let mut sealed = route.clone();
        assert!(sealer().seal(&key("routes/1"), &mut sealed));
        let text = sealed.to_string();
        assert!(!text.contains("hush"), "{text}");
        for plain in ["plain", "$env://KEY", "\"me\"", "\"C\""] {
            assert!(text.contains(plain), "{text}");
        }
        let again = sealed.clone();
        sealer().seal(&key("routes/1"), &mut sealed);
        assert_eq!(sealed, again);
        let place = sealed_place(text.as_bytes(), &sealed);
        assert_eq!(place.as_deref(), Some("/plugins/post/headers/a"));
        assert_eq!(
            sealer().opened(&key("routes/1"), text.as_bytes()),
            Some(route)
        );
    }

    #[test]
    fn every_kind_has_its_secrets() {
        for (at, document) in [
            (
                "ssls/1",
                json!({"cert": "c", "key": "hush", "keys": ["hush"]}),
            ),
            ("secrets/vault/1", json!({"uri": "u", "token": "hush"})),
            ("upstreams/1", json!({"tls": {"client_key": "hush"}})),
            (
                "consumers/jack",
                json!({"plugins": {"door": {"key": "hush"}}}),
            ),
            ("plugin_metadata/post", json!({"to": {"password": "hush"}})),
        ] {
            let mut sealed = document.clone();
            sealer().seal(&key(at), &mut sealed);
            assert!(!sealed.to_string().contains("hush"), "{at}");
            let mut hidden = document;
            sealer().hide(&key(at), &mut hidden);
            assert!(hidden.to_string().contains(HIDDEN), "{at}");
        }
    }

    #[test]
    fn a_text_by_itself_is_sealed_and_opened() {
        let sealed = sealer().seal_text("hush").unwrap();
        assert!(!sealed.contains("hush"));
        assert_eq!(Sealer::default().open_text(sealed.clone()), None);
        assert_eq!(sealer().open_text(sealed).as_deref(), Some("hush"));
        let plain = Sealer::default().seal_text("hush").unwrap();
        assert_eq!(sealer().open_text(plain).as_deref(), Some("hush"));
    }

    #[test]
    fn without_keys_nothing_is_sealed() {
        let mut document = json!({"key": "hush"});
        assert!(Sealer::default().seal(&key("ssls/1"), &mut document));
        assert_eq!(document, json!({"key": "hush"}));
    }
}
