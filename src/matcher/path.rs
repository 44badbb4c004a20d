//! Path patterns: literal paths, prefixes, wildcards and parameters.

use std::{fmt, sync::Arc};

use smallvec::SmallVec;

use super::{
    Mode,
    glob::{Glob, Piece},
};

/// What `:name` and `*name` stood for, in the order of the pattern. A wildcard without a name is called `:ext`, as in
/// APISIX.
pub type Params<'m, 'p> = SmallVec<[(&'m str, &'p str); 4]>;

/// A path pattern.
///
/// * Without `*`: the path itself.
/// * `*` at the end: every path that begins so. `/foo/*` takes `/foo/` and `/foo/a/b`, not `/foo`; `/foo*` takes both.
/// * A segment that begins with `*`: any run of bytes, `/` included; the rest of the segment is its name. `/a/*/b`
///   takes `/a/x/b` and `/a/x/y/b`.
/// * A `*` inside a segment: any run of bytes. (APISIX takes such a pattern for a prefix or for a repetition, depending
///   on what else is in it.)
/// * `:name` as a whole segment, in the modes with parameters only: one segment that is not empty.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: Arc<str>,
    /// Length of the part before the first wildcard or parameter.
    literal: usize,
    /// What follows that part, unless it is nothing or a single `*`.
    glob: Option<Arc<Glob>>,
}

impl PathPattern {
    /// Reads a pattern; `mode` says whether `:name` is a parameter. Every text is a pattern.
    pub fn new(text: impl Into<Arc<str>>, mode: Mode) -> Self {
        let text = text.into();
        let mut pieces = pieces(&text, mode.has_parameters());
        let literal = match pieces.first() {
            Some(Piece::Literal(start)) => start.len(),
            _ => 0,
        };
        if literal > 0 {
            pieces.remove(0);
        }
        let glob = match pieces.as_slice() {
            [] | [Piece::Any(_)] => None,
            _ => Some(Arc::new(Glob::new(pieces))),
        };
        Self {
            text,
            literal,
            glob,
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The pattern as it was written, shared.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether the pattern stands for one path only.
    pub fn is_exact(&self) -> bool {
        self.glob.is_none() && self.literal == self.text.len()
    }

    /// Whether a path matches.
    pub fn matches(&self, path: &str) -> bool {
        if self.is_exact() {
            return path == self.as_str();
        }
        path.as_bytes().starts_with(self.literal()) && self.rest_matches(path)
    }

    /// The values of the pattern's parameters; empty when the path does not match.
    pub fn params<'p>(&self, path: &'p str) -> Params<'_, 'p> {
        let Some(rest) = path.get(self.literal..) else {
            return Params::new();
        };
        match &self.glob {
            Some(glob) => glob.params(rest),
            None => match self.tail_name() {
                Some(name) => SmallVec::from_iter([(name, rest)]),
                None => Params::new(),
            },
        }
    }

    /// The bytes before the first wildcard or parameter.
    pub(super) fn literal(&self) -> &[u8] {
        self.text.as_bytes().get(..self.literal).unwrap_or_default()
    }

    /// Whether what follows the literal part matches, the literal part being known to match.
    pub(super) fn rest_matches(&self, path: &str) -> bool {
        match &self.glob {
            None => true,
            Some(glob) => path
                .as_bytes()
                .get(self.literal..)
                .is_some_and(|rest| glob.matches(rest)),
        }
    }

    /// The name of a `*` at the end that is a segment of its own.
    fn tail_name(&self) -> Option<&str> {
        if self.literal().last().is_some_and(|last| *last != b'/') {
            return None;
        }
        let name = self.text.get(self.literal..)?.strip_prefix('*')?;
        Some(if name.is_empty() { ANONYMOUS } else { name })
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for PathPattern {
    /// Two patterns of one mode are equal when their texts are.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

const ANONYMOUS: &str = ":ext";

fn pieces(text: &str, parameters: bool) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    for (index, segment) in text.split('/').enumerate() {
        if index > 0 {
            plain.push('/');
        }
        if let Some(name) = segment.strip_prefix('*') {
            flush(&mut plain, &mut pieces);
            pieces.push(Piece::Any(Some(
                if name.is_empty() { ANONYMOUS } else { name }.into(),
            )));
        } else if let Some(name) = segment.strip_prefix(':').filter(|_| parameters) {
            flush(&mut plain, &mut pieces);
            pieces.push(Piece::Segment(name.into()));
        } else {
            for (index, part) in segment.split('*').enumerate() {
                if index > 0 {
                    flush(&mut plain, &mut pieces);
                    pieces.push(Piece::Any(None));
                }
                plain.push_str(part);
            }
        }
    }
    flush(&mut plain, &mut pieces);
    pieces
}

fn flush(plain: &mut String, pieces: &mut Vec<Piece>) {
    if !plain.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(plain).into_bytes().into()));
    }
}

