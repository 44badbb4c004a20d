//! The values of a label, which may be one text, several in a text, or a list.

use super::segments;
use crossway_sdk::{
    build::{BuildCx, BuildError},
    expr::Pattern,
};
use serde_json::Value;

/// How a label is read.
pub(super) enum Reading {
    /// By its form; the pattern is the comma.
    Guess(Pattern),
    Segments(Pattern),
    Json,
    List,
}

impl Reading {
    pub(super) fn guess(cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        segments(",").map(Self::Guess).map_err(|e| cx.error("", e))
    }

    /// Whether the label has one of these values; `in_doubt` when a search gives up before that is known.
    pub(super) fn has(&self, label: &Value, wanted: &[String], in_doubt: bool) -> bool {
        match (self, label) {
            (Self::Guess(_) | Self::List, Value::Array(items)) => list_has(items, wanted),
            (Self::Guess(_) | Self::Segments(_) | Self::Json, Value::String(text)) => {
                self.text_has(text, wanted, in_doubt)
            }
            _ => false,
        }
    }

    /// As [`Reading::has`], of a text.
    pub(super) fn text_has(&self, label: &str, wanted: &[String], in_doubt: bool) -> bool {
        match self {
            Self::List => false,
            Self::Json => json_has(label, wanted),
            Self::Segments(separator) => segment_is(label, separator, wanted, in_doubt),
            Self::Guess(_) if label.starts_with('[') => json_has(label, wanted),
            Self::Guess(comma) if label.contains(',') => segment_is(label, comma, wanted, in_doubt),
            Self::Guess(_) => wanted.iter().any(|value| value == label),
        }
    }
}

fn list_has(items: &[Value], wanted: &[String]) -> bool {
    let mut texts = items.iter().filter_map(Value::as_str);
    texts.any(|text| wanted.iter().any(|value| value == text))
}

fn json_has(label: &str, wanted: &[String]) -> bool {
    let items: Result<Vec<Value>, _> = serde_json::from_str(label);
    items.is_ok_and(|items| list_has(&items, wanted))
}

fn segment_is(label: &str, separator: &Pattern, wanted: &[String], in_doubt: bool) -> bool {
    let text = label.as_bytes();
    let is_wanted = |segment: Option<&[u8]>| {
        segment.is_some_and(|segment| wanted.iter().any(|value| value.as_bytes() == segment))
    };
    let mut begin = 0;
    for found in separator.regex().captures_iter(text) {
        let Ok(found) = found else {
            return in_doubt;
        };
        let Some(whole) = found.get(0) else { continue };
        if is_wanted(text.get(begin..whole.start())) {
            return true;
        }
        begin = whole.end();
    }
    is_wanted(text.get(begin..))
}
