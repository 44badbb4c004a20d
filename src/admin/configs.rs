//! The standalone dialect: the whole configuration in one GET and one PUT, with a digest and a version for each kind,
//! as adc and the ingress controller speak it.
//!
//! In APISIX it is there only in standalone mode and instead of the other endpoints. Here it works on any store that
//! can be written, beside them, and one PUT is one transaction. Digest and versions are kept in memory: after a
//! restart any version is taken, and a document that says what is there already changes nothing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, atomic::Ordering},
};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header::ACCEPT};
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{
    Admin,
    answer::{Answer, shown},
    auth::Role,
    body,
    dispatch::Call,
    error::Failure,
    sections::{Item, items, parse, sections},
    stamp,
    validate::blame,
};
use crate::{
    compile::{Change, State},
    model::{Kind, ResourceKey},
    store::{Contents, Entry, Expect, Key, Revision, Transaction, Write},
};

/// Largest whole configuration in bytes.
pub(super) const WHOLE: usize = 64 << 20;
const DIGEST: &str = "x-digest";
const LAST_MODIFIED: &str = "x-last-modified";

/// What is known of the last PUT.
#[derive(Default)]
pub(super) struct Standalone {
    digest: Option<HeaderValue>,
    /// What it was stored as.
    revision: Revision,
    /// Unix seconds.
    modified: u64,
    versions: BTreeMap<Kind, u64>,
}

impl Standalone {
    fn version(&self, kind: Kind) -> u64 {
        self.versions.get(&kind).copied().unwrap_or_default()
    }
}

impl Admin {
    /// `GET` and `HEAD` of the configuration. Private keys are in it for those only who may also write them.
    pub(super) async fn configs(&self, call: &Call) -> Result<Answer, Failure> {
        let contents = self.authority.store().load().await?;
        let standalone = self.standalone.lock().await;
        let mut whole = Map::new();
        let mut modified = standalone.modified;
        for section in sections() {
            let version = standalone.version(section);
            whole.insert(version_name(section), version.into());
        }
        for entry in &contents.entries {
            let Some((key, mut document)) = stored(entry) else {
                continue;
            };
            let updated = document.get("update_time").and_then(Value::as_u64);
            modified = modified.max(updated.unwrap_or_default());
            if call.role != Role::Admin {
                document = shown(key.kind, self.veiled(entry, document));
            }
            if let Value::Object(fields) = &mut document {
                if matches!(key.kind, Kind::Credential | Kind::Secret) {
                    fields.insert("id".to_owned(), key.id.as_str().into());
                }
                fields.insert("modifiedIndex".to_owned(), entry.modified.0.into());
            }
            let section = key.kind.owner().unwrap_or(key.kind);
            let list = whole
                .entry(section.path())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(document);
            }
        }
        let mut answer = written_as(&call.parts.headers, Value::Object(whole))?;
        if let Some(digest) = &standalone.digest
            && self.unchanged_since(standalone.revision)
        {
            answer = answer.with(DIGEST, digest.clone());
        }
        if modified > 0 {
            answer = answer.with(LAST_MODIFIED, HeaderValue::from(modified));
        }
        Ok(answer)
    }

    /// `PUT` of the configuration: all of it or nothing.
    pub(super) async fn put_configs(
        self: &Arc<Self>,
        call: &Call,
        body: axum::body::Body,
    ) -> Result<Answer, Failure> {
        let headers = &call.parts.headers;
        let Some(digest) = headers.get(DIGEST).cloned() else {
            return Err(Failure::bad("missing digest header"));
        };
        self.writable().await?;
        let text = body::read(headers, body, WHOLE).await?;
        let turn = self.alone().await;
        let mut standalone = self.standalone.lock().await;
        if standalone.digest.as_ref() == Some(&digest) && self.unchanged_since(standalone.revision)
        {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        let mut whole = parse(headers, &text)?;
        let versions = versions(&standalone, &whole)?;
        let contents = self.authority.store().load().await?;
        let drifted = !self.unchanged_since(standalone.revision);
        // A list whose version stays says what is there already, unless somebody else has changed that meanwhile.
        let changed: BTreeSet<Kind> = sections()
            .filter(|kind| {
                versions.get(kind) != Some(&standalone.version(*kind))
                    || (drifted && whole.contains_key(kind.path()))
            })
            .collect();
        let mut all = Vec::new();
        for section in changed.iter().copied() {
            all.extend(items(section, whole.remove(section.path()))?);
        }
        self.open_all(&mut all);
        self.judge_alone(&mut all);
        refuse(&all)?;
        let current = of_sections(contents, &changed);
        let transaction = difference(&current, &all);
        self.judge_together(&mut all, &transaction).await?;
        let committed = self.commit(transaction).await?;
        *standalone = Standalone {
            digest: Some(digest.clone()),
            revision: committed.revision,
            modified: stamp::now(),
            versions,
        };
        let modified = HeaderValue::from(standalone.modified);
        drop((standalone, turn));
        self.settle(committed.revision).await;
        let accepted = Answer::empty(StatusCode::ACCEPTED);
        Ok(accepted.with(DIGEST, digest).with(LAST_MODIFIED, modified))
    }

    /// Whether nothing was written after this revision, by this API or by others.
    fn unchanged_since(&self, revision: Revision) -> bool {
        let seen = self.authority.status().borrow().seen;
        seen.max(self.written.load(Ordering::Acquire)) <= revision.0
    }

    /// Compiles all changes as one.
    async fn judge_together(
        self: &Arc<Self>,
        all: &mut [Item],
        transaction: &Transaction,
    ) -> Result<(), Failure> {
        let changes: Vec<Change> = transaction.writes.iter().filter_map(change).collect();
        let state = self.authority.state();
        let judged = tokio::task::spawn_blocking(move || {
            let mut trial = State::clone(&state);
            let keys: Vec<ResourceKey> = changes.iter().map(|(key, _)| key.clone()).collect();
            let mut refusals = trial.apply(state.revision(), changes);
            refusals.extend(keys.iter().flat_map(|key| trial.hopeless_secrets(key)));
            refusals
        });
        let refusals = judged.await.map_err(|_| Failure::broken())?;
        let homeless = blame(all, refusals);
        refuse(all)?;
        match homeless.into_iter().next() {
            Some(refusal) => Err(Failure::bad(format!(
                "{}: {}",
                refusal.key, refusal.message
            ))),
            None => Ok(()),
        }
    }
}

