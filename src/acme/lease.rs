//! Who orders a certificate: one gateway at a time. A lease is a document that its holder renews and the store deletes when it
//! does not, so that a gateway which is gone holds nobody up for long.

use super::{
    Trouble,
    ledger::{LEASES, key, put},
};
use crate::store::{CommitError, Expect, Key, Revision, Store, Transaction};
use serde::Serialize;
use std::{sync::Arc, time::Duration};

/// A lease ends so long after its holder was heard of last.
pub(super) const TERM: Duration = Duration::from_secs(60);
/// Its holder is heard of so often.
const RENEWED: Duration = Duration::from_secs(20);

/// The right to order one certificate.
pub(super) struct Lease {
    store: Arc<dyn Store>,
    key: Key,
    holder: Holder,
    seen: Revision,
}

/// Who holds it, for whoever looks into the store.
#[derive(Clone, Serialize)]
struct Holder {
    host: String,
    process: u32,
}

impl Lease {
    /// Takes the lease of a certificate; `None` when another gateway has it.
    pub(super) async fn take(store: &Arc<dyn Store>, id: &str) -> Result<Option<Self>, Trouble> {
        let mut lease = Self {
            store: store.clone(),
            key: key(LEASES, id)?,
            holder: Holder {
                host: crate::observe::host::hostname().to_owned(),
                process: std::process::id(),
            },
            seen: Revision::default(),
        };
        match lease.write(Expect::Absent).await {
            Ok(()) => Ok(Some(lease)),
            Err(CommitError::Conflict { .. }) => Ok(None),
            Err(error) => Err(Trouble::own(error)),
        }
    }

    /// Does the work while the lease is renewed. When it cannot be, the work is given up: another gateway may begin it.
    pub(super) async fn hold<T>(
        &mut self,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        tokio::pin!(work);
        let mut period = tokio::time::interval(RENEWED);
        period.tick().await;
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = period.tick() => {
                    let renewed = self.write(Expect::Modified(self.seen)).await;
                    renewed.map_err(|e| Trouble::Own(format!("given up, as it is not known who orders: {e}")))?;
                }
            }
        }
    }

    /// Gives it back. Where that fails it ends by itself.
    pub(super) async fn release(self) {
        let delete = Transaction::delete(self.key.clone())
            .expecting(self.key.clone(), Expect::Modified(self.seen));
        if let Err(error) = self.store.commit(delete).await {
            tracing::debug!(lease = %self.key, %error, "a lease could not be given back");
        }
    }

    async fn write(&mut self, expect: Expect) -> Result<(), CommitError> {
        let write = put(self.key.clone(), &self.holder, Some(TERM));
        let write = write.map_err(|e| CommitError::Invalid(e.to_string()))?;
        let put = Transaction::of(vec![write]).expecting(self.key.clone(), expect);
        self.seen = self.store.commit(put).await?.revision;
        Ok(())
    }
}
