//! The templates of lua-resty-template, as far as they use the body: outputs, conditions, loops and a few functions. There is no
//! Lua in the gateway, so all else is refused when the configuration is written.

mod eval;
mod functions;
mod lexer;
mod parse;
#[cfg(test)]
mod tests;
mod value;

pub(super) use eval::{Failure, Scope};

/// A template that cannot be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

/// A template, understood.
#[derive(Debug)]
pub(super) struct Template(Vec<parse::Node>);

impl Template {
    /// Reads a template.
    pub(super) fn parse(text: &str) -> Result<Self, Refused> {
        Ok(Self(parse::program(lexer::tokens(text)?)?))
    }

    /// The text that it gives over a body.
    pub(super) fn render(&self, scope: &Scope<'_>) -> Result<Vec<u8>, Failure> {
        eval::render(&self.0, scope)
    }
}
