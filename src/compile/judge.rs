//! Whether documents can be taken: one by itself, one among all others, and all as they stand.

use super::{Refusal, State, secrets};
use crate::model::{self, Kind, ResourceKey};
use bytes::Bytes;
use serde_json::Value;

impl State {
    /// Whether this document would be taken, given all others: what the Admin API asks before it stores one.
    ///
    /// # Errors
    /// The first refusal, of this document or of one that depends on it. What is refused already, whatever becomes of this
    /// document, does not count.
    pub fn trial(&self, key: &ResourceKey, content: Bytes) -> Result<(), Refusal> {
        let mut tried = self.clone();
        let mut refusals = tried.apply(self.revision, vec![(key.clone(), Some(content))]);
        refusals.extend(tried.hopeless_secrets(key));
        if refusals.is_empty() {
            return Ok(());
        }
        let as_it_is = vec![(key.clone(), self.documents.get(key).cloned())];
        let before = self.clone().apply(self.revision, as_it_is);
        let mut new = refusals
            .into_iter()
            .filter(|r| r.key == *key || !before.contains(r));
        new.next().map_or(Ok(()), Err)
    }

    /// References to documents that do not exist. A store that takes single writes keeps them from arising, and a forced
    /// delete may leave them on purpose; in a file they are mistakes. So are references to secrets that nothing can resolve.
    pub fn dangling(&self) -> Vec<Refusal> {
        let exists = |key: &ResourceKey| self.documents.contains_key(key);
        let mut refusals = self.all_hopeless_secrets();
        for key in self.dependents.dangling(exists) {
            let document = self
                .documents
                .get(&key)
                .and_then(|d| serde_json::from_slice::<Value>(d).ok());
            let references = model::references(key.kind, &document.unwrap_or_default());
            let gone = |r: &model::Reference| {
                !exists(&ResourceKey {
                    kind: r.kind,
                    id: r.id.clone(),
                })
            };
            let missing = references.iter().filter(|r| gone(r));
            refusals.extend(missing.map(|r| Refusal::new(&key, &r.path, r.missing())));
            if key.owner().is_some_and(|owner| !exists(&owner)) {
                refusals.push(Refusal::new(&key, "", "consumer not found".to_owned()));
            }
        }
        refusals
    }

    /// The typed model of a stored document; `None` when it was deleted.
    pub(super) fn decode<T: serde::de::DeserializeOwned>(
        &self,
        key: &ResourceKey,
    ) -> Result<Option<(T, Value)>, Refusal> {
        let Some(content) = self.documents.get(key) else {
            return Ok(None);
        };
        let document: Value = serde_json::from_slice(content)
            .map_err(|e| Refusal::new(key, "", format!("it is not JSON: {e}")))?;
        unsealed(key, content, &document)?;
        let decoded =
            model::checked(key.kind, &document).map_err(|p| Refusal::of_problem(key, p))?;
        Ok(Some((decoded, document)))
    }

    pub(super) fn judge(&self, key: &ResourceKey) -> Result<(), Refusal> {
        let Some(content) = self.documents.get(key) else {
            return Ok(());
        };
        let document: Value = serde_json::from_slice(content)
            .map_err(|e| Refusal::new(key, "", format!("it is not JSON: {e}")))?;
        unsealed(key, content, &document)?;
        model::check(key.kind, &document).map_err(|p| Refusal::of_problem(key, p))?;
        if key.kind == Kind::Secret {
            secrets::judge_manager(&document).map_err(|(path, why)| {
                let message = format!("invalid configuration: {why} (at {path})");
                Refusal::new(key, path, message)
            })?;
        }
        Ok(())
    }
}

/// What is encrypted and was not opened must not serve as if it were the secret.
fn unsealed(key: &ResourceKey, content: &Bytes, document: &Value) -> Result<(), Refusal> {
    match crate::secret::sealed_place(content, document) {
        None => Ok(()),
        Some(path) => Err(Refusal::new(
            key,
            &path,
            format!(
                "it is encrypted, and neither a key of data_encryption.keyring nor that of lists opens it (at {path})"
            ),
        )),
    }
}
