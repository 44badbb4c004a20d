//! Values as JSON, and entries that are JSON already.

use crossway_sdk::expr::Value;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// An entry: one JSON document.
pub(crate) type Line = Vec<u8>;

/// Text out of bytes that need not be UTF-8.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&String::from_utf8_lossy(self.0))
    }
}

/// What a variable yields. Numbers of nginx are text, as its variables are.
pub(super) struct Json<'a>(pub(super) &'a Value<'a>);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bytes(text) => Text(text).serialize(to),
            Value::Integer(number) => to.collect_str(number),
            Value::Number(number) => to.serialize_f64(*number),
            Value::Boolean(truth) => to.serialize_bool(*truth),
            Value::List(items) => to.collect_seq(items.iter().map(Json)),
        }
    }
}

/// Serialises; what cannot be is an empty document, which does not happen with the types here.
pub(crate) fn line(value: &impl Serialize) -> Line {
    serde_json::to_vec(value).unwrap_or_else(|_| b"{}".to_vec())
}

/// `[a,b]`.
pub(crate) fn array<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = vec![b'['];
    append(lines, b",", &mut out);
    out.push(b']');
    out
}

/// The documents with `separator` between them.
pub(crate) fn joined<'a>(lines: impl IntoIterator<Item = &'a [u8]>, separator: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    append(lines, separator, &mut out);
    out
}

fn append<'a>(lines: impl IntoIterator<Item = &'a [u8]>, separator: &[u8], out: &mut Vec<u8>) {
    for (index, line) in lines.into_iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(line);
    }
}

/// Text for people out of what a server said: short, on one line.
pub(super) fn excerpt(said: &[u8]) -> Cow<'_, str> {
    const SHOWN: usize = 200;
    let shown = said.get(..SHOWN).unwrap_or(said);
    let text = String::from_utf8_lossy(shown);
    match text.contains(|c: char| c.is_control()) {
        true => Cow::Owned(text.replace(|c: char| c.is_control(), " ")),
        false => text,
    }
}
