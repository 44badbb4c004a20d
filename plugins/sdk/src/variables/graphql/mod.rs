//! What a GraphQL request asks for: `$graphql_name`, `$graphql_operation`, `$graphql_root_fields`.
//!
//! A parser of our own, because only operations and root fields are wanted: `graphql-parser` recurses over hostile
//! nesting and `apollo-parser` builds a syntax tree of the whole document.

mod depth;
mod document;
mod lexer;

pub use depth::{DepthError, graphql_depth};

use super::{Value, Variable, body::Kind, query};
use crate::request::Request;
use document::Document;
use http::Method;
use pingora_http::RequestHeader;
use std::borrow::Cow;

/// The longest document that is looked at, in bytes; APISIX's `graphql.max_size`.
const LONGEST: usize = 1024 * 1024;

/// The operation that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    kind: &'static str,
    name: Box<str>,
    root_fields: Box<[Box<str>]>,
}

/// The operations of a GraphQL document, each as `query`, `mutation` or `subscription`; `None` when it is none.
pub fn graphql_operations(text: &str) -> Option<Vec<&'static str>> {
    let operations = Document::parse(text)?.operations;
    Some(operations.iter().map(|operation| operation.kind).collect())
}

pub(super) fn answer<'a>(
    request: &'a Request,
    head: &RequestHeader,
    variable: &Variable,
) -> Option<Value<'a>> {
    // Nothing is kept of a request whose body was not read yet.
    if head.method != Method::GET && request.body.is_none() {
        return None;
    }
    let operation = request
        .parsed
        .graphql
        .get_or_init(|| asked(request, head).map(Box::new))
        .as_deref()?;
    Some(match variable {
        Variable::GraphqlName => Value::text(&*operation.name),
        Variable::GraphqlOperation => Value::text(operation.kind),
        _ => Value::List(
            operation
                .root_fields
                .iter()
                .map(|f| Value::text(&**f))
                .collect(),
        ),
    })
}

/// `?query=` of a GET; of a POST without it the member `query` of a JSON object, or else the body itself.
fn asked(request: &Request, head: &RequestHeader) -> Option<Operation> {
    if head.method == Method::GET {
        let arguments = request.query(head)?;
        let text = |name| match query::argument(arguments, name)? {
            Value::Bytes(text) => String::from_utf8(text.into_owned()).ok(),
            _ => None,
        };
        return operation(&text("query")?, text("operationName").as_deref());
    }
    if head.method != Method::POST {
        return None;
    }
    // Some servers prefer a document in the query string to that of the body, so there is none that all agree on.
    if request
        .query(head)
        .is_some_and(|arguments| query::argument(arguments, "query").is_some())
    {
        return None;
    }
    if Kind::of(head) == Kind::Json {
        let body = request.json_body()?;
        let name = body.get("operationName").and_then(|name| name.as_str());
        return operation(body.get("query")?.as_str()?, name);
    }
    operation(std::str::from_utf8(request.body.as_deref()?).ok()?, None)
}

/// The operation of this name, without one the first. APISIX always takes the first; the server runs the named one, and
/// what a condition lets through has to be what runs.
fn operation(text: &str, name: Option<&str>) -> Option<Operation> {
    if text.len() > LONGEST {
        return None;
    }
    let document = Document::parse(text)?;
    let mut operations = document.operations.iter();
    let chosen = match name.filter(|name| !name.is_empty()) {
        Some(name) => operations.find(|operation| operation.name == name),
        None => operations.next(),
    }?;
    let root_fields = document.root_fields(chosen).into_iter().map(Into::into);
    Some(Operation {
        kind: chosen.kind,
        name: Cow::Borrowed(chosen.name).into(),
        root_fields: root_fields.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_operation_is_the_one_that_counts() {
        let text = "query A { a } mutation B { b }";
        let kind = |name| operation(text, name).map(|o| o.kind);
        assert_eq!(kind(None), Some("query"));
        assert_eq!(kind(Some("")), Some("query"));
        assert_eq!(kind(Some("B")), Some("mutation"));
        assert_eq!(kind(Some("C")), None);
    }

    #[test]
    fn a_document_has_a_largest_size() {
        let padded = |length: usize| format!("{{a}}{}", " ".repeat(length - 3));
        assert!(operation(&padded(LONGEST), None).is_some());
        assert!(operation(&padded(LONGEST + 1), None).is_none());
    }
}
