//! Regular expressions in the dialect that APISIX users write (PCRE), searched in bytes.

use std::fmt;

use fancy_regex::{BytesMode, Regex, RegexBuilder};

/// Steps of backtracking after which a search with look-around or back-references gives up.
const BACKTRACK_LIMIT: usize = 100_000;

/// A regular expression, searched anywhere in the bytes unless it is anchored.
///
/// A pattern without look-around and back-references runs in linear time. The others backtrack, at most 100,000 steps;
/// a search that would need more has no answer, see [`Pattern::search`]. `.` is one byte, as it is in PCRE without its
/// `u` flag, unless the pattern itself needs Unicode (a class with non-ASCII characters, `\p{…}`).
#[derive(Clone)]
pub struct Pattern {
    regex: Regex,
    ignore_case: bool,
}

/// A regular expression that cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot compile the regular expression `{pattern}`: {reason}")]
pub struct BadPattern {
    pattern: String,
    reason: String,
}

impl Pattern {
    /// Compiles a pattern.
    pub fn new(pattern: &str, ignore_case: bool) -> Result<Self, BadPattern> {
        let build = |mode| {
            RegexBuilder::new(pattern)
                .case_insensitive(ignore_case)
                .bytes_mode(mode)
                .backtrack_limit(BACKTRACK_LIMIT)
                .build()
        };
        match build(BytesMode::Ascii).or_else(|_| build(BytesMode::UnicodeBytes)) {
            Ok(regex) => Ok(Self { regex, ignore_case }),
            Err(error) => Err(BadPattern {
                pattern: pattern.to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// Whether the pattern occurs in `text`; `None` when the search gave up.
    pub fn search(&self, text: &[u8]) -> Option<bool> {
        self.regex.is_match(text).ok()
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// Whether upper and lower case are the same.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// The compiled expression, for replacing and for captures. Searches over it may fail when they give up.
    pub fn regex(&self) -> &Regex {
        &self.regex
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Pattern;

    fn search(pattern: &str, text: &[u8]) -> Option<bool> {
        Pattern::new(pattern, false).unwrap().search(text)
    }

    #[test]
    fn searches_bytes_anywhere() {
        assert_eq!(search("b+", b"abbc"), Some(true));
        assert_eq!(search("^b", b"abbc"), Some(false));
        assert_eq!(search("a.c", b"a\xffc"), Some(true));
        assert_eq!(search("caf\u{e9}", "un caf\u{e9}".as_bytes()), Some(true));
        assert_eq!(search("[\u{e9}]$", "un caf\u{e9}".as_bytes()), Some(true));
        assert_eq!(search(r"^\/v\d+\/", b"/v12/x"), Some(true));
        assert!(Pattern::new("abc", true).unwrap().search(b"xABCx").unwrap());
    }

    #[test]
    fn look_around_works_and_is_bounded() {
        assert_eq!(search("^(?!/admin)", b"/admin"), Some(false));
        assert_eq!(search("^(?!/admin)", b"/public"), Some(true));
        assert_eq!(
            search("^(?:(?=a)a|a)+$", &[&[b'a'; 60][..], b"!"].concat()),
            None
        );
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let error = Pattern::new("a(", false).unwrap_err().to_string();
        assert!(error.contains("`a(`"), "{error}");
    }
}
