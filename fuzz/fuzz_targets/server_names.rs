//! Server names against patterns: the index finds what the plain rules say, whatever is added and removed before.
#![no_main]

use arbitrary::Arbitrary;
use crossway::tls::{Names, normal};
use libfuzzer_sys::fuzz_target;
use std::{collections::BTreeSet, sync::Arc};

#[derive(Debug, Arbitrary)]
enum Step {
    Insert(Pattern, u8),
    Remove(Pattern, u8),
    Find(Name),
}

/// Few letters, so that names meet.
#[derive(Debug, Arbitrary)]
struct Name(Vec<Letter>);

#[derive(Debug, Arbitrary)]
struct Pattern {
    star: bool,
    rest: Name,
}

#[derive(Debug, Arbitrary)]
enum Letter {
    A,
    UpperA,
    B,
    Dot,
}

impl Name {
    fn text(&self) -> String {
        let letter = |letter: &Letter| match letter {
            Letter::A => 'a',
            Letter::UpperA => 'A',
            Letter::B => 'b',
            Letter::Dot => '.',
        };
        self.0.iter().map(letter).collect()
    }
}

impl Pattern {
    fn text(&self) -> String {
        let star = if self.star { "*" } else { "" };
        format!("{star}{}", self.rest.text())
    }
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(rest) => name
            .strip_suffix(rest)
            .is_some_and(|star| !star.contains('.')),
        None => pattern == name,
    }
}

fuzz_target!(|steps: Vec<Step>| {
    let mut names = Names::default();
    let mut plain = BTreeSet::new();
    for step in steps {
        match step {
            Step::Insert(pattern, id) => {
                let (pattern, id) = (pattern.text(), id.to_string());
                let value = (normal(&pattern).into_owned(), id.clone());
                plain.insert(value.clone());
                names.insert(&pattern, &Arc::from(id), value);
            }
            Step::Remove(pattern, id) => {
                let (pattern, id) = (pattern.text(), id.to_string());
                plain.remove(&(normal(&pattern).into_owned(), id.clone()));
                names.remove(&pattern, &id);
            }
            Step::Find(name) => {
                let name = name.text();
                let wanted = normal(&name);
                let fitting = plain.iter().filter(|(p, _)| matches(p, &wanted));
                // The longest fixed part, an exact name before all, and then the lowest id.
                let best = fitting.min_by_key(|(pattern, id)| {
                    let exact = !pattern.starts_with('*');
                    (!exact, usize::MAX - pattern.len(), id.clone())
                });
                assert_eq!(names.find(&name), best, "{name}");
            }
        }
    }
});
