//! References to secrets: what stands in their place, which documents have them, and what becomes of those when a value
//! changes. What cannot be resolved is never taken literally.

use super::{Refusal, State};
use crate::{
    model::{BadReference, Kind, ResourceKey, Secret, SecretReference, secret_texts},
    secret::{self, Found, Wanted, variable},
};
use bytes::Bytes;
use serde_json::Value;
use std::{collections::BTreeSet, sync::Arc};

/// One reference in a document.
pub(super) struct Use {
    /// JSON pointer to the place.
    path: String,
    /// The reference itself, which is no secret.
    text: String,
}

/// A reference that gives no value at the moment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unresolved {
    /// The document.
    pub key: ResourceKey,
    /// JSON pointer to the place.
    pub path: String,
    /// The reference.
    pub reference: String,
    /// Why.
    pub why: String,
}

/// What stands behind a reference.
enum Answer {
    Value(Arc<str>),
    /// It may come by itself: a manager does not answer, or a document is missing.
    NotNow(String),
    /// It comes with no passing of time.
    Never(String),
}

/// A reference and its value when it was looked up.
pub(super) type Used = (Box<str>, Option<Arc<str>>);

/// What came of resolving a configuration.
#[derive(Default)]
pub(super) struct Resolved {
    /// All references, with their values.
    pub(super) used: Vec<Used>,
    /// Whether a manager has a say in it, so that it may change by itself.
    pub(super) managed: bool,
    /// The first reference without a value, and why.
    pub(super) missing: Option<String>,
}

impl State {
    /// Puts the values of references in their place. A reference without a value stays, and is told.
    pub(super) fn resolve(&self, config: &mut Value) -> Resolved {
        let mut resolved = Resolved::default();
        self.resolve_within(config, &mut resolved);
        resolved
    }

    /// The same for the places in a document to which these JSON pointers lead.
    pub(super) fn resolve_at(&self, document: &mut Value, pointers: &[&str]) -> Resolved {
        let mut resolved = Resolved::default();
        for pointer in pointers {
            if let Some(value) = document.pointer_mut(pointer) {
                self.resolve_within(value, &mut resolved);
            }
        }
        resolved
    }

    fn resolve_within(&self, config: &mut Value, resolved: &mut Resolved) {
        match config {
            Value::String(text) => {
                let Some(reference) = SecretReference::parse(text) else {
                    return;
                };
                resolved.managed |= matches!(reference, Ok(SecretReference::Managed { .. }));
                let value = match self.answer(reference) {
                    Answer::Value(value) => Some(value),
                    Answer::NotNow(why) | Answer::Never(why) => {
                        resolved.missing.get_or_insert(format!("{text}: {why}"));
                        None
                    }
                };
                resolved.used.push((text.as_str().into(), value.clone()));
                if let Some(value) = value {
                    *text = value.to_string();
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.resolve_within(item, resolved);
                }
            }
            Value::Object(members) => {
                for (_, value) in members {
                    self.resolve_within(value, resolved);
                }
            }
            _ => {}
        }
    }

    /// Whether these references would give the same again.
    pub(super) fn gives_the_same(&self, used: &[Used]) -> bool {
        used.iter().all(|(text, before)| {
            let now = SecretReference::parse(text).map(|reference| self.answer(reference));
            match now {
                Some(Answer::Value(now)) => before.as_ref() == Some(&now),
                _ => before.is_none(),
            }
        })
    }

    fn answer(&self, reference: Result<SecretReference, BadReference>) -> Answer {
        match reference {
            Err(bad) => Answer::Never(bad.to_string()),
            Ok(SecretReference::Environment { name, within }) => match variable(&name, &within) {
                Ok(value) => Answer::Value(value.into()),
                Err(why) => Answer::Never(why),
            },
            Ok(managed) => match self.wanted(&managed) {
                Err(answer) => answer,
                Ok(wanted) => match self.workshop.secrets.find(&wanted) {
                    Found::Value(value) => Answer::Value(value),
                    Found::Waiting => Answer::NotNow("the manager was not asked yet".to_owned()),
                    Found::Missing(why) => Answer::NotNow(why.to_string()),
                },
            },
        }
    }

    /// What a manager is asked for.
    fn wanted(&self, reference: &SecretReference) -> Result<Wanted, Answer> {
        let SecretReference::Managed {
            manager,
            key: asked,
        } = reference
        else {
            return Err(Answer::Never("it is no secret of a manager".to_owned()));
        };
        let key = ResourceKey {
            kind: Kind::Secret,
            id: manager.clone(),
        };
        match self.documents.get(&key) {
            Some(document) => Ok(Wanted {
                manager: document.clone(),
                key: asked.as_str().into(),
            }),
            None => Err(Answer::NotNow(format!(
                "there is no secret manager {manager}"
            ))),
        }
    }

