//! `degraphql`: the upstream gets a GraphQL request in place of a plain GET or POST.

mod config;

#[cfg(test)]
mod tests;

use crate::request_body;
use bytes::Bytes;
use config::Config;
use crossway_sdk::{
    expr::Value as Found,
    prelude::*,
    variables::{argument, graphql_operations},
};
use http::{HeaderValue, Method, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, json};

/// All that is not unreserved in a URI (RFC 3986 §2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// See the module.
pub struct Degraphql {
    query: Box<str>,
    variables: Option<Box<[String]>>,
    operation: Option<Box<str>>,
}

/// Whether the upstream gets a body of ours.
#[derive(Default)]
struct Rewritten(bool);

#[phases]
impl Plugin for Degraphql {
    const NAME: &'static str = "degraphql";
    const PRIORITY: i32 = 509;
    type Config = Config;

    fn build(config: Config, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        match graphql_operations(&config.query).map(|operations| operations.len()) {
            None | Some(0) => {
                return Err(cx.error(
                    "/query",
                    "failed to parse query: expected a GraphQL document with an operation",
                ));
            }
            Some(2..) if config.operation_name.is_none() => {
                return Err(cx.error(
                    "/operation_name",
                    "operation_name is required if multiple operations are present in the query",
                ));
            }
            Some(_) => {}
        }
        Ok(Self {
            query: config.query.into(),
            variables: config.variables.map(Into::into),
            operation: config.operation_name.map(Into::into),
        })
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        match ex.session.req_header().method {
            Method::GET => {
                let target = self.target(ex);
                ex.request.rewritten.target = Some(target);
                Step::next()
            }
            Method::POST => Step::wait(async move {
                if let Err(end) = request_body::read(ex).await {
                    return end;
                }
                let Some(body) = self.body(ex) else {
                    return Ok(Flow::Respond(Reply::status(400)));
                };
                ex.replace_body(body);
                ex.state::<Rewritten>().0 = true;
                Ok(Flow::Next)
            }),
            _ => Step::respond(Reply::status(405)),
        }
    }

    fn before_proxy(&self, ex: &mut Exchange<'_>, head: &mut RequestHeader) -> Result<(), Error> {
        if ex.existing_state::<Rewritten>().is_some_and(|r| r.0) {
            head.remove_header(&header::CONTENT_ENCODING);
            let json = HeaderValue::from_static("application/json");
            head.insert_header(header::CONTENT_TYPE, json)?;
        }
        Ok(())
    }
}

impl Degraphql {
    /// The target of a GET: the path that the upstream gets anyway, and the operation in place of the query.
    fn target(&self, ex: &Exchange<'_>) -> Bytes {
        let head = ex.session.req_header();
        let target = match &ex.request.rewritten.target {
            Some(target) => target.to_vec(),
            None => ex.request.target(head).into_owned(),
        };
        let end = memchr::memchr(b'?', &target).unwrap_or(target.len());
        let mut target = target;
        target.truncate(end);
        let mut put = |name: &str, value: &str| {
            target.push(if name == "query" { b'?' } else { b'&' });
            target.extend_from_slice(name.as_bytes());
            target.push(b'=');
            for part in utf8_percent_encode(value, ESCAPED) {
                target.extend_from_slice(part.as_bytes());
            }
        };
        put("query", &self.query);
        if let Some(operation) = &self.operation {
            put("operationName", operation);
        }
        if let Some(names) = &self.variables {
            let query = ex.request.query(head).unwrap_or_default();
            let found = names.iter().filter_map(|name| {
                let value = match argument(query, name)? {
                    Found::Bytes(text) => Value::from(String::from_utf8_lossy(&text)),
                    // An argument without a value.
                    _ => Value::Bool(true),
                };
                Some((name.clone(), value))
            });
            let variables: Map<_, _> = found.collect();
            put("variables", &Value::from(variables).to_string());
        }
        target.into()
    }

    /// The body of a POST; `None` when variables are wanted and the client sent no JSON object.
    fn body(&self, ex: &Exchange<'_>) -> Option<Bytes> {
        let mut body = json!({ "query": self.query });
        if let Some(operation) = &self.operation {
            body["operationName"] = json!(operation);
        }
        if let Some(names) = &self.variables {
            let sent = ex.request.json_body()?.as_object()?;
            let found = names
                .iter()
                .filter_map(|name| Some((name.clone(), sent.get(name)?.clone())));
            body["variables"] = Value::Object(found.collect());
        }
        Some(body.to_string().into())
    }
}
