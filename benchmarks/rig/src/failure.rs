//! Why a measurement could not be made.

use std::io;

/// What went wrong, for the person at the terminal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
    #[error("{0}")]
    Said(String),
    #[error("stopped")]
    Stopped,
}

impl Failure {
    /// A failure in our own words.
    pub(crate) fn said(what: impl Into<String>) -> Self {
        Self::Said(what.into())
    }
}

/// Adds to an I/O error what was being done.
pub(crate) trait During<T> {
    /// `what` was being done when the error came.
    fn during(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::Io {
            what: what.into(),
            error,
        })
    }
}