#[cfg(test)]
mod tests {
    use super::{Mode, PathPattern};

    fn matches(pattern: &str, path: &str) -> bool {
        PathPattern::new(pattern, Mode::PathWithParameters).matches(path)
    }

    fn params(pattern: &str, path: &str) -> Vec<(String, String)> {
        let pattern = PathPattern::new(pattern, Mode::PathWithParameters);
        assert!(pattern.matches(path), "{pattern} {path}");
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pattern.params(path).iter().map(own).collect()
    }

    #[test]
    fn literal_paths_and_prefixes() {
        assert!(matches("/foo", "/foo"));
        assert!(!matches("/foo", "/foo/"));
        assert!(!matches("/foo", "/FOO"));
        assert!(matches("/foo/*", "/foo/"));
        assert!(matches("/foo/*", "/foo/a/b"));
        assert!(!matches("/foo/*", "/foo"));
        assert!(matches("/foo*", "/foo"));
        assert!(matches("/foo*", "/foobar"));
        assert!(matches("*", ""));
        assert!(matches("*", "/x"));
        assert!(matches("", ""));
        assert!(!matches("", "/"));
    }

    #[test]
    fn wildcards_inside() {
        assert!(matches("/a/*/b", "/a/x/b"));
        assert!(matches("/a/*/b", "/a/x/y/b"));
        assert!(!matches("/a/*/b", "/a/b"));
        assert!(!matches("/a/*/b", "/a/x/b/c"));
        assert!(matches("/a/*/b/*", "/a/x/b/"));
        assert!(matches("/a*c/d", "/abc/d"));
        assert!(!matches("/a*c/d", "/ab/d"));
        assert!(matches("/a*.jpg", "/a/b.jpg"));
    }

    #[test]
    fn parameters_are_one_segment_each() {
        assert!(matches("/user/:id", "/user/7"));
        assert!(!matches("/user/:id", "/user/"));
        assert!(!matches("/user/:id", "/user/7/x"));
        assert!(matches("/user/:id/posts", "/user/7/posts"));
        assert!(matches("/a:b", "/a:b"));
        assert!(!matches("/a:b", "/ax"));
        let literal = PathPattern::new("/user/:id", Mode::HostThenPath);
        assert!(literal.matches("/user/:id"));
        assert!(!literal.matches("/user/7"));
    }

    #[test]
    fn names_and_values() {
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert_eq!(
            params("/u/:id/p/:post", "/u/7/p/x y"),
            pairs(&[("id", "7"), ("post", "x y")])
        );
        assert_eq!(
            params("/blog/*rest", "/blog/a/b"),
            pairs(&[("rest", "a/b")])
        );
        assert_eq!(params("/blog/*", "/blog/"), pairs(&[(":ext", "")]));
        assert_eq!(params("/blog*", "/blog/a"), pairs(&[]));
        assert_eq!(params("/exact", "/exact"), pairs(&[]));
        assert_eq!(
            params("/:a/*b", "/x/y/z"),
            pairs(&[("a", "x"), ("b", "y/z")])
        );
        // The first wildcard takes as much as it can, as it does in APISIX.
        assert_eq!(
            params("/*a/m/*b", "/1/m/2/m/3"),
            pairs(&[("a", "1/m/2"), ("b", "3")])
        );
        assert_eq!(
            params("/*a/m/:b", "/1/m/2/m/3"),
            pairs(&[("a", "1/m/2"), ("b", "3")])
        );
    }

    #[test]
    fn the_literal_part_ends_at_the_first_wildcard() {
        let literal = |text: &str| {
            PathPattern::new(text, Mode::PathWithParameters)
                .literal()
                .to_vec()
        };
        assert_eq!(literal("/a/b"), b"/a/b");
        assert_eq!(literal("/a/b*"), b"/a/b");
        assert_eq!(literal("/a/:b/*"), b"/a/");
        assert_eq!(literal("*"), b"");
    }
}
