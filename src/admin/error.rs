//! Why the Admin API refuses a request, and how it says so: the status and the body that clients of APISIX read.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    compile::Refusal,
    model::{IdError, Problem},
    store::{CommitError, KeyError, StoreError},
};

/// A refusal on its way to the client.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) status: StatusCode,
    pub(super) body: Said,
}

/// What a failure says.
#[derive(Debug)]
pub(super) enum Said {
    /// A JSON document.
    Json(Value),
    /// Plain text.
    Text(&'static str),
}

impl Failure {
    /// `{"error_msg": …}`.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        let message: String = message.into();
        Self {
            status,
            body: Said::Json(json!({ "error_msg": message })),
        }
    }

    /// 400 with an `error_msg`.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// A status with a JSON document of its own.
    pub(super) fn json(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            body: Said::Json(body),
        }
    }

    /// A status with plain text.
    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            body: Said::Text(text),
        }
    }

    /// There is no such document.
    pub(super) fn no_key() -> Self {
        Self::json(StatusCode::NOT_FOUND, json!({"message": "Key not found"}))
    }

    /// There is nothing at this path, or not for this method.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not found")
    }

    /// Somebody else changed the document meanwhile.
    pub(super) fn overtaken() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "value changed before overwritten",
        )
    }

    /// A task of the gateway itself broke down.
    pub(super) fn broken() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the request could not be judged because of a defect; nothing was changed",
        )
    }

    /// The text of the refusal, for answers that frame it otherwise.
    pub(super) fn message(&self) -> String {
        match &self.body {
            Said::Text(text) => (*text).to_owned(),
            Said::Json(body) => body
                .get("error_msg")
                .and_then(Value::as_str)
                .map_or_else(|| body.to_string(), str::to_owned),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::overtaken(),
            CommitError::Invalid(why) => Self::bad(why),
            CommitError::ReadOnly { why } => Self::new(StatusCode::METHOD_NOT_ALLOWED, why),
            CommitError::Unavailable(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::bad(refusal.message)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::bad(problem.message)
    }
}

impl From<IdError> for Failure {
    fn from(error: IdError) -> Self {
        Self::bad(format!(
            "invalid configuration: property \"id\" validation failed: {error}"
        ))
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        Self::bad(error.to_string())
    }
}