fn version_name(section: Kind) -> String {
    format!("{}_conf_version", section.path())
}

/// The versions after a PUT: those that it names, else one more.
fn versions(
    standalone: &Standalone,
    whole: &Map<String, Value>,
) -> Result<BTreeMap<Kind, u64>, Failure> {
    let version = |section: Kind| {
        let name = version_name(section);
        let before = standalone.version(section);
        let version = match whole.get(&name) {
            None | Some(Value::Null) => before.saturating_add(1),
            Some(Value::Number(number)) => {
                let too_low = || {
                    Failure::bad(format!(
                        "{name} must be greater than or equal to ({before})"
                    ))
                };
                // Lua writes whole numbers as floats now and then.
                let float = || number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64);
                let version = number.as_u64().or_else(float).ok_or_else(too_low)?;
                if version < before {
                    return Err(too_low());
                }
                version
            }
            Some(_) => return Err(Failure::bad(format!("{name} must be a number"))),
        };
        Ok((section, version))
    };
    sections().map(version).collect()
}

/// The first item that is wrong, as APISIX says it.
fn refuse(items: &[Item]) -> Result<(), Failure> {
    let wrong = items
        .iter()
        .find_map(|item| Some((item, item.read.as_ref().err()?)));
    wrong.map_or(Ok(()), |(item, why)| {
        let section = item.section.path();
        Err(Failure::bad(format!(
            "invalid {section} at index {}, err: {why}",
            item.index
        )))
    })
}

/// The entries of kinds that change, credentials with their consumers.
fn of_sections(contents: Contents, changed: &BTreeSet<Kind>) -> Vec<Entry> {
    let of_it = |entry: &Entry| {
        let key: Option<ResourceKey> = entry.key.as_str().parse().ok();
        key.is_some_and(|key| changed.contains(&key.kind.owner().unwrap_or(key.kind)))
    };
    contents.entries.into_iter().filter(of_it).collect()
}

/// What turns the entries into the items. A document that says the same, times aside, stays as it is.
fn difference(current: &[Entry], items: &[Item]) -> Transaction {
    let by_key: HashMap<&str, &Entry> = current.iter().map(|e| (e.key.as_str(), e)).collect();
    let now = stamp::now();
    let read = items.iter().filter_map(|item| item.read.as_ref().ok());
    let wanted = read.filter_map(|(key, document)| {
        let name = Key::new(&key.to_string()).ok()?;
        let entry = by_key.get(name.as_str());
        Some((name, content(key, document, entry.copied(), now)))
    });
    let mut transaction = Transaction::difference(current, wanted);
    for write in &transaction.writes {
        let entry = by_key.get(write.key().as_str());
        let expect = entry.map_or(Expect::Absent, |entry| Expect::Modified(entry.modified));
        transaction.expect.push((write.key().clone(), expect));
    }
    transaction
}

