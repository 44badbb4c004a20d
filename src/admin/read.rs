//! GET of one document.

use axum::http::StatusCode;
use serde_json::Value;

use super::{Admin, Role, answer::Answer, error::Failure, path::Address};

impl Admin {
    /// One document with its place in the order of changes. Only an administrator gets its secrets in the clear.
    pub(super) async fn read(
        &self,
        address: &Address,
        id: &str,
        role: Role,
    ) -> Result<Answer, Failure> {
        let key = address.key(id)?;
        let entry = self.find(&key).await?.ok_or_else(Failure::no_key)?;
        let document: Value = serde_json::from_slice(&entry.value).map_err(|error| {
            // Somebody else has written it: nothing here stores what is no JSON.
            tracing::error!(%key, %error, "a stored document is not JSON");
            Failure::no_key()
        })?;
        let document = match role {
            Role::Admin => document,
            Role::Viewer => self.veiled(&entry, document),
        };
        let item = self.item(key.kind, &entry, document);
        Ok(Answer::json(StatusCode::OK, &item))
    }
}
