//! Whether what a document refers to exists, in the store and not only in the configuration that serves.

use axum::http::StatusCode;
use serde_json::Value;

use super::{Admin, error::Failure, store_key};
use crate::{
    model::{Kind, Reference, ResourceKey, references},
    store::{Entry, Expect, Key, Revision},
};

/// What a document builds on.
#[derive(Default)]
pub(super) struct Grounds {
    /// What has to be there still when the document is stored.
    pub(super) expect: Vec<(Key, Expect)>,
    /// The newest revision of all that it builds on.
    pub(super) newest: Revision,
}

impl Grounds {
    fn stand_on(&mut self, entry: Entry) {
        self.newest = self.newest.max(entry.modified);
        if !self.expect.iter().any(|(key, _)| *key == entry.key) {
            self.expect.push((entry.key, Expect::Present));
        }
    }
}

impl Admin {
    /// Looks up what a document's fields refer to, and the document that it lives below.
    ///
    /// # Errors
    /// 404 for a credential without its consumer, 400 for everything else that is not there.
    pub(super) async fn grounds(
        &self,
        key: &ResourceKey,
        document: &Value,
    ) -> Result<Grounds, Failure> {
        let mut grounds = Grounds::default();
        if let Some(owner) = key.owner() {
            match self.find(&owner).await? {
                Some(entry) => grounds.stand_on(entry),
                None => {
                    let message = format!("{} not found", owner.kind.label());
                    return Err(Failure::new(StatusCode::NOT_FOUND, message));
                }
            }
        }
        let (of_plugins, of_fields) = split(key.kind, document);
        for reference in of_fields {
            let Some(entry) = self.find(&key_of(&reference)).await? else {
                return Err(missing(&reference));
            };
            fits(&reference, document, &entry)?;
            grounds.stand_on(entry);
        }
        // What plugins refer to is looked up early, so that they are judged with it, and missed later, by `plugins`.
        for reference in of_plugins {
            if let Some(entry) = self.find(&key_of(&reference)).await? {
                grounds.stand_on(entry);
            }
        }
        Ok(grounds)
    }

    /// Looks up what a document's plugins refer to, once their configurations are known to be sound.
    ///
    /// # Errors
    /// 400 for what is not there.
    pub(super) async fn plugin_grounds(
        &self,
        kind: Kind,
        document: &Value,
        grounds: &mut Grounds,
    ) -> Result<(), Failure> {
        for reference in split(kind, document).0 {
            match self.find(&key_of(&reference)).await? {
                Some(entry) => grounds.stand_on(entry),
                None => return Err(missing(&reference)),
            }
        }
        Ok(())
    }

    /// A document of the store.
    pub(super) async fn find(&self, key: &ResourceKey) -> Result<Option<Entry>, Failure> {
        Ok(self.authority.store().get(&store_key(key)?).await?)
    }
}

fn key_of(reference: &Reference) -> ResourceKey {
    ResourceKey {
        kind: reference.kind,
        id: reference.id.clone(),
    }
}

/// References of plugins, but for those that are switched off and may be unfinished; and references of fields. An
/// upstream that is named beside others is looked up once for each place.
fn split(kind: Kind, document: &Value) -> (Vec<Reference>, Vec<Reference>) {
    let all = references(kind, document).into_iter();
    let (of_plugins, of_fields): (Vec<_>, Vec<_>) =
        all.partition(|reference| reference.path.starts_with("/plugins/"));
    let running = |reference: &Reference| {
        let name = reference.path.split('/').nth(2).unwrap_or_default();
        let off = document.pointer(&format!("/plugins/{name}/_meta/disable"));
        off != Some(&Value::Bool(true))
    };
    (of_plugins.into_iter().filter(running).collect(), of_fields)
}

fn missing(reference: &Reference) -> Failure {
    Failure::bad(reference.missing())
}

/// Rules between a document and what it refers to.
fn fits(reference: &Reference, document: &Value, entry: &Entry) -> Result<(), Failure> {
    let other = || serde_json::from_slice::<Value>(&entry.value).unwrap_or_default();
    match reference.kind {
        Kind::Ssl if other().get("type").and_then(Value::as_str) != Some("client") => {
            Err(Failure::bad("wrong ssl type"))
        }
        Kind::StreamRoute => {
            let id = &reference.id;
            let other = other();
            let Some(theirs) = other.pointer("/protocol/name").and_then(Value::as_str) else {
                return Err(Failure::bad(format!(
                    "superior stream route [{id}] does not have a valid protocol configuration"
                )));
            };
            let name = document.pointer("/protocol/name").and_then(Value::as_str);
            let name = name.unwrap_or_default();
            if name == theirs {
                return Ok(());
            }
            Err(Failure::bad(format!(
                "protocol name mismatch: subordinate route has protocol [{name}] but superior route [{id}] has \
                 protocol [{theirs}]"
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plugin_that_is_switched_off_refers_to_nothing() {
        let plugin = |disable: bool| json!({"upstream_id": "1", "plugins": {"grpc-transcode": {"proto_id": "p", "_meta": {"disable": disable}}}});
        assert_eq!(split(Kind::Route, &plugin(true)).0, []);
        let (of_plugins, of_fields) = split(Kind::Route, &plugin(false));
        assert_eq!((of_plugins.len(), of_fields.len()), (1, 1));
    }

    #[test]
    fn what_is_missing_is_named_as_apisix_names_it() {
        let of = |kind: Kind, document: Value| {
            let found = references(kind, &document);
            found.first().map(|reference| missing(reference).message())
        };
        let said = |what: &str, by: &str| {
            Some(format!(
                "failed to fetch {what} info by {by} id [9], response code: 404"
            ))
        };
        let group = of(Kind::Consumer, json!({"group_id": 9}));
        assert_eq!(group, said("consumer group", "consumer group"));
        let superior = of(Kind::StreamRoute, json!({"protocol": {"superior_id": "9"}}));
        assert_eq!(superior, said("superior stream route", "superior"));
    }
}
