//! Variables that look into the request body. They have a value only when the body was read; what was parsed is kept for
//! the rest of the request.

use super::{Value, Variable, graphql, multipart, query};
use crate::{
    expr::{JsonPath, Occurrence},
    request::Request,
};
use bytes::Bytes;
use http::header;
use pingora_http::RequestHeader;
use std::{borrow::Cow, sync::OnceLock};

/// What was made of a request's body so far. Boxed, for most requests have no use for it.
#[derive(Default)]
pub(crate) struct Parsed {
    pub(super) graphql: OnceLock<Option<Box<graphql::Operation>>>,
    form: OnceLock<Option<Box<Form>>>,
}

pub(super) fn answer<'a>(
    request: &'a Request,
    head: &RequestHeader,
    variable: &'a Variable,
) -> Option<Value<'a>> {
    match variable {
        // APISIX looks into no other form here.
        Variable::PostArg(name) => match form(request, head)? {
            Form::Urlencoded(fields) => first(fields, name),
            Form::Parts(_) => None,
        },
        Variable::PostArgPath(path) => match Kind::of(head) {
            Kind::Json => path.find(request.json_body()?),
            _ => form(request, head)?.find(path),
        },
        _ => graphql::answer(request, head, variable),
    }
}

/// What a body is said to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Urlencoded,
    Multipart,
    Other,
}

impl Kind {
    pub(super) fn of(head: &RequestHeader) -> Self {
        let value = content_type(head);
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let essence = value.get(..end).unwrap_or_default().trim_ascii();
        let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
        if is(b"application/json") {
            Self::Json
        } else if is(b"application/x-www-form-urlencoded") {
            Self::Urlencoded
        } else if is(b"multipart/form-data") {
            Self::Multipart
        } else {
            Self::Other
        }
    }
}

fn content_type(head: &RequestHeader) -> &[u8] {
    head.headers
        .get(header::CONTENT_TYPE)
        .map_or(&[][..], |value| value.as_bytes())
}

/// Names and values; without `=` there is no value.
type Fields = Vec<(Bytes, Option<Bytes>)>;

/// The fields of a form, in order.
enum Form {
    Urlencoded(Fields),
    Parts(Fields),
}

fn form<'a>(request: &'a Request, head: &RequestHeader) -> Option<&'a Form> {
    let body = request.body.as_ref()?;
    request
        .parsed
        .form
        .get_or_init(|| Form::read(head, body).map(Box::new))
        .as_deref()
}

impl Form {
    fn read(head: &RequestHeader, body: &Bytes) -> Option<Self> {
        match Kind::of(head) {
            Kind::Urlencoded => Some(Self::Urlencoded(urlencoded(body))),
            Kind::Multipart => {
                let fields = multipart::fields(content_type(head), body)?;
                let each = fields.into_iter().map(|(name, value)| (name, Some(value)));
                Some(Self::Parts(each.collect()))
            }
            Kind::Json | Kind::Other => None,
        }
    }

    fn find<'a>(&'a self, path: &JsonPath) -> Option<Value<'a>> {
        let (name, which) = path.as_field()?;
        let (fields, joins) = match self {
            Self::Urlencoded(fields) => (fields, true),
            Self::Parts(fields) => (fields, false),
        };
        match which {
            Occurrence::Any if !joins => first(fields, name),
            Occurrence::Any | Occurrence::Each => {
                let mut found: Vec<Value<'_>> = named(fields, name).collect();
                match found.len() {
                    0 | 1 => found.pop(),
                    _ => Some(Value::List(found)),
                }
            }
            Occurrence::Nth(index) => named(fields, name).nth(index),
        }
    }
}

fn urlencoded(body: &Bytes) -> Fields {
    let kept = |text| match query::decode(text) {
        Cow::Borrowed(text) => body.slice_ref(text),
        Cow::Owned(text) => text.into(),
    };
    body.split(|b| *b == b'&')
        .map(query::pair)
        .filter(|(name, _)| !name.is_empty())
        .map(|(name, value)| (kept(name), value.map(kept)))
        .collect()
}

fn named<'a>(fields: &'a Fields, name: &str) -> impl Iterator<Item = Value<'a>> {
    fields
        .iter()
        .filter(move |(n, _)| n == name)
        .map(|(_, value)| match value {
            Some(value) => Value::text(value),
            None => Value::Boolean(true),
        })
}

fn first<'a>(fields: &'a Fields, name: &str) -> Option<Value<'a>> {
    named(fields, name).next()
}
