//! What the plugins that rewrite messages share: escaping for the place that a text goes to, header edits, and
//! substitution by regular expression.

pub(crate) mod escape;
pub(crate) mod form;
pub(crate) mod headers;
pub(crate) mod substitution;
