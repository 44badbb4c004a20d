//! Conditions over a request (`vars`) and `$variable` templates: parsed once, evaluated without I/O.
//!
//! Nothing here knows the proxy: values come through [`Lookup`], which the request in flight implements and which a
//! plain table implements for tests. What cannot be understood is refused when it is parsed, never when it is used.

mod condition;
mod expression;
mod json_path;
mod network;
mod number;
mod parse;
mod pattern;
mod template;
mod value;
mod variable;

pub use expression::{Expression, Verdict};
pub(crate) use json_path::Occurrence;
pub use json_path::{BadPath, JsonPath};
pub use network::{BadNetwork, IpSet};
pub use parse::ExpressionError;
pub use pattern::{BadPattern, Pattern};
pub use template::{Captures, Template, TemplateError};
pub use value::{Lookup, Value};
pub use variable::{UnknownVariable, Variable};

#[cfg(test)]
mod tests;
