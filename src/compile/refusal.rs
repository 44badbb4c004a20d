//! Why a document was not taken.

use crate::model::{Problem, ResourceKey};

/// A document was refused: which, where in it, and why. The text keeps the frame of APISIX's `error_msg`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The document.
    pub key: ResourceKey,
    /// JSON pointer to the place; empty for the whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(key: &ResourceKey, path: &str, message: String) -> Self {
        Self {
            key: key.clone(),
            path: path.to_owned(),
            message,
        }
    }

    pub(super) fn of_problem(key: &ResourceKey, problem: Problem) -> Self {
        Self {
            key: key.clone(),
            path: problem.path,
            message: problem.message,
        }
    }
}
