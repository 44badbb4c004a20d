//! The formats of a made-up body, and how text from a request is kept from breaking out of them.

use serde_json::Value;

/// What a content type asks of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Xml,
    Html,
    Plain,
}

impl Format {
    /// The format of a content type; `None` when there is none for it.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        match kind.to_ascii_lowercase().as_str() {
            "application/json" => Some(Self::Json),
            "application/xml" | "text/xml" => Some(Self::Xml),
            "text/html" => Some(Self::Html),
            "text/plain" => Some(Self::Plain),
            _ => None,
        }
    }

    /// Appends a text from the request in such a way that it stays a text.
    pub(crate) fn escape(self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Plain => out.extend_from_slice(text),
            Self::Xml | Self::Html => escape_markup(text, out),
            Self::Json => {
                let quoted = Value::String(String::from_utf8_lossy(text).into_owned()).to_string();
                let inside = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
                out.extend_from_slice(inside.unwrap_or_default().as_bytes());
            }
        }
    }

    /// The text of a document.
    pub(super) fn write(self, document: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Xml => element("data", document, &mut out),
            Self::Json | Self::Html | Self::Plain => out = document.to_string().into_bytes(),
        }
        out
    }
}

/// Whether a property can be the name of an XML element. Narrower than XML 1.0, which also takes most of Unicode.
pub(super) fn is_element_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

/// A list is its element repeated.
fn element(name: &str, value: &Value, out: &mut Vec<u8>) {
    if let Value::Array(items) = value {
        for item in items {
            element(name, item, out);
        }
        return;
    }
    out.extend_from_slice(format!("<{name}>").as_bytes());
    match value {
        Value::Object(properties) => {
            for (name, value) in properties {
                element(name, value, out);
            }
        }
        Value::String(text) => escape_markup(text.as_bytes(), out),
        Value::Null | Value::Array(_) => {}
        Value::Bool(_) | Value::Number(_) => out.extend_from_slice(value.to_string().as_bytes()),
    }
    out.extend_from_slice(format!("</{name}>").as_bytes());
}

fn escape_markup(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            _ => out.push(byte),
        }
    }
}
