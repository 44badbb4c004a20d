//! Header fields exactly as they stood on the wire: order, spelling and duplicates kept.

use std::fmt;

/// The fields of one message, in order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    /// Adds a field at the end; an equal name may be there already.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.0.push((name.into(), value.into()));
    }

    /// The value of the first field of this name (in any case), if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let named = self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
        named.and_then(|(_, value)| std::str::from_utf8(value).ok())
    }

    /// All values of this name, in order; bytes that are not UTF-8 are replaced.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.bytes(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    /// Whether a field of this name is there.
    pub fn has(&self, name: &str) -> bool {
        self.bytes(name).next().is_some()
    }

    /// Name and value of each field, in order, spelled as received.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many fields there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(
                self.iter()
                    .map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v))),
            )
            .finish()
    }
}
