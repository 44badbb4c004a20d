//! PUT, POST and PATCH of one document: ids, times, judgement, and a commit that nobody else can have undermined.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use serde_json::{Map, Value};
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::{
    Admin,
    answer::Answer,
    body,
    error::Failure,
    judge::{Judged, object},
    patch,
    path::Address,
    query::Query,
    stamp, store_key,
};
use crate::{
    model::{Id, IdShape, Kind, ResourceKey},
    store::{CommitError, Committed, Expect, Transaction, Write},
};

/// How often a write starts anew because somebody else was faster.
const ATTEMPTS: usize = 64;

/// A place in the order of writes.
#[allow(dead_code)] // held, not read
pub(super) enum Turn<'a> {
    /// Beside others.
    Shared(RwLockReadGuard<'a, ()>),
    /// Alone.
    Alone(RwLockWriteGuard<'a, ()>),
}

impl Admin {
    /// Waits for the turn of a write. Rules that span documents of one kind (keys of consumers, plugins of global
    /// rules) can only be judged by one write at a time, and after all earlier ones serve.
    pub(super) async fn turn(&self, kind: Kind) -> Turn<'_> {
        match kind {
            Kind::Consumer | Kind::Credential | Kind::GlobalRule => self.alone().await,
            _ => Turn::Shared(self.turn.read().await),
        }
    }

    /// Waits until no other write is under way and all earlier ones serve.
    pub(super) async fn alone(&self) -> Turn<'_> {
        // Outside of the turn first, so that others need not wait with this one.
        self.catch_up().await;
        let turn = self.turn.write().await;
        self.catch_up().await;
        Turn::Alone(turn)
    }

    /// `PUT`: creates or replaces a document.
    pub(super) async fn put(
        self: &Arc<Self>,
        address: &Address,
        query: &Query,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let given = object(body::parse(body, "missing configurations")?)?;
        stamp::refuse(&given)?;
        let ttl = ttl(query)?;
        let key = addressed(address, &given)?;
        let name = store_key(&key)?;
        let turn = self.turn(key.kind).await;
        for _ in 0..ATTEMPTS {
            let previous = self.find(&key).await?;
            let mut document = named(&key, given.clone());
            if key.kind.has_timestamps() {
                let before = previous
                    .as_ref()
                    .and_then(|entry| serde_json::from_slice::<Value>(&entry.value).ok());
                stamp::replaced(&mut document, before.as_ref(), stamp::now());
            }
            let document = self.opened(&key, document);
            let judged = self.judge(&key, &document).await?;
            let expect = previous.map_or(Expect::Absent, |entry| Expect::Modified(entry.modified));
            match self.store(&key, judged, expect, ttl).await {
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(committed) => {
                    drop(turn);
                    self.settle(committed.revision).await;
                    let created = committed.created.contains(&name);
                    return Ok(self.written(created, &key, document));
                }
            }
        }
        Err(Failure::overtaken())
    }

    /// `POST`: creates a document under an id of the server's choice.
    pub(super) async fn post(
        self: &Arc<Self>,
        address: &Address,
        query: &Query,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let given = object(body::parse(body, "missing configurations")?)?;
        let kind = address.kind;
        if address.id.is_some() || given.contains_key(kind.id_field()) {
            return Err(Failure::bad(format!(
                "wrong {} id, do not need it",
                kind.label()
            )));
        }
        stamp::refuse(&given)?;
        let ttl = ttl(query)?;
        let turn = self.turn(kind).await;
        for _ in 0..ATTEMPTS {
            let key = address.key(&self.next_id().await?)?;
            let mut document = named(&key, given.clone());
            if kind.has_timestamps() {
                stamp::replaced(&mut document, None, stamp::now());
            }
            let document = self.opened(&key, document);
            let judged = self.judge(&key, &document).await?;
            match self.store(&key, judged, Expect::Absent, ttl).await {
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(committed) => {
                    drop(turn);
                    self.settle(committed.revision).await;
                    return Ok(self.written(true, &key, document));
                }
            }
        }
        Err(Failure::overtaken())
    }

    /// `PATCH`: changes a part of a document. A conflict is told, not solved: what the client knew may be wrong now.
    pub(super) async fn patch(
        self: &Arc<Self>,
        address: &Address,
        query: &Query,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let Some(id) = &address.id else {
            return Err(no_id(address.kind));
        };
        let change = body::parse(body, "missing new configuration")?;
        if address.rest.is_empty() && !change.is_object() {
            return Err(Failure::bad("invalid configuration"));
        }
        let ttl = ttl(query)?;
        let key = address.key(id)?;
        let turn = self.turn(key.kind).await;
        let previous = self.find(&key).await?.ok_or_else(Failure::no_key)?;
        let stored: Value = serde_json::from_slice(&previous.value)
            .map_err(|e| Failure::bad(format!("the stored document is not JSON: {e}")))?;
        let mut document = object(stored)?;
        let merged = match change {
            Value::Object(change) if address.rest.is_empty() => {
                patch::merge(&mut document, change.clone());
                Some(change)
            }
            change => {
                patch::replace(&mut document, &address.rest, change)
                    .map_err(|e| Failure::bad(e.to_string()))?;
                None
            }
        };
        if key.kind.has_timestamps() {
            stamp::patched(&mut document, merged.as_ref(), stamp::now());
        }
        if let Some(found) = document.get(key.kind.id_field()) {
            same_id(&key, found)?;
        }
        let document = self.opened(&key, named(&key, document));
        let judged = self.judge(&key, &document).await?;
        let expect = Expect::Modified(previous.modified);
        let committed = self.store(&key, judged, expect, ttl).await?;
        drop(turn);
        self.settle(committed.revision).await;
        Ok(self.written(false, &key, document))
    }

    /// The document with secrets in the clear that came back in the encrypted form in which lists show them.
    fn opened(&self, key: &ResourceKey, document: Map<String, Value>) -> Value {
        let mut document = Value::Object(document);
        self.sealer().open(key, &mut document);
        document
    }

    async fn store(
        &self,
        key: &ResourceKey,
        judged: Judged,
        own: Expect,
        ttl: Option<Duration>,
    ) -> Result<Committed, CommitError> {
        let name = store_key(key).map_err(|e| CommitError::Invalid(e.message()))?;
        let mut transaction = Transaction::of(vec![Write::Put {
            key: name.clone(),
            value: judged.content,
            ttl,
        }]);
        transaction.expect.push((name, own));
        transaction.expect.extend(judged.grounds.expect);
        self.commit(transaction).await
    }

    /// An id that was not given out before: the number of the next revision, or of the one after the last that was
    /// given out.
    async fn next_id(&self) -> Result<String, Failure> {
        let next = self.authority.store().revision().await?.0.saturating_add(1);
        let following = |last: u64| Some(last.saturating_add(1).max(next));
        let last = self
            .numbered
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, following)
            .unwrap_or(next);
        Ok(format!("{:020}", last.saturating_add(1).max(next)))
    }
}

