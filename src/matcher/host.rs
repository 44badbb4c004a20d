//! Host patterns: a name, or `*` and the end of a name.

use std::{fmt, sync::Arc};

/// `foo.com`, `*.foo.com` (any depth, not `foo.com` itself), `*foo.com` (any name that ends so), or `*`.
///
/// Kept in lower case and without a final dot, as the host of a request is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPattern(Arc<str>);

/// A text that is no host pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a host: expected a name, or `*` followed by the end of a name")]
pub struct BadHost(pub String);

impl HostPattern {
    /// Reads a pattern. `*` may stand at the beginning only.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        let name = text.strip_prefix('*').unwrap_or(text);
        let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'/');
        if text.is_empty() || !name.bytes().all(allowed) {
            return Err(BadHost(text.to_owned()));
        }
        let text = text
            .strip_suffix('.')
            .filter(|rest| !rest.is_empty())
            .unwrap_or(text);
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    /// The pattern, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The pattern, shared.
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The end that a name must have; `None` when the pattern is a whole name.
    pub(super) fn suffix(&self) -> Option<&str> {
        self.0.strip_prefix('*')
    }

    /// Where the pattern stands in the host tree, whose keys are names read backwards.
    pub(super) fn reversed(&self) -> smallvec::SmallVec<[u8; 128]> {
        reversed(self.suffix().unwrap_or(&self.0))
    }

    /// For the modes that look at the path first. `host` is in lower case and without port. There, a pattern with a
    /// port is compared with the `Host` header as it came.
    pub(super) fn matches(&self, host: &str, authority: &str) -> bool {
        let pattern = self.as_str();
        // An IPv6 address has colons of its own; it may be meant with or without a port.
        if pattern.contains(':') && !(pattern.starts_with('[') && pattern == host) {
            return match self.suffix() {
                Some(suffix) => authority
                    .len()
                    .checked_sub(suffix.len())
                    .and_then(|start| authority.as_bytes().get(start..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes())),
                None => authority.eq_ignore_ascii_case(pattern),
            };
        }
        match self.suffix() {
            Some(suffix) => host.ends_with(suffix),
            None => host == pattern,
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub(super) fn reversed(name: &str) -> smallvec::SmallVec<[u8; 128]> {
    name.bytes().rev().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::HostPattern;

    #[test]
    fn names_and_ends_of_names() {
        for (pattern, host, matches) in [
            ("foo.com", "foo.com", true),
            ("FOO.com", "foo.com", true),
            ("foo.com.", "foo.com", true),
            ("foo.com", "a.foo.com", false),
            ("*.foo.com", "a.foo.com", true),
            ("*.foo.com", "a.b.foo.com", true),
            ("*.foo.com", "foo.com", false),
            ("*foo.com", "foo.com", true),
            ("*foo.com", "barfoo.com", true),
            ("*", "anything", true),
            ("[::1]", "[::1]", true),
        ] {
            assert_eq!(
                HostPattern::parse(pattern).unwrap().matches(host, host),
                matches,
                "{pattern}"
            );
        }
    }

    #[test]
    fn a_pattern_with_a_port_is_compared_with_the_header() {
        let matches = |pattern: &str, header| {
            HostPattern::parse(pattern)
                .unwrap()
                .matches("foo.com", header)
        };
        assert!(matches("foo.com:80", "Foo.com:80"));
        assert!(!matches("foo.com:80", "foo.com"));
        assert!(matches("*.com:80", "foo.com:80"));
        assert!(!matches("*.com:80", "foo.com:81"));
        assert!(!matches("*.com:80", "\u{e9}:80"));
    }

    #[test]
    fn refuses_what_is_no_host() {
        for text in ["", "a b", "a*b", "**", "*.*.com", "a/b", "caf\u{e9}.fr"] {
            assert!(HostPattern::parse(text).is_err(), "{text:?}");
        }
    }
}
