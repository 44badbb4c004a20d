//! The certificates as `ssls` documents: which of them are ours, which serve, and how a new one takes its place. What an operator
//! wrote is never touched.

use super::{Time, Trouble, Wanted, ledger::key, order::Issued};
use crate::{
    model::{self, Kind},
    store::{CommitError, Expect, Key, Revision, Store, Transaction},
    tls::{self, Pair},
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, sync::Arc};

/// Below it lie `ssls` documents.
pub(super) const SSLS: &str = "ssls/";
/// The label that tells our documents, and what it says.
const MANAGED_BY: (&str, &str) = ("managed-by", "acme");
/// The label that tells where one is from.
const DIRECTORY: &str = "acme-directory";
/// So often a document is put in its place that changes at the same time.
const TRIES: usize = 4;

/// Reads and writes `ssls` documents.
pub(super) struct Shelf {
    pub(super) documents: Arc<dyn Store>,
}

/// A document, as far as it matters here.
pub(super) struct Kept {
    key: Key,
    modified: Revision,
    /// The names that it serves.
    names: BTreeSet<String>,
    /// Whether it is shown to clients.
    serves: bool,
    ours: Option<Ours>,
}

/// What there is about one of ours.
struct Ours {
    directory: String,
    /// From when to when it is valid; `None`: it cannot be used.
    validity: Option<(Time, Time)>,
    document: Map<String, Value>,
}

/// What there is for a certificate that is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// None that could be used.
    Nothing,
    /// One that is valid from then to then.
    Certificate(Time, Time),
    /// A document that an operator wrote has a name of it.
    Held(String),
}

impl Shelf {
    /// All documents.
    pub(super) async fn look(&self) -> Result<Vec<Kept>, Trouble> {
        let contents = self.documents.list(SSLS).await.map_err(Trouble::own)?;
        let kept = contents.entries.into_iter().filter_map(|entry| {
            let document = serde_json::from_slice(&entry.value).ok()?;
            Some(Kept::new(entry.key, entry.modified, document))
        });
        Ok(kept.collect())
    }

    /// Puts a certificate in its place.
    pub(super) async fn place(
        &self,
        wanted: &Wanted,
        directory: &str,
        issued: &Issued,
        now: Time,
    ) -> Result<(), Trouble> {
        let key = key(SSLS, &wanted.id)?;
        for _ in 0..TRIES {
            let all = self.look().await?;
            let before = all.into_iter().find(|kept| kept.key == key);
            let (document, expect) = match before {
                None => (Map::new(), Expect::Absent),
                Some(Kept {
                    ours: Some(ours),
                    modified,
                    ..
                }) => (ours.document, Expect::Modified(modified)),
                Some(_) => {
                    return Err(Trouble::own(format_args!(
                        "{key} was written by hand and is left as it is"
                    )));
                }
            };
            let document = Value::Object(fill(document, wanted, directory, issued, now));
            if let Err(problem) = model::check(Kind::Ssl, &document) {
                return Err(Trouble::own(format_args!(
                    "what was issued makes no ssl: {problem}"
                )));
            }
            let put = Transaction::put(key.clone(), document.to_string());
            match self
                .documents
                .commit(put.expecting(key.clone(), expect))
                .await
            {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(Trouble::own(error)),
            }
        }
        Err(Trouble::own(format_args!("{key} changes all the time")))
    }

    /// Deletes ours that nothing wants any more and whose names others of ours have.
    pub(super) async fn clear(&self, all: &[Kept], wanted: &[Wanted]) -> Result<(), Trouble> {
        for kept in all.iter().filter(|kept| kept.is_superseded(all, wanted)) {
            let expect = Expect::Modified(kept.modified);
            let delete = Transaction::delete(kept.key.clone()).expecting(kept.key.clone(), expect);
            match self.documents.commit(delete).await {
                Ok(_) => {
                    tracing::info!(key = %kept.key, "a certificate was replaced by others and deleted")
                }
                Err(CommitError::Conflict { .. }) => {}
                Err(error) => return Err(Trouble::own(error)),
            }
        }
        Ok(())
    }
}