/// The key that path and document agree on.
fn addressed(address: &Address, document: &Map<String, Value>) -> Result<ResourceKey, Failure> {
    let kind = address.kind;
    let inside = document.get(kind.id_field());
    match (&address.id, inside) {
        (Some(id), inside) => {
            let key = address.key(id)?;
            if let Some(inside) = inside {
                same_id(&key, inside)?;
            }
            Ok(key)
        }
        (None, Some(inside)) => match (kind.id_shape(), inside) {
            // The scope must stand in the path, or in the id.
            (IdShape::Credential | IdShape::Secret, Value::String(id)) => address.key(id),
            (shape @ (IdShape::Plain | IdShape::Username), inside) => {
                address.key(Id::from_value(shape, inside)?.as_str())
            }
            _ => Err(no_id(kind)),
        },
        (None, None) if kind.put_needs_id() => Err(no_id(kind)),
        (None, None) => Err(Failure::bad(format!(
            "invalid configuration: property \"{}\" is required",
            kind.id_field()
        ))),
    }
}

/// Whether the id in a document is that of its key; with its scope or without.
fn same_id(key: &ResourceKey, inside: &Value) -> Result<(), Failure> {
    let same = match inside {
        Value::String(text) => text == key.id.leaf() || text == key.id.as_str(),
        other => Id::from_value(key.kind.id_shape(), other).is_ok_and(|id| id == key.id),
    };
    if same {
        return Ok(());
    }
    Err(Failure::bad(match key.kind.id_shape() {
        IdShape::Username => format!("wrong {}", key.kind.id_field()),
        _ => format!("wrong {} id", key.kind.label()),
    }))
}

