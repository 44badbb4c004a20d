//! `request-validation`: lets requests pass whose headers and body are valid by a JSON Schema.

mod config;
mod document;
mod headers;
#[cfg(test)]
mod tests;

pub use config::Config;
pub(crate) use document::strict;

use crate::apart::apart;
use crossway_sdk::{prelude::*, schema::Schema};
use document::Refused;
use headers::HeaderSchema;
use serde_json::Map;
use std::sync::Arc;

/// The plugin.
pub struct RequestValidation {
    headers: Option<HeaderSchema>,
    body: Option<Arc<Schema>>,
    most: usize,
    status: u16,
    message: Option<Bytes>,
}

#[phases]
impl Plugin for RequestValidation {
    const NAME: &'static str = "request-validation";
    const PRIORITY: i32 = 2800;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        if config.header_schema.is_none() && config.body_schema.is_none() {
            let message = "expected at least one of header_schema and body_schema";
            return Err(cx.error("", message));
        }
        Ok(Self {
            headers: match config.header_schema {
                Some(schema) => Some(HeaderSchema::new(schema, "/header_schema")?),
                None => None,
            },
            body: match config.body_schema {
                Some(schema) => Some(Arc::new(compiled(schema, "/body_schema")?)),
                None => None,
            },
            most: usize::try_from(config.max_req_body_size).unwrap_or(usize::MAX),
            status: config.rejected_code,
            message: config.rejected_msg.map(Bytes::from),
        })
    }

    fn rewrite<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        if let Some(schema) = &self.headers
            && let Err(why) = schema.check(&ex.session.req_header().headers)
        {
            return Step::respond(self.refusal(Some(why)));
        }
        match &self.body {
            None => Step::next(),
            Some(schema) => Step::wait(self.judge_body(schema, ex)),
        }
    }
}

impl RequestValidation {
    async fn judge_body(&self, schema: &Arc<Schema>, ex: &mut Exchange<'_>) -> Result<Flow, Error> {
        let body = match ex.read_body(self.most).await {
            Ok(body) => body,
            Err(error) => return Ok(Flow::Respond(error.reply())),
        };
        if body.is_empty() {
            return Ok(Flow::Respond(self.refusal(None)));
        }
        let form = match document::form_of(&ex.session.req_header().headers) {
            Ok(form) => form,
            Err(Refused(why)) => return Ok(Flow::Respond(self.refusal(Some(why)))),
        };
        let (schema, length) = (schema.clone(), body.len());
        let judge = move || {
            let document = form.read(&body).map_err(|Refused(why)| why)?;
            schema.check(&document).map_err(|e| e.message)
        };
        Ok(match apart(length, judge).await? {
            Ok(()) => Flow::Next,
            Err(why) => Flow::Respond(self.refusal(Some(why))),
        })
    }

    fn refusal(&self, why: Option<String>) -> Reply {
        match (&self.message, why) {
            (Some(message), _) => Reply::bytes(self.status, message.clone()),
            (None, Some(why)) => Reply::bytes(self.status, why),
            (None, None) => Reply::status(self.status),
        }
    }
}

fn compiled(schema: Map<String, Value>, path: &str) -> Result<Schema, BuildError> {
    Schema::compiled(Value::Object(schema))
        .map_err(|e| BuildError::new(format!("{path}{}", e.path), e.message))
}
