//! Variables that look into the request body. They have a value only when the body was read.

use super::{Value, Variable, query};
use crate::{expr::JsonPath, request::Request};
use http::header;
use pingora_http::RequestHeader;
use serde_json::Value as Json;
use std::borrow::Cow;

pub(super) fn answer<'a>(
    request: &'a Request,
    head: &'a RequestHeader,
    variable: &'a Variable,
) -> Option<Value<'a>> {
    let body = request.body.as_deref()?;
    let kind = head
        .headers
        .get(header::CONTENT_TYPE)
        .map_or(&b""[..], |v| v.as_bytes());
    match variable {
        Variable::PostArg(name) => form(body, name),
        Variable::PostArgPath(path) => at_path(request, kind, body, path),
        _ => None,
    }
}

fn at_path<'a>(
    request: &'a Request,
    kind: &[u8],
    body: &'a [u8],
    path: &'a JsonPath,
) -> Option<Value<'a>> {
    if kind.starts_with(b"application/x-www-form-urlencoded") {
        return form(body, path.as_name()?);
    }
    let parsed: &Json = request.json_body()?;
    path.find(parsed)
}

fn form<'a>(body: &'a [u8], name: &str) -> Option<Value<'a>> {
    match query::argument(std::str::from_utf8(body).ok()?, name)? {
        Value::Boolean(_) => Some(Value::Bytes(Cow::Borrowed(b""))),
        value => Some(value),
    }
}
