//! Edits of headers: what was configured, and the same made ready for use.

use super::escape;
use bytes::Bytes;
use crossway_sdk::{
    build::BuildError,
    expr::{Captures, Lookup, Template},
    schema::member,
};
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A header's value: a text, with `$variables`, or a number.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Written {
    /// A text with `$variables`.
    Text(String),
    /// A number.
    Number(serde_json::Number),
}

/// Values by header name.
pub(crate) type WrittenMap = BTreeMap<String, Written>;

/// A header's value, ready to be filled in.
#[derive(Debug)]
pub(crate) enum Text {
    Constant(HeaderValue),
    Template(Template),
}

impl Text {
    /// Judges a value. With `captures`, `$1` stands for a group of a match.
    ///
    /// # Errors
    /// An unknown variable, or a character that cannot stand in a header.
    pub(crate) fn compile(written: &str, captures: bool, path: &str) -> Result<Self, BuildError> {
        if escape::header_changes(written.as_bytes()) {
            return Err(BuildError::new(path, "invalid value character in header"));
        }
        let template = match captures {
            true => Template::parse_with_captures(written),
            false => Template::parse(written),
        }
        .map_err(|e| BuildError::new(path, e.to_string()))?;
        match template.is_constant().map(HeaderValue::from_bytes) {
            Some(Ok(value)) => Ok(Self::Constant(value)),
            Some(Err(_)) => Err(BuildError::new(path, "invalid value character in header")),
            None => Ok(Self::Template(template)),
        }
    }

    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        matches!(self, Self::Template(template) if template.needs_body())
    }

    /// The value for this request. Control characters are percent-encoded. `None` when it is empty, which in the
    /// gateways of the nginx family removes a header.
    pub(crate) fn render(&self, from: &dyn Lookup, captures: &Captures<'_>) -> Option<HeaderValue> {
        let template = match self {
            Self::Constant(value) => return Some(value.clone()).filter(|v| !v.is_empty()),
            Self::Template(template) => template,
        };
        let mut text = Vec::new();
        template.render_with_captures(from, captures, &mut text);
        if escape::header_changes(&text) {
            let mut escaped = Vec::with_capacity(text.len() + 8);
            escape::header(&text, &mut escaped);
            text = escaped;
        }
        if text.is_empty() {
            return None;
        }
        HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
    }
}

/// A header's name, and how it was written: peers that speak HTTP/1 get that spelling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: HeaderName,
    pub(crate) spelling: Bytes,
}

impl Name {
    /// Judges a name; `None` when it cannot stand in a header.
    pub(crate) fn parse(written: &str) -> Option<Self> {
        Some(Self {
            name: written.parse().ok()?,
            spelling: Bytes::copy_from_slice(written.as_bytes()),
        })
    }
}

/// Edits in the order in which they are made: add, set, remove.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    pub(crate) add: Vec<(Name, Text)>,
    pub(crate) set: Vec<(Name, Text)>,
    pub(crate) remove: Vec<Name>,
}

impl Edits {
    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        self.add
            .iter()
            .chain(&self.set)
            .any(|(_, text)| text.needs_body())
    }
}

/// Judges a map of values.
///
/// # Errors
/// A name or a value that cannot stand in a header.
pub(crate) fn compile(
    map: &WrittenMap,
    captures: bool,
    path: &str,
) -> Result<Vec<(Name, Text)>, BuildError> {
    let each = map.iter().map(|(name, value)| {
        let path = member(path, name);
        let text = match value {
            Written::Text(text) => Text::compile(text, captures, &path),
            Written::Number(number) => Text::compile(&number.to_string(), captures, &path),
        };
        Ok((self::name(name, &path)?, text?))
    });
    each.collect()
}

/// Judges a name.
///
/// # Errors
/// It cannot stand in a header.
pub(crate) fn name(name: &str, path: &str) -> Result<Name, BuildError> {
    Name::parse(name)
        .ok_or_else(|| BuildError::new(path, format!("invalid field character in header {name:?}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::HashMap;

    fn rendered(text: &str, value: &str) -> Option<HeaderValue> {
        let request: HashMap<String, String> = [("uri".to_owned(), value.to_owned())].into();
        Text::compile(text, true, "")
            .unwrap()
            .render(&request, &[b"whole", b"a\r\nb"])
    }

    #[test]
    fn no_value_begins_another_header() {
        assert_eq!(
            rendered("<$uri>", "/x\r\nEvil: 1").unwrap(),
            "</x%0D%0AEvil: 1>"
        );
        assert_eq!(rendered("$1", "").unwrap(), "a%0D%0Ab");
        assert_eq!(
            rendered("$uri", "/\u{0}\u{7f}é").unwrap(),
            "/%00%7Fé".as_bytes()
        );
        let error = Text::compile("a\r\nb", true, "/h").unwrap_err();
        assert_eq!(
            (error.path.as_str(), error.message.as_str()),
            ("/h", "invalid value character in header")
        );
    }

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(rendered("", ""), None);
        assert_eq!(rendered("$uri", ""), None);
        assert_eq!(rendered("plain", "").unwrap(), "plain");
    }

    #[test]
    fn names_are_judged() {
        let map: WrittenMap = serde_json::from_str(r#"{"X-A": 1.5, "x/ y": "z"}"#).unwrap();
        let error = compile(&map, false, "/headers").unwrap_err();
        assert_eq!(error.path, "/headers/x~1 y");
        assert!(
            error.message.contains("invalid field character"),
            "{}",
            error.message
        );
    }
}
