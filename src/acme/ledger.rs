//! The room's own documents in the store: the account, what was tried, and proofs that are awaited.

use super::{Challenge, Time, Trouble, digest, schedule::Attempts};
use crate::{
    secret::Sealer,
    store::{CommitError, Event, Expect, Key, Revision, Store, Transaction, WatchError, Write},
};
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{sync::Arc, time::Duration};

/// What was tried is forgotten so long after the last time.
const ATTEMPTS_KEPT: Duration = Duration::from_secs(30 * 86_400);
/// A proof that nobody takes back (its gateway is gone) is forgotten then. No authority waits longer.
const PROOF_KEPT: Duration = Duration::from_secs(900);
/// Below it lie proofs.
pub(super) const PROOFS: &str = "proofs/";
/// Below it lie leases.
pub(super) const LEASES: &str = "leases/";

/// Reads and writes the room's own documents.
pub struct Ledger {
    pub(super) store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
}

/// An account as it lies in the store.
#[derive(Serialize, Deserialize)]
struct Account {
    directory: String,
    created: Time,
    /// Its address and private key; encrypted when encryption at rest is on.
    credentials: String,
}

/// An answer that an authority is expected to ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Proof {
    pub(super) challenge: Challenge,
    /// What is proven.
    pub(super) name: String,
    pub(super) token: String,
    /// RFC 8555 §8.1.
    pub(super) key_authorization: String,
}

impl Ledger {
    /// Over the group [`GROUP`](super::GROUP) of the store; `sealer` encrypts the account's key.
    pub fn new(store: Arc<dyn Store>, sealer: Arc<Sealer>) -> Self {
        Self { store, sealer }
    }

    /// The credentials of the account with the authority of this directory.
    pub(super) async fn account(
        &self,
        directory: &str,
    ) -> Result<Option<(String, Revision)>, Trouble> {
        let key = account_key(directory)?;
        let Some((account, revision)) = self.get::<Account>(&key).await? else {
            return Ok(None);
        };
        let opened = self.sealer.open_text(account.credentials);
        let opened = opened.ok_or_else(|| {
            Trouble::own("the key of the account is encrypted with a key that is not in data_encryption.keyring")
        })?;
        Ok(Some((opened, revision)))
    }

    /// Keeps the credentials of a new account. `false`: another gateway was faster, and its account counts.
    pub(super) async fn keep_account(
        &self,
        directory: &str,
        credentials: &str,
        now: Time,
    ) -> Result<bool, Trouble> {
        let sealed = self.sealer.seal_text(credentials);
        let account = Account {
            directory: directory.to_owned(),
            created: now,
            credentials: sealed.ok_or_else(|| Trouble::own("the account cannot be encrypted"))?,
        };
        let key = account_key(directory)?;
        let put = Transaction::of(vec![put(key.clone(), &account, None)?]);
        self.won(put.expecting(key, Expect::Absent)).await
    }

    /// Forgets an account that the authority does not know.
    pub(super) async fn forget_account(
        &self,
        directory: &str,
        seen: Revision,
    ) -> Result<(), Trouble> {
        let key = account_key(directory)?;
        let delete = Transaction::delete(key.clone()).expecting(key, Expect::Modified(seen));
        self.won(delete).await.map(drop)
    }

    /// What was tried for a certificate.
    pub(super) async fn attempts(&self, id: &str) -> Result<Attempts, Trouble> {
        let kept = self.get(&attempts_key(id)?).await?;
        Ok(kept.map(|(attempts, _)| attempts).unwrap_or_default())
    }

    /// Keeps what was tried. Whoever has the lease writes.
    pub(super) async fn keep_attempts(&self, id: &str, attempts: &Attempts) -> Result<(), Trouble> {
        let write = put(attempts_key(id)?, attempts, Some(ATTEMPTS_KEPT))?;
        self.commit(Transaction::of(vec![write])).await.map(drop)
    }

    /// Has all gateways know these proofs.
    pub(super) async fn show(&self, proofs: &[Proof]) -> Result<(), Trouble> {
        let writes = proofs
            .iter()
            .map(|proof| put(proof_key(&proof.token)?, proof, Some(PROOF_KEPT)));
        let writes: Result<Vec<_>, _> = writes.collect();
        self.commit(Transaction::of(writes?)).await.map(drop)
    }

    /// Takes proofs back.
    pub(super) async fn hide(&self, proofs: &[Proof]) -> Result<(), Trouble> {
        let delete = |proof: &Proof| {
            let key = proof_key(&proof.token)?;
            Ok(Write::Delete { key })
        };
        let writes: Result<Vec<_>, Trouble> = proofs.iter().map(delete).collect();
        self.commit(Transaction::of(writes?)).await.map(drop)
    }

    /// All proofs that are awaited, and as of when.
    pub(super) async fn proofs(&self) -> Result<(Vec<Proof>, Revision), Trouble> {
        let contents = self.store.list(PROOFS).await.map_err(Trouble::own)?;
        let read = |entry: &crate::store::Entry| serde_json::from_slice(&entry.value).ok();
        let proofs = contents.entries.iter().filter_map(read).collect();
        Ok((proofs, contents.revision))
    }

    /// What happens to the room's documents from here on.
    pub(super) fn watch(&self, from: Revision) -> BoxStream<'static, Result<Event, WatchError>> {
        self.store.watch(from)
    }

    async fn get<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<(T, Revision)>, Trouble> {
        let Some(entry) = self.store.get(key).await.map_err(Trouble::own)? else {
            return Ok(None);
        };
        let document = serde_json::from_slice(&entry.value);
        let document = document.map_err(|e| Trouble::own(format_args!("{key}: {e}")))?;
        Ok(Some((document, entry.modified)))
    }

    /// Commits; `false` when what it expects does not hold.
    async fn won(&self, transaction: Transaction) -> Result<bool, Trouble> {
        match self.store.commit(transaction).await {
            Ok(_) => Ok(true),
            Err(CommitError::Conflict { .. }) => Ok(false),
            Err(error) => Err(Trouble::own(error)),
        }
    }

    async fn commit(&self, transaction: Transaction) -> Result<(), Trouble> {
        if transaction.writes.is_empty() {
            return Ok(());
        }
        let done = self.store.commit(transaction).await;
        done.map(drop).map_err(Trouble::own)
    }
}

pub(super) fn put(
    key: Key,
    document: &impl Serialize,
    ttl: Option<Duration>,
) -> Result<Write, Trouble> {
    let value = serde_json::to_vec(document).map_err(Trouble::own)?.into();
    Ok(Write::Put { key, value, ttl })
}

fn account_key(directory: &str) -> Result<Key, Trouble> {
    key("accounts/", &digest(directory))
}

fn attempts_key(id: &str) -> Result<Key, Trouble> {
    key("attempts/", id)
}

fn proof_key(token: &str) -> Result<Key, Trouble> {
    key(PROOFS, token)
}

pub(super) fn key(prefix: &str, name: &str) -> Result<Key, Trouble> {
    Key::new(&format!("{prefix}{name}")).map_err(Trouble::own)
}
