//! Schemas of resources, and the validation of one document against the schema of its kind.

use axum::http::StatusCode;

use super::{Admin, answer::Answer, body, error::Failure};
use crate::model::{Kind, check};

impl Admin {
    /// `/schema/{name}`.
    pub(super) fn schema(&self, name: &str) -> Result<Answer, Failure> {
        if name == "plugins" {
            return Err(Failure::bad("not found plugin name"));
        }
        let kind = Kind::from_singular(name)
            .ok_or_else(|| Failure::bad(format!("not found schema: {name}")))?;
        Ok(Answer::json(StatusCode::OK, kind.schema()))
    }

    /// `/schema/validate/{resource}`: judges the document alone, neither its plugins nor its references.
    pub(super) fn schema_validate(&self, resource: &str, body: &[u8]) -> Result<Answer, Failure> {
        let kind = Kind::from_path(resource).ok_or_else(|| {
            let message = format!("Unsupported resource type: {resource}");
            Failure::new(StatusCode::NOT_FOUND, message)
        })?;
        let document = body::parse(body, "missing configurations")?;
        match check(kind, &document) {
            Ok(()) => Ok(Answer::empty(StatusCode::OK)),
            Err(problem) => {
                let problem = self.hushed(kind, "", &document, problem);
                Err(Failure::bad(problem.detail()))
            }
        }
    }
}