    /// Puts down the references of a document.
    pub(super) fn note_secrets(&mut self, key: &ResourceKey) {
        self.secret_uses.remove(key);
        let Some(content) = self.documents.get(key).filter(|c| may_refer(c)) else {
            return;
        };
        let document: Value = serde_json::from_slice(content).unwrap_or_default();
        let texts = secret_texts(key.kind, &document).into_iter();
        let uses: Arc<[Use]> = texts
            .map(|(path, text)| Use {
                path,
                text: text.to_owned(),
            })
            .collect();
        if !uses.is_empty() {
            self.secret_uses.insert(key.clone(), uses);
        }
    }

    fn uses(&self) -> impl Iterator<Item = (&ResourceKey, &Use)> {
        let all = self.secret_uses.iter();
        all.flat_map(|(key, uses)| uses.iter().map(move |one| (key, one)))
    }

    fn wanted_by(&self, one: &Use) -> Option<Wanted> {
        let reference = SecretReference::parse(&one.text)?.ok()?;
        self.wanted(&reference).ok()
    }

    /// All that managers are to be asked for.
    pub fn wanted_secrets(&self) -> BTreeSet<Wanted> {
        self.uses()
            .filter_map(|(_, one)| self.wanted_by(one))
            .collect()
    }

    /// How many references there are, resolved or not.
    pub fn secret_references(&self) -> usize {
        self.uses().count()
    }

    /// References that give no value at the moment.
    pub fn unresolved_secrets(&self) -> BTreeSet<Unresolved> {
        let unresolved = self.uses().filter_map(|(key, one)| {
            let why = match self.answer(SecretReference::parse(&one.text)?) {
                Answer::Value(_) => return None,
                Answer::NotNow(why) | Answer::Never(why) => why,
            };
            Some(Unresolved {
                key: key.clone(),
                path: one.path.clone(),
                reference: one.text.clone(),
                why,
            })
        });
        unresolved.collect()
    }

    /// References of a document that no passing of time resolves.
    pub fn hopeless_secrets(&self, key: &ResourceKey) -> Vec<Refusal> {
        let uses = self.secret_uses.get(key).into_iter();
        let refusal = |one: &Use| match self.answer(SecretReference::parse(&one.text)?) {
            Answer::Never(why) => {
                let message = format!("invalid configuration: {why} (at {})", one.path);
                Some(Refusal::new(key, &one.path, message))
            }
            _ => None,
        };
        uses.flat_map(|uses| uses.iter())
            .filter_map(refusal)
            .collect()
    }

    /// Hopeless references of all documents.
    pub(super) fn all_hopeless_secrets(&self) -> Vec<Refusal> {
        let keys = self.secret_uses.keys();
        keys.flat_map(|key| self.hopeless_secrets(key)).collect()
    }

    /// Builds anew what refers to these values. The documents are as they were.
    pub fn secrets_changed(&mut self, changed: &BTreeSet<Wanted>) -> Vec<Refusal> {
        let is_hit = |(key, one): (&ResourceKey, &Use)| {
            let wanted = self.wanted_by(one)?;
            changed.contains(&wanted).then(|| key.clone())
        };
        let hit: BTreeSet<ResourceKey> = self.uses().filter_map(is_hit).collect();
        let mut dirty = hit.clone();
        for key in &hit {
            self.reach(key, &mut dirty);
        }
        self.begin(&dirty);
        let mut refusals = Vec::new();
        self.compile(&dirty, &mut refusals);
        refusals
    }
}

/// Whether a manager can be asked with what its document says. It may refer to the environment.
pub(super) fn judge_manager(document: &Value) -> Result<(), (&'static str, String)> {
    match serde_json::from_value::<Secret>(document.clone()) {
        Ok(manager) => secret::judge(&manager),
        Err(error) => Err(("", error.to_string())),
    }
}

/// A document without this cannot have a reference, and need not be read for them.
fn may_refer(content: &Bytes) -> bool {
    memchr::memchr_iter(b'$', content).any(|at| {
        let rest = content.get(at + 1..).unwrap_or_default();
        let begins = |with: &[u8]| {
            let begin = rest.get(..with.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(with))
        };
        begins(b"env:") || begins(b"secret:")
    })
}