/// What there is for a certificate.
pub(super) fn find(all: &[Kept], wanted: &Wanted, directory: &str) -> Found {
    let own = format!("{SSLS}{}", wanted.id);
    let has = |kept: &Kept| wanted.names.iter().any(|name| kept.names.contains(name));
    let by_hand = |kept: &&Kept| {
        kept.ours.is_none() && (kept.key.as_str() == own || (kept.serves && has(kept)))
    };
    if let Some(kept) = all.iter().find(by_hand) {
        return Found::Held(kept.key.to_string());
    }
    let usable = all.iter().filter_map(|kept| {
        let ours = kept.ours.as_ref().filter(|o| o.directory == directory)?;
        let all_names = wanted.names.iter().all(|name| kept.names.contains(name));
        let validity = ours.validity.filter(|_| all_names)?;
        Some((kept.key.as_str() == own, validity))
    });
    // One with more names serves as well, but not better than the one that is wanted.
    match usable.max_by_key(|(is_own, _)| *is_own) {
        Some((_, (from, to))) => Found::Certificate(from, to),
        None => Found::Nothing,
    }
}

impl Kept {
    fn new(key: Key, modified: Revision, document: Map<String, Value>) -> Self {
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        let several = document.get("snis").and_then(Value::as_array);
        let names = several.into_iter().flatten().filter_map(Value::as_str);
        let names = names.chain(text("sni")).map(|n| tls::normal(n).into());
        let names = names.collect();
        let off = document.get("status").is_some_and(|status| *status == 0);
        let serves = !off && text("type").is_none_or(|kind| kind == "server");
        let label = |name: &str| document.get("labels")?.get(name)?.as_str();
        let ours = (label(MANAGED_BY.0) == Some(MANAGED_BY.1)).then(|| {
            let (cert, key) = (text("cert").unwrap_or(""), text("key").unwrap_or(""));
            Ours {
                directory: label(DIRECTORY).unwrap_or_default().to_owned(),
                validity: Pair::from_pem(cert, key)
                    .ok()
                    .and_then(|pair| pair.validity()),
                document: document.clone(),
            }
        });
        Self {
            names,
            serves,
            ours,
            key,
            modified,
        }
    }

    fn is_superseded(&self, all: &[Self], wanted: &[Wanted]) -> bool {
        let is_wanted = |kept: &Self| {
            let id = kept.key.as_str().strip_prefix(SSLS);
            wanted.iter().any(|w| Some(w.id.as_str()) == id)
        };
        let stands_in = |kept: &&Self| {
            let usable = kept.ours.as_ref().is_some_and(|o| o.validity.is_some());
            usable && kept.serves && is_wanted(kept)
        };
        let others: Vec<&Self> = all.iter().filter(stands_in).collect();
        self.ours.is_some()
            && !is_wanted(self)
            && self
                .names
                .iter()
                .all(|name| others.iter().any(|other| other.names.contains(name)))
    }
}

/// The document with a new certificate. What an operator added to it (versions, the verification of clients, …) stays.
fn fill(
    mut document: Map<String, Value>,
    wanted: &Wanted,
    directory: &str,
    issued: &Issued,
    now: Time,
) -> Map<String, Value> {
    for other in ["sni", "certs", "keys"] {
        document.remove(other);
    }
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    set("id", json!(wanted.id));
    set("snis", json!(wanted.names));
    set("cert", json!(issued.chain));
    set("key", json!(issued.key));
    set("update_time", json!(now));
    document.entry("create_time").or_insert_with(|| json!(now));
    document.entry("desc").or_insert_with(|| {
        json!("Ordered and renewed by the gateway (acme). Without the label managed-by it is yours and left alone.")
    });
    let labels = document.entry("labels").or_insert_with(|| json!({}));
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(MANAGED_BY.0.to_owned(), json!(MANAGED_BY.1));
        labels.insert(DIRECTORY.to_owned(), json!(directory));
    }
    document
}
