//! Whether a whole configuration would be taken: every problem of every item, with nothing stored.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use axum::http::StatusCode;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    Admin,
    answer::Answer,
    body,
    configs::WHOLE,
    dispatch::Call,
    error::Failure,
    judge::plugins_of,
    sections::{Item, items, parse, sections},
};
use crate::{
    compile::{Change, Refusal, State},
    model::{Kind, ResourceKey, references},
};

impl Admin {
    /// `/configs/validate`.
    pub(super) async fn validate_configs(
        self: &Arc<Self>,
        call: &Call,
        body: axum::body::Body,
    ) -> Result<Answer, Failure> {
        let text = body::read(&call.parts.headers, body, WHOLE).await?;
        let mut whole = parse(&call.parts.headers, &text)?;
        let mut all = Vec::new();
        for section in sections() {
            all.extend(items(section, whole.remove(section.path()))?);
        }
        self.open_all(&mut all);
        self.judge_alone(&mut all);
        let mut changes: Vec<Change> = good(&all).collect();
        changes.extend(self.elsewhere(&all));
        let state = self.authority.state();
        let workshop = Arc::clone(state.workshop());
        // What serves may contradict what is to replace it, so the configuration is judged in an empty place.
        let judged = tokio::task::spawn_blocking(move || {
            let mut trial = State::new(workshop);
            let keys: Vec<ResourceKey> = changes.iter().map(|(key, _)| key.clone()).collect();
            let mut refusals = trial.apply(0, changes);
            refusals.extend(keys.iter().flat_map(|key| trial.hopeless_secrets(key)));
            refusals
        })
        .await;
        let refusals = judged.map_err(|_| Failure::broken())?;
        blame(&mut all, refusals);
        let errors: Vec<Value> = all.iter().filter_map(error).collect();
        if errors.is_empty() {
            return Ok(Answer::json(StatusCode::OK, &json!({})));
        }
        let body = json!({"error_msg": "Configuration validation failed", "errors": errors});
        Err(Failure::json(StatusCode::BAD_REQUEST, body))
    }

    /// Decrypts what came back in the form in which lists show it.
    pub(super) fn open_all(&self, items: &mut [Item]) {
        let sealer = self.sealer();
        for item in items {
            if let Ok((key, document)) = &mut item.read {
                sealer.open(key, document);
            }
        }
    }

    /// Judges each item by what can be said of it without the others, and plugins that stand in two global rules.
    pub(super) fn judge_alone(&self, items: &mut [Item]) {
        let mut rule_of: BTreeMap<String, String> = BTreeMap::new();
        for item in items {
            let Ok((key, document)) = &item.read else {
                continue;
            };
            let mut judged = self.check_model(key, document);
            if key.kind == Kind::Credential {
                judged = judged.and_then(|()| self.only_authenticates(document));
            }
            let mut judged = judged.map_err(|failure| failure.message());
            if key.kind == Kind::GlobalRule && judged.is_ok() {
                for name in plugins_of(document) {
                    let id = key.id.to_string();
                    if let Some(other) = rule_of.insert(name.to_owned(), id) {
                        judged = Err(format!(
                            "plugin '{name}' already exists in global rule with id '{other}'"
                        ));
                    }
                }
            }
            if let Err(why) = judged {
                item.read = Err(why);
            }
        }
    }

    /// What the items refer to that is not among them but in the store: references are not what is judged here.
    fn elsewhere(&self, items: &[Item]) -> Vec<Change> {
        let read = || items.iter().filter_map(|item| item.read.as_ref().ok());
        let own: HashSet<&ResourceKey> = read().map(|(key, _)| key).collect();
        let state = self.authority.state();
        let mut found: BTreeMap<ResourceKey, Option<Bytes>> = BTreeMap::new();
        for (key, document) in read() {
            let needed = references(key.kind, document).into_iter();
            let needed = needed.map(|r| ResourceKey {
                kind: r.kind,
                id: r.id,
            });
            for key in needed.filter(|key| !own.contains(key)) {
                if let Some(content) = state.document(&key) {
                    found.insert(key, Some(content.clone()));
                }
            }
        }
        found.into_iter().collect()
    }
}

/// The items that are sound so far, as changes.
pub(super) fn good(items: &[Item]) -> impl Iterator<Item = Change> {
    let read = items.iter().filter_map(|item| item.read.as_ref().ok());
    read.map(|(key, document)| (key.clone(), Some(Bytes::from(document.to_string()))))
}

/// Puts refusals where they belong; returns those that belong to no item.
pub(super) fn blame(items: &mut [Item], refusals: Vec<Refusal>) -> Vec<Refusal> {
    let mut homeless = Vec::new();
    for refusal in refusals {
        let of_it = |item: &&mut Item| matches!(&item.read, Ok((key, _)) if *key == refusal.key);
        match items.iter_mut().find(of_it) {
            Some(item) => item.read = Err(refusal.message),
            None => homeless.push(refusal),
        }
    }
    homeless
}

fn error(item: &Item) -> Option<Value> {
    let why = item.read.as_ref().err()?;
    Some(json!({
        "resource_type": item.section.path(),
        "resource_id": item.id,
        "index": item.index,
        "error": why,
    }))
}
