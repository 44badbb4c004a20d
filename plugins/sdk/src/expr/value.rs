//! What a variable yields, and where it comes from.

use std::{borrow::Cow, collections::HashMap, hash::BuildHasher, io::Write};

use super::{Variable, number};

/// What a variable yields.
///
/// Equality is strict about kinds, as it is in APISIX: text equals text, a JSON number equals a number. Variables that
/// nginx keeps as text although they look like numbers (`status`, `server_port`, `request_length`) are
/// [`Value::Integer`], which compares as its decimal text and spares the caller the formatting.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Text; header bytes need not be UTF-8.
    Bytes(Cow<'a, [u8]>),
    /// An integer that stands for its decimal text.
    Integer(i64),
    /// A number of a JSON body.
    Number(f64),
    /// A truth value of a JSON body, or `true` for a query argument without `=`.
    Boolean(bool),
    /// A list of a JSON body, or what a path with `[*]` found.
    List(Vec<Value<'a>>),
}

impl<'a> Value<'a> {
    /// Text that lives as long as the request.
    pub fn text(bytes: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::Bytes(Cow::Borrowed(bytes.as_ref()))
    }

    /// The number that this value stands for: text is read as Lua's `tonumber` reads it (decimal, exponent,
    /// hexadecimal with `0x`, surrounding white space); a truth value and a list are none.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Bytes(text) => number::parse(text),
            #[expect(clippy::cast_precision_loss, reason = "Lua has doubles only")]
            Self::Integer(number) => Some(*number as f64),
            Self::Number(number) => Some(*number),
            Self::Boolean(_) | Self::List(_) => None,
        }
    }

    /// Appends the text form: elements of a list are joined by `, `.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bytes(text) => out.extend_from_slice(text),
            Self::Integer(number) => {
                out.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
            }
            // Writing to a vector cannot fail.
            Self::Number(number) => drop(write!(out, "{number}")),
            Self::Boolean(truth) => {
                out.extend_from_slice(if *truth { b"true" } else { b"false" });
            }
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b", ");
                    }
                    item.write_to(out);
                }
            }
        }
    }

    /// Calls `with` with the text of this value; `None` for a list.
    pub(super) fn with_text<R>(&self, with: impl FnOnce(&[u8]) -> R) -> Option<R> {
        match self {
            Self::Bytes(text) => Some(with(text)),
            Self::Integer(number) => Some(with(itoa::Buffer::new().format(*number).as_bytes())),
            Self::Number(_) | Self::Boolean(_) => {
                let mut text = Vec::new();
                self.write_to(&mut text);
                Some(with(&text))
            }
            Self::List(_) => None,
        }
    }
}

/// Where values come from: the request in flight, or a table in tests.
pub trait Lookup {
    /// The value of `variable`; `None` when the request has none. An argument or a header that occurs several times
    /// yields its first value.
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>>;
}

/// A table by variable name, for tests and for `crossway explain`.
impl<S: BuildHasher> Lookup for HashMap<String, String, S> {
    fn lookup<'a>(&'a self, variable: &'a Variable) -> Option<Value<'a>> {
        self.get(variable.to_string().as_str()).map(Value::text)
    }
}
