//! From a server name to what serves it: exact names before wildcards, wildcards before `*`.

use imbl::OrdMap;
use std::{borrow::Cow, sync::Arc};

/// An index over patterns of names. A clone is cheap and independent.
///
/// Patterns are a name, `*.` and a name, or `*` for all. A `*` stands for one label or, as in `*b.test`, for the
/// beginning of one: it never covers a dot. Of several patterns that match, the one with the longest fixed part counts;
/// of several values with the same pattern, that with the lowest id.
#[derive(Clone, Debug)]
pub struct Names<T> {
    exact: OrdMap<Box<str>, Claims<T>>,
    /// By what follows the `*`.
    wildcard: OrdMap<Box<str>, Claims<T>>,
    any: Claims<T>,
    /// How many wildcards begin inside of a label.
    partial: usize,
}

/// The values with one pattern, in the order of their ids.
type Claims<T> = Vec<(Arc<str>, T)>;

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self {
            exact: OrdMap::default(),
            wildcard: OrdMap::default(),
            any: Vec::new(),
            partial: 0,
        }
    }
}

impl<T: Clone> Names<T> {
    /// Adds a value for a pattern. One that the same id had for it is replaced.
    pub fn insert(&mut self, pattern: &str, id: &Arc<str>, value: T) {
        self.remove(pattern, id);
        let pattern = normal(pattern);
        let claims = match pattern.strip_prefix('*') {
            Some("") => &mut self.any,
            Some(rest) => {
                self.partial += usize::from(!rest.starts_with('.'));
                self.wildcard.entry(rest.into()).or_default()
            }
            None => self.exact.entry((&*pattern).into()).or_default(),
        };
        let at = claims.partition_point(|(other, _)| other < id);
        claims.insert(at, (id.clone(), value));
    }

    /// Removes what an id has for a pattern.
    pub fn remove(&mut self, pattern: &str, id: &str) {
        let pattern = normal(pattern);
        let taken = |claims: &mut Claims<T>| {
            let before = claims.len();
            claims.retain(|(other, _)| **other != *id);
            claims.len() < before
        };
        match pattern.strip_prefix('*') {
            Some("") => {
                taken(&mut self.any);
            }
            Some(rest) => {
                let Some(claims) = self.wildcard.get_mut(rest) else {
                    return;
                };
                if taken(claims) && !rest.starts_with('.') {
                    self.partial -= 1;
                }
                if claims.is_empty() {
                    self.wildcard.remove(rest);
                }
            }
            None => {
                let Some(claims) = self.exact.get_mut(&*pattern) else {
                    return;
                };
                taken(claims);
                if claims.is_empty() {
                    self.exact.remove(&*pattern);
                }
            }
        }
    }

    /// What serves a name.
    pub fn find(&self, name: &str) -> Option<&T> {
        let name = normal(name);
        let found = self.exact.get(&*name).or_else(|| self.by_wildcard(&name));
        let (_, value) = found.unwrap_or(&self.any).first()?;
        Some(value)
    }

    fn by_wildcard(&self, name: &str) -> Option<&Claims<T>> {
        let end = name.find('.').unwrap_or(name.len());
        let begin = if self.partial > 0 { 0 } else { end };
        (begin..=end).find_map(|at| self.wildcard.get(name.get(at..)?))
    }
}

/// A name or pattern in lower case, without the dot that may end it.
pub fn normal(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.bytes().any(|b| b.is_ascii_uppercase()) {
        true => Cow::Owned(name.to_ascii_lowercase()),
        false => Cow::Borrowed(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(patterns: &[(&str, &str)]) -> Names<String> {
        let mut names = Names::default();
        for (pattern, id) in patterns {
            names.insert(pattern, &Arc::from(*id), (*id).to_owned());
        }
        names
    }

    fn found(names: &Names<String>, name: &str) -> String {
        names.find(name).cloned().unwrap_or_default()
    }

    #[test]
    fn exact_before_wildcard_before_all() {
        let names = names(&[
            ("a.test", "exact"),
            ("*.test", "wild"),
            ("*.b.test", "deep"),
            ("*", "all"),
        ]);
        assert_eq!(found(&names, "a.test"), "exact");
        assert_eq!(found(&names, "A.Test."), "exact");
        assert_eq!(found(&names, "c.test"), "wild");
        assert_eq!(found(&names, "x.b.test"), "deep");
        assert_eq!(found(&names, "x.c.test"), "all", "one label only");
        assert_eq!(found(&names, "test"), "all");
        assert_eq!(found(&names, ""), "all");
    }

    #[test]
    fn without_a_pattern_there_is_nothing() {
        let names = names(&[("*.a.test", "1")]);
        for name in ["a.test", ".a.test.", "x.y.a.test", "xa.test", "*", "", "."] {
            let expected = if name == ".a.test." { "1" } else { "" };
            assert_eq!(found(&names, name), expected, "{name}");
        }
    }

    #[test]
    fn a_star_may_begin_a_label() {
        let names = names(&[
            ("*b.test", "part"),
            ("*ab.test", "longer"),
            ("*.test", "label"),
        ]);
        assert_eq!(found(&names, "xb.test"), "part");
        assert_eq!(found(&names, "xab.test"), "longer");
        assert_eq!(found(&names, "b.test"), "part");
        assert_eq!(found(&names, "c.test"), "label");
        assert_eq!(found(&names, "x.b.test"), "");
    }

    #[test]
    fn the_lowest_id_counts_until_it_goes() {
        let mut names = names(&[("a.test", "2"), ("a.test", "1"), ("*x.test", "1")]);
        assert_eq!(found(&names, "a.test"), "1");
        let before = names.clone();
        names.remove("a.test", "1");
        assert_eq!(found(&names, "a.test"), "2");
        names.remove("a.test", "2");
        names.remove("*x.test", "1");
        assert_eq!(found(&names, "a.test"), "");
        assert_eq!(
            (names.exact.len(), names.wildcard.len(), names.partial),
            (0, 0, 0)
        );
        assert_eq!(found(&before, "a.test"), "1", "a clone is independent");
    }

    /// The rules, as plainly as they can be written.
    fn plainly<'a>(patterns: &'a [String], name: &str) -> Option<&'a String> {
        let name = normal(name);
        let matches = |pattern: &&String| {
            let pattern = normal(pattern);
            match pattern.strip_prefix('*') {
                Some("") => true,
                Some(rest) => name.strip_suffix(rest).is_some_and(|n| !n.contains('.')),
                None => pattern == name,
            }
        };
        let rank = |pattern: &&String| (!pattern.starts_with('*'), normal(pattern).len());
        patterns.iter().filter(matches).max_by_key(rank)
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_rules(
            patterns in prop::collection::btree_set("[*]?[.]?[ab]{1,2}([.][ab]{1,2}){0,2}", 0..8),
            name in "[abA]{1,2}([.][ab]{1,2}){0,3}[.]?",
        ) {
            let patterns: Vec<String> = patterns.into_iter().collect();
            let mut names = Names::default();
            for pattern in &patterns {
                names.insert(pattern, &Arc::from("1"), normal(pattern).into_owned());
            }
            let expected = plainly(&patterns, &name).map(|p| normal(p).into_owned());
            prop_assert_eq!(names.find(&name).cloned(), expected);
        }
    }
}
