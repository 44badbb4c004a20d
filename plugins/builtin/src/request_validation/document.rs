//! A request body as a document: JSON, or a form. What two readers could understand in two ways is refused, so that what was
//! judged is what the upstream understands.

use http::{HeaderMap, header::CONTENT_TYPE};
use percent_encoding::percent_decode;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Why a body is no document.
#[derive(Debug)]
pub(super) struct Refused(pub(super) String);

/// How a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Json,
    /// `application/x-www-form-urlencoded`.
    Fields,
}

/// How the Content-Type says that a body is read: what is no form is JSON.
pub(super) fn form_of(headers: &HeaderMap) -> Result<Form, Refused> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let first = types.next().map(|value| value.as_bytes());
    if types.next().is_some() {
        return Err(Refused("several Content-Type headers".to_owned()));
    }
    let essence = first.unwrap_or_default().split(|b| *b == b';').next();
    let fields = b"application/x-www-form-urlencoded";
    Ok(
        match essence
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(fields)
        {
            true => Form::Fields,
            false => Form::Json,
        },
    )
}

impl Form {
    /// Reads a body.
    pub(super) fn read(self, body: &[u8]) -> Result<Value, Refused> {
        match self {
            Self::Fields => fields(body),
            Self::Json => strict(body)
                .map_err(|e| Refused(format!("failed to decode the request body as JSON: {e}"))),
        }
    }
}

fn fields(body: &[u8]) -> Result<Value, Refused> {
    let mut fields = Map::new();
    for part in body.split(|b| *b == b'&').filter(|part| !part.is_empty()) {
        let at = part.iter().position(|b| *b == b'=');
        let (name, rest) = part
            .split_at_checked(at.unwrap_or(part.len()))
            .unwrap_or((part, b""));
        let value = match rest.strip_prefix(b"=") {
            Some(text) => Value::String(decoded(text)?),
            None => Value::Bool(true),
        };
        match fields.entry(decoded(name)?) {
            serde_json::map::Entry::Vacant(place) => drop(place.insert(value)),
            serde_json::map::Entry::Occupied(mut held) => match held.get_mut() {
                Value::Array(values) => values.push(value),
                held => *held = Value::Array(vec![held.take(), value]),
            },
        }
    }
    Ok(Value::Object(fields))
}

fn decoded(text: &[u8]) -> Result<String, Refused> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    let plain: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(plain).map_err(|_| Refused("the form is not UTF-8".to_owned()))
}

/// Reads JSON in which no object has a name twice.
pub(crate) fn strict(body: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice(body).map(|Strict(value)| value)
}

/// JSON in which no object has a name twice: of two, one reader takes the first and another the last.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Reader).map(Strict)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(truth.into())
    }
    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }
    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, _>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format_args!(
                    "the member {name:?} stands there twice"
                )));
            }
            object.insert(name, value);
        }
        Ok(object.into())
    }
}
