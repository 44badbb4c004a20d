//! The GraphQL document of a request. What two servers could read in two ways has none.

use crate::request_validation::strict;
use crossway_sdk::{expr::Value as Found, variables::arguments};
use http::{HeaderMap, header::CONTENT_TYPE};
use serde_json::Value;

/// The largest document that is read, in bytes: APISIX's `graphql.max_size`.
pub(crate) const LONGEST: usize = 1024 * 1024;

/// The document of a body: the member `query` of a JSON object, or the body itself.
///
/// # Errors
/// Why there is none.
pub(crate) fn of_body(headers: &HeaderMap, body: &[u8]) -> Result<String, String> {
    let mut kinds = headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().map(|kind| kind.as_bytes()).unwrap_or_default();
    if kinds.next().is_some() {
        return Err("invalid graphql request, several content-types".to_owned());
    }
    let is = |media: &str| {
        let essence = kind.split(|b| *b == b';').next().unwrap_or_default();
        essence.trim_ascii().eq_ignore_ascii_case(media.as_bytes())
    };
    if is("application/graphql") {
        let text = std::str::from_utf8(body);
        return text
            .map(str::to_owned)
            .map_err(|_| "invalid graphql request, it is not UTF-8".to_owned());
    }
    if !is("application/json") {
        let kind = String::from_utf8_lossy(kind);
        return Err(format!(
            "invalid graphql request, error content-type: {kind}"
        ));
    }
    let document = strict(body).map_err(|e| format!("invalid graphql request, {e}"))?;
    match document.get("query") {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Null) | None => {
            Err("invalid graphql request, json body[query] is nil".to_owned())
        }
        Some(_) => Err("Invalid graphql request: failed to parse graphql query".to_owned()),
    }
}

/// The document of a query string: its one argument `query`.
pub(crate) fn of_query(query: &[u8]) -> Option<String> {
    let mut found = arguments(query).filter(|(name, _)| &**name == b"query");
    match (found.next(), found.next()) {
        (Some((_, Found::Bytes(text))), None) => String::from_utf8(text.into_owned()).ok(),
        _ => None,
    }
}

/// Whether a query string names a document. Some servers prefer it to that of a POST's body, so such a POST has none that all agree on.
pub(crate) fn is_in_query(query: Option<&[u8]>) -> bool {
    query.is_some_and(|query| arguments(query).any(|(name, _)| &*name == b"query"))
}
