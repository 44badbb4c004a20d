//! The body of an answer that the configuration gives: a text, with `$variables` that stay text whatever a request brings.

use crate::mocking::format::Format;
use bytes::Bytes;
use crossway_sdk::expr::{Lookup, Template, TemplateError};

/// A body.
#[derive(Debug)]
pub(crate) enum AnswerText {
    Constant(Bytes),
    Template(Template, Format),
}

impl AnswerText {
    /// Reads a body of this content type.
    pub(crate) fn compile(text: &str, content_type: &str) -> Result<Self, TemplateError> {
        let template = Template::parse(text)?;
        Ok(match template.is_constant() {
            Some(constant) => Self::Constant(Bytes::copy_from_slice(constant)),
            None => Self::Template(template, format(content_type)),
        })
    }

    /// The body for a request.
    pub(crate) fn render(&self, from: &dyn Lookup) -> Bytes {
        match self {
            Self::Constant(text) => text.clone(),
            Self::Template(template, format) => {
                let mut out = Vec::new();
                template.render_escaped(from, |text, out| format.escape(text, out), &mut out);
                out.into()
            }
        }
    }
}

/// Content types that mocking does not know are told by what their names say, e.g. `application/problem+json`.
fn format(content_type: &str) -> Format {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    Format::of(&essence).unwrap_or(if essence.contains("json") {
        Format::Json
    } else if essence.contains("xml") || essence.contains("html") {
        Format::Html
    } else {
        Format::Plain
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_a_request_brings_stays_text() {
        let request: HashMap<String, String> = [("uri".to_owned(), "/<b>\"".to_owned())].into();
        for (content_type, expected) in [
            ("text/html", "at /&lt;b&gt;&quot;"),
            (
                "application/xhtml+xml; charset=utf-8",
                "at /&lt;b&gt;&quot;",
            ),
            ("application/problem+json", "at /<b>\\\""),
            ("text/plain", "at /<b>\""),
            ("", "at /<b>\""),
        ] {
            let text = AnswerText::compile("at $uri", content_type).unwrap();
            assert_eq!(text.render(&request), expected, "{content_type}");
        }
        assert!(AnswerText::compile("$none", "").is_err());
    }
}