fn no_id(kind: Kind) -> Failure {
    Failure::bad(match kind {
        Kind::PluginMetadata => "missing plugin name".to_owned(),
        kind => format!("missing {} id", kind.label()),
    })
}

/// The document with its id in it, in the form in which it is stored: without its scope. A consumer has to say its
/// username itself.
pub(super) fn named(key: &ResourceKey, mut document: Map<String, Value>) -> Map<String, Value> {
    if key.kind.id_shape() != IdShape::Username {
        document.insert(key.kind.id_field().to_owned(), key.id.leaf().into());
    }
    document
}

/// How long a document is to live.
fn ttl(query: &Query) -> Result<Option<Duration>, Failure> {
    let Some(text) = query.get("ttl") else {
        return Ok(None);
    };
    let seconds: Option<f64> = text.trim().parse().ok();
    match seconds.filter(|seconds| seconds.is_finite()) {
        None => Err(Failure::bad("invalid argument ttl: should be a number")),
        Some(seconds) => match Duration::try_from_secs_f64(seconds) {
            Ok(ttl) if !ttl.is_zero() => Ok(Some(ttl)),
            _ => Err(Failure::bad(
                "invalid argument ttl: should be greater than 0 and not above a hundred years",
            )),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::admin::path::{Target, segments, target};

    fn at(path: &str, document: Value) -> Result<String, String> {
        let Ok(Target::Resource(address)) = target(&segments(path)) else {
            return Err("no resource".to_owned());
        };
        let document = object(document).unwrap();
        addressed(&address, &document)
            .map(|key| key.to_string())
            .map_err(|failure| failure.message())
    }

    #[test]
    fn path_and_document_agree_on_an_id() {
        for (path, document, key) in [
            ("/routes/1", json!({}), "routes/1"),
            ("/routes/7", json!({"id": 7}), "routes/7"),
            ("/routes", json!({"id": "7"}), "routes/7"),
            ("/consumers", json!({"username": "jack"}), "consumers/jack"),
            (
                "/consumers/jack",
                json!({"username": "jack"}),
                "consumers/jack",
            ),
            ("/secrets/vault/1", json!({"id": "1"}), "secrets/vault/1"),
            (
                "/secrets/vault/1",
                json!({"id": "vault/1"}),
                "secrets/vault/1",
            ),
            (
                "/consumers/jack/credentials/a",
                json!({"id": "jack/credentials/a"}),
                "consumers/jack/credentials/a",
            ),
        ] {
            assert_eq!(at(path, document).unwrap(), key);
        }
        for (path, document, said) in [
            ("/routes/1", json!({"id": "2"}), "wrong route id"),
            ("/routes/1", json!({"id": true}), "wrong route id"),
            ("/routes", json!({}), "missing route id"),
            ("/consumer_groups", json!({}), "missing consumer group id"),
            ("/plugin_metadata", json!({}), "missing plugin name"),
            (
                "/consumers/jill",
                json!({"username": "jack"}),
                "wrong username",
            ),
            (
                "/consumers",
                json!({}),
                "invalid configuration: property \"username\" is required",
            ),
            ("/secrets/vault", json!({}), "missing secret id"),
        ] {
            assert_eq!(at(path, document).unwrap_err(), said, "{path}");
        }
        for id in ["a b", "", &"x".repeat(65)] {
            assert!(at("/routes", json!({"id": id})).is_err(), "{id:?}");
        }
    }

    #[test]
    fn a_time_to_live_is_a_number_of_seconds() {
        let of = |text: &str| ttl(&Query::parse(text)).map_err(|failure| failure.message());
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("ttl=1"), Ok(Some(Duration::from_secs(1))));
        assert_eq!(of("ttl=0.5"), Ok(Some(Duration::from_millis(500))));
        for text in ["ttl=soon", "ttl=", "ttl=NaN", "ttl=inf"] {
            let said = "invalid argument ttl: should be a number".to_owned();
            assert_eq!(of(text), Err(said), "{text}");
        }
        assert!(of("ttl=0").is_err() && of("ttl=-1").is_err() && of("ttl=1e300").is_err());
    }
}