fn content(key: &ResourceKey, document: &Value, entry: Option<&Entry>, now: u64) -> Bytes {
    let before: Option<Value> = entry.and_then(|e| serde_json::from_slice(&e.value).ok());
    let mut document = document.clone();
    if let (true, Value::Object(fields)) = (key.kind.has_timestamps(), &mut document) {
        let mut same = before.clone().unwrap_or_default();
        for name in ["create_time", "update_time"] {
            if let (false, Value::Object(same)) = (fields.contains_key(name), &mut same) {
                same.remove(name);
            }
        }
        let given = fields.clone();
        if let (true, Some(entry)) = (same.as_object() == Some(&given), entry) {
            return entry.value.clone();
        }
        stamp::replaced(fields, before.as_ref(), now);
        fields.extend(given);
    }
    match entry {
        Some(entry) if before.as_ref() == Some(&document) => entry.value.clone(),
        _ => document.to_string().into(),
    }
}

fn change(write: &Write) -> Option<Change> {
    let key: ResourceKey = write.key().as_str().parse().ok()?;
    Some(match write {
        Write::Put { value, .. } => (key, Some(value.clone())),
        Write::Delete { .. } => (key, None),
    })
}

fn stored(entry: &Entry) -> Option<(ResourceKey, Value)> {
    let key: ResourceKey = entry.key.as_str().parse().ok()?;
    Some((key, serde_json::from_slice(&entry.value).ok()?))
}

/// In YAML for those who ask for it, else in JSON.
fn written_as(headers: &HeaderMap, whole: Value) -> Result<Answer, Failure> {
    let accept = headers.get(ACCEPT).map(|accept| accept.as_bytes());
    if !accept.is_some_and(|accept| accept.starts_with(b"application/yaml")) {
        return Ok(Answer::json(StatusCode::OK, &whole));
    }
    let text = serde_saphyr::to_string(&whole).map_err(|error| {
        let message =
            json!({"error_msg": format!("the configuration cannot be written as YAML: {error}")});
        Failure::json(StatusCode::NOT_ACCEPTABLE, message)
    })?;
    let yaml = HeaderValue::from_static("application/yaml");
    Ok(Answer::of(StatusCode::OK, yaml, text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn entry(key: &str, value: Value) -> Entry {
        Entry {
            key: Key::new(key).unwrap(),
            value: value.to_string().into(),
            created: Revision(1),
            modified: Revision(3),
            expires: None,
        }
    }

    #[test]
    fn versions_do_not_go_back() {
        let standalone = Standalone {
            versions: BTreeMap::from([(Kind::Route, 7)]),
            ..Standalone::default()
        };
        let of = |whole: Value| {
            versions(&standalone, whole.as_object().unwrap()).map_err(|e| e.message())
        };
        let after = |whole: Value| of(whole).map(|versions| versions[&Kind::Route]);
        assert_eq!(after(json!({})), Ok(8));
        assert_eq!(after(json!({"routes_conf_version": 7})), Ok(7));
        assert_eq!(after(json!({"routes_conf_version": 9.0})), Ok(9));
        assert_eq!(
            after(json!({"routes_conf_version": 6})),
            Err("routes_conf_version must be greater than or equal to (7)".to_owned())
        );
        assert_eq!(
            after(json!({"routes_conf_version": "9"})),
            Err("routes_conf_version must be a number".to_owned())
        );
    }

    #[test]
    fn what_says_the_same_is_left_alone() {
        let times = |uri: &str| json!({"id": "1", "uri": uri, "create_time": 5, "update_time": 6});
        let current = [entry("routes/1", times("/a")), entry("routes/2", json!({}))];
        let list = |list: Value| items(Kind::Route, Some(list)).unwrap();

        let same = difference(&current, &list(json!([{"id": "1", "uri": "/a"}])));
        assert_eq!(same.writes.len(), 1);
        assert!(matches!(&same.writes[0], Write::Delete { key } if key.as_str() == "routes/2"));
        assert_eq!(same.expect[0].1, Expect::Modified(Revision(3)));

        let other = difference(
            &current,
            &list(json!([{"id": "1", "uri": "/b"}, {"id": "2"}])),
        );
        let Some(Write::Put { key, value, .. }) = other.writes.first() else {
            panic!("{other:?}");
        };
        assert_eq!(key.as_str(), "routes/1");
        let value: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(
            (&value["uri"], &value["create_time"]),
            (&json!("/b"), &json!(5))
        );
        assert_ne!(value["update_time"], json!(6));
    }
}
