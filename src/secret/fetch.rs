//! One question to one manager.

use super::{environment::variable, keeper::Wanted, vault};
use crate::model::{Secret, SecretReference};
use crossway_sdk::client::Client;
use std::{borrow::Cow, time::Duration};

/// So many bytes of an answer are read at most.
pub(super) const MAX_ANSWER: usize = 1 << 20;
/// A secret has so many bytes at most.
const MAX_VALUE: usize = 1 << 16;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The manager was asked and has none.
    Gone(String),
    /// The manager gives no answer that counts; what it said last holds on.
    Unreachable(String),
}

/// Asks the manager.
pub(super) async fn fetch(
    client: &Client,
    wanted: &Wanted,
    timeout: Duration,
) -> Result<String, Trouble> {
    let manager = serde_json::from_slice::<Secret>(&wanted.manager)
        .map_err(|_| Trouble::Unreachable("the manager's document cannot be read".to_owned()))?;
    let value = match &manager {
        Secret::Vault(vault) => vault::fetch(client, vault, wanted, timeout).await?,
        Secret::Aws(_) | Secret::Gcp(_) => {
            return Err(Trouble::Gone("only Vault is asked for secrets".to_owned()));
        }
    };
    match value.len() {
        0..=MAX_VALUE => Ok(value),
        _ => Err(Trouble::Gone(format!("it has more than {MAX_VALUE} bytes"))),
    }
}

/// A text of a manager's own document, which may refer to the environment.
pub(super) fn own(text: &str) -> Result<Cow<'_, str>, Trouble> {
    let unusable = |why: String| Trouble::Unreachable(format!("the manager's document: {why}"));
    match SecretReference::parse(text) {
        None => Ok(Cow::Borrowed(text)),
        Some(Ok(SecretReference::Environment { name, within })) => {
            variable(&name, &within).map(Cow::Owned).map_err(unusable)
        }
        Some(Ok(SecretReference::Managed { .. })) => {
            Err(unusable("it may refer to the environment alone".to_owned()))
        }
        Some(Err(bad)) => Err(unusable(bad.to_string())),
    }
}
