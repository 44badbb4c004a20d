//! The outline that YAML and JSON have in common: sections, and the items in them with their places
//! in the text.

use serde_json::Value;

use crate::store::Position;

/// One top-level key.
pub(super) struct Section {
    pub(super) name: String,
    pub(super) at: Option<Position>,
    pub(super) body: Body,
}

pub(super) enum Body {
    Items(Vec<(Option<Position>, Value)>),
    /// `null`, or nothing.
    Empty,
    /// Anything else.
    Other,
}
