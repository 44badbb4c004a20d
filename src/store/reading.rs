//! Documents on their way out of a store, in portions, so that a start with very many does not hold
//! them twice.

use futures::stream::{self, BoxStream, StreamExt};

use super::{Contents, Entry, Revision, StoreError};

/// Documents as of one revision, in key order.
pub struct Reading {
    /// The newest revision of the store when the reading began: watch from here.
    pub revision: Revision,
    /// Some hundred documents at a time. Drop it to stop early. A database keeps a read transaction
    /// open meanwhile.
    pub portions: BoxStream<'static, Result<Vec<Entry>, StoreError>>,
}

impl Reading {
    /// A reading of what is in memory anyway.
    pub(super) fn of(contents: Contents) -> Self {
        Self {
            revision: contents.revision,
            portions: stream::iter([Ok(contents.entries)]).boxed(),
        }
    }

    /// Waits for all of it.
    ///
    /// # Errors
    /// That of the first portion that could not be read.
    pub async fn collect(mut self) -> Result<Contents, StoreError> {
        let mut entries = Vec::new();
        while let Some(portion) = self.portions.next().await {
            entries.extend(portion?);
        }
        Ok(Contents {
            revision: self.revision,
            entries,
        })
    }
}
