//! What is wrong with a store, told in the same way by all of them.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

/// A place in a text file; both count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// From 1.
    pub line: u64,
    /// In characters, from 1.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} column {}", self.line, self.column)
    }
}

/// A problem that lasts: the store goes on with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// For an operator, with the file and the place in it where there is one.
    pub what: String,
    /// Where in a declarative file.
    pub at: Option<Position>,
    /// When it was noticed first.
    pub since: SystemTime,
}
