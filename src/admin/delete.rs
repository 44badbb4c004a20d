//! DELETE of one document, with what lives below it, unless others still refer to it.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, answer::Answer, error::Failure, path::Address, query::Query, store_key};
use crate::{
    model::{Kind, ResourceKey, references},
    store::{CommitError, Expect, Transaction, Write},
};

impl Admin {
    /// Deletes a document. `?force=true` asks nobody.
    pub(super) async fn delete(&self, address: &Address, query: &Query) -> Result<Answer, Failure> {
        let Some(id) = &address.id else {
            return Err(Failure::bad(match address.kind {
                Kind::PluginMetadata => "missing plugin name".to_owned(),
                kind => format!("missing {} id", kind.label()),
            }));
        };
        let key = address.key(id)?;
        let name = store_key(&key)?;
        let forced = query.get("force") == Some("true");
        let guarded = !key.kind.guards().is_empty() && !forced;
        // A guarded document goes when nobody writes: else a reference to it could come in after the look at all others.
        let turn = if guarded {
            self.alone().await
        } else {
            self.turn(key.kind).await
        };
        if guarded && let Some(guard) = self.guard(&key) {
            return Err(Failure::bad(guard));
        }
        let mut transaction =
            Transaction::delete(name.clone()).expecting(name.clone(), Expect::Present);
        for below in self.below(&key).await? {
            transaction.writes.push(Write::Delete { key: below });
        }
        let committed = self
            .commit(transaction)
            .await
            .map_err(|error| match error {
                CommitError::Conflict { found: None, .. } => Failure::no_key(),
                error => error.into(),
            })?;
        drop(turn);
        self.settle(committed.revision).await;
        let body = json!({"deleted": "1", "key": self.shown_key(name.as_str())});
        Ok(Answer::json(StatusCode::OK, &body))
    }

    /// The documents that live below one, and go with it.
    async fn below(&self, key: &ResourceKey) -> Result<Vec<crate::store::Key>, Failure> {
        if !Kind::ALL.iter().any(|kind| kind.owner() == Some(key.kind)) {
            return Ok(Vec::new());
        }
        let contents = self.authority.store().list(&format!("{key}/")).await?;
        Ok(contents.entries.into_iter().map(|e| e.key).collect())
    }

    /// Who keeps a document from being deleted, as APISIX says it.
    fn guard(&self, key: &ResourceKey) -> Option<String> {
        let state = self.authority.state();
        let referrers = state.referrers(key);
        key.kind.guards().iter().find_map(|guard| {
            let mut of_kind = referrers.iter().filter(|referrer| referrer.kind == *guard);
            let referrer = of_kind.next()?;
            let document = state
                .document(referrer)
                .and_then(|content| serde_json::from_slice::<Value>(content).ok())
                .unwrap_or_default();
            let by_plugin = !references(*guard, &document)
                .iter()
                .any(|r| r.kind == key.kind && r.id == key.id && !r.path.starts_with("/plugins/"));
            Some(in_use(key.kind, referrer, by_plugin))
        })
    }
}

fn in_use(kind: Kind, referrer: &ResourceKey, by_plugin: bool) -> String {
    let directly = match kind {
        Kind::Service | Kind::StreamRoute => " directly",
        _ => "",
    };
    let who = match (kind, referrer.kind) {
        (Kind::Upstream, other) if by_plugin => format!("plugin in {}", other.singular()),
        (Kind::StreamRoute, Kind::StreamRoute) => "subordinate route".to_owned(),
        (_, other) => other.singular().to_owned(),
    };
    format!(
        "can not delete this {}{directly}, {who} [{}] is still using it now",
        kind.label(),
        referrer.id
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_one_who_uses_it_is_named_as_apisix_names_it() {
        let said = |kind: Kind, referrer: &str, by_plugin: bool| {
            in_use(kind, &referrer.parse().unwrap(), by_plugin)
        };
        for (text, expected) in [
            (
                said(Kind::Upstream, "routes/1", false),
                "can not delete this upstream, route [1] is still using it now",
            ),
            (
                said(Kind::Upstream, "plugin_configs/1", true),
                "can not delete this upstream, plugin in plugin_config [1] is still using it now",
            ),
            (
                said(Kind::Service, "stream_routes/1", false),
                "can not delete this service directly, stream_route [1] is still using it now",
            ),
            (
                said(Kind::ConsumerGroup, "consumers/jack", false),
                "can not delete this consumer group, consumer [jack] is still using it now",
            ),
            (
                said(Kind::StreamRoute, "stream_routes/2", false),
                "can not delete this stream route directly, subordinate route [2] is still using it now",
            ),
        ] {
            assert_eq!(text, expected);
        }
    }
}
