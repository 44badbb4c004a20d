//! The request target for the upstream, by the rules of APISIX.

use crate::rewrite::{
    escape,
    substitution::{GaveUp, Substitution},
};
use bytes::Bytes;
use crossway_sdk::{
    exchange::Exchange,
    expr::{Lookup, Template, Value, Variable},
};
use std::borrow::Cow;

/// Where the new path comes from.
#[derive(Debug)]
pub(crate) enum Source {
    /// From the client.
    Client,
    /// From a text with variables.
    Text(Template),
    /// From the first substitution that matches.
    Regex(Box<[Substitution]>),
}

/// The target for the upstream and the groups of the expression that matched.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// `None` leaves the target as it is.
    pub(crate) target: Option<Bytes>,
    pub(crate) groups: Vec<Vec<u8>>,
}

/// Why there is no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadTarget {
    /// A search took too long.
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
    /// What came out is no path.
    #[error("the rewritten uri does not begin with a slash")]
    NoPath,
}

/// Values with `?` encoded, so that a value cannot begin the query string.
struct WithoutSeparator<'a>(&'a dyn Lookup);

impl Lookup for WithoutSeparator<'_> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        match self.0.lookup(variable)? {
            Value::Bytes(text) if text.contains(&b'?') => {
                let mut escaped = Vec::with_capacity(text.len() + 8);
                for &byte in &*text {
                    match byte {
                        b'?' => escaped.extend_from_slice(b"%3F"),
                        _ => escaped.push(byte),
                    }
                }
                Some(Value::Bytes(Cow::Owned(escaped)))
            }
            value => Some(value),
        }
    }
}

impl Source {
    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        match self {
            Self::Client => false,
            Self::Text(template) => template.needs_body(),
            Self::Regex(list) => list.iter().any(Substitution::needs_body),
        }
    }

    /// The target for this request. With `raw` it starts from the target as the client spelt it, and is not encoded.
    pub(crate) fn target(&self, ex: &Exchange<'_>, raw: bool) -> Result<Found, BadTarget> {
        let head = ex.session.req_header();
        let target;
        let path = match raw {
            true => {
                target = ex.request.target(head);
                &*target
            }
            false => ex.request.path(head).as_bytes(),
        };
        let values = WithoutSeparator(ex);
        let mut groups = Vec::new();
        // With a `?` in the decoded path nobody can tell whose the question mark of the result is: all of it is path.
        let mut one_separator = false;
        let text = match self {
            Self::Client if raw || ex.request.rewritten.target.is_some() => {
                return Ok(Found::default());
            }
            Self::Client if ex.request.normal_path.is_none() && !escape::path_changes(path) => {
                return Ok(Found::default());
            }
            Self::Client => Cow::Borrowed(path),
            Self::Text(template) => {
                one_separator = true;
                let mut text = Vec::with_capacity(path.len() + 32);
                template.render(&values, &mut text);
                Cow::Owned(text)
            }
            Self::Regex(list) => {
                one_separator = !path.contains(&b'?');
                let mut found = None;
                for substitution in list {
                    found = substitution.first(path, &values)?;
                    if found.is_some() {
                        break;
                    }
                }
                match found {
                    Some(found) => {
                        groups = found.groups;
                        Cow::Owned(found.text)
                    }
                    None => Cow::Borrowed(path),
                }
            }
        };
        if !text.starts_with(b"/") {
            return Err(BadTarget::NoPath);
        }
        let mut target = Vec::with_capacity(text.len() + 32);
        if raw {
            escape::target(&text, &mut target);
        } else {
            encode(&text, one_separator, ex.request.query(head), &mut target);
        }
        Ok(Found {
            target: Some(target.into()),
            groups,
        })
    }
}

/// Encodes the path, keeps a query string that the text brought, and appends the client's.
fn encode(text: &[u8], one_separator: bool, query: Option<&[u8]>, out: &mut Vec<u8>) {
    let at = text
        .iter()
        .position(|b| *b == b'?')
        .filter(|_| one_separator);
    let (path, own_query) = text.split_at(at.unwrap_or(text.len()));
    escape::path(path, out);
    escape::target(own_query, out);
    if let Some(query) = query.filter(|q| !q.is_empty()) {
        out.push(if own_query.is_empty() { b'?' } else { b'&' });
        out.extend_from_slice(query);
    }
}
