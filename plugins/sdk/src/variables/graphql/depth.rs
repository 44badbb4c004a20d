//! How deep the selections of a GraphQL document go. Nothing recurses, and each fragment is measured once.

use super::document::{Head, Parser, definitions};
use super::lexer::Token;
use std::collections::HashMap;

/// Why a document has no depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DepthError {
    /// It is no GraphQL document.
    #[error("failed to parse graphql query")]
    Unreadable,
    /// It has no operation.
    #[error("empty graphql query")]
    Empty,
    /// A fragment contains itself.
    #[error("fragment spreads must not form cycles")]
    Cycle,
}

/// The selections of one definition.
#[derive(Default)]
struct Measured<'a> {
    /// How deep its own selections go; 1 without any inside of others.
    depth: usize,
    /// Fragments that it spreads, each with the depth at which it does.
    spreads: Vec<(&'a str, usize)>,
}

/// The largest number of selection sets inside of one another, over all operations of a document; at least 1. Fragments count as what
/// stands in them.
///
/// # Errors
/// The document cannot be measured.
pub fn graphql_depth(text: &str) -> Result<usize, DepthError> {
    let mut operations = Vec::new();
    let mut fragments: HashMap<&str, Measured<'_>> = HashMap::new();
    definitions(text, |head, parser| {
        let measured = measure(parser)?;
        match head {
            Head::Operation { .. } => operations.push(measured),
            // Of several by one name nobody knows which one a server takes: none must be deeper than what is measured.
            Head::Fragment(name) => {
                let held = fragments.entry(name).or_default();
                held.depth = held.depth.max(measured.depth);
                held.spreads.extend(measured.spreads);
            }
        }
        Some(())
    })
    .ok_or(DepthError::Unreadable)?;
    if operations.is_empty() {
        return Err(DepthError::Empty);
    }
    let mut known = HashMap::new();
    let mut deepest = 1;
    for operation in &operations {
        deepest = deepest.max(resolve(operation, &fragments, &mut known)?);
    }
    Ok(deepest)
}

/// The definition whose spreads are being looked at.
struct Open<'m, 'a> {
    /// Its name, and the depth at which it is spread; none for the operation.
    spread: Option<(&'a str, usize)>,
    measured: &'m Measured<'a>,
    next: usize,
    deepest: usize,
}

/// The depth of a definition with all that it spreads. `known` has `None` for what is still open.
fn resolve<'a>(
    operation: &Measured<'a>,
    fragments: &HashMap<&'a str, Measured<'a>>,
    known: &mut HashMap<&'a str, Option<usize>>,
) -> Result<usize, DepthError> {
    let mut stack = vec![Open {
        spread: None,
        measured: operation,
        next: 0,
        deepest: operation.depth,
    }];
    let mut finished = None;
    while let Some(top) = stack.last_mut() {
        if let Some((at, depth)) = finished.take() {
            // A fragment's own first level is the one that it is spread at.
            top.deepest = top.deepest.max(usize::saturating_sub(at + depth, 1));
        }
        let Some(&(name, at)) = top.measured.spreads.get(top.next) else {
            let deepest = top.deepest;
            let spread = top.spread;
            stack.pop();
            let Some((name, at)) = spread else {
                return Ok(deepest);
            };
            known.insert(name, Some(deepest));
            finished = Some((at, deepest));
            continue;
        };
        top.next += 1;
        match (known.get(name), fragments.get(name)) {
            (Some(Some(depth)), _) => finished = Some((at, *depth)),
            (Some(None), _) => return Err(DepthError::Cycle),
            // What is not defined selects nothing.
            (None, None) => {}
            (None, Some(fragment)) => {
                known.insert(name, None);
                stack.push(Open {
                    spread: Some((name, at)),
                    measured: fragment,
                    next: 0,
                    deepest: fragment.depth,
                });
            }
        }
    }
    Ok(operation.depth)
}

/// Measures the selections that come next, the ones inside of others included.
fn measure<'a>(parser: &mut Parser<'a>) -> Option<Measured<'a>> {
    let mut measured = Measured::default();
    // For each open bracket: whether it goes one deeper, which an inline fragment does not.
    let mut open: Vec<bool> = Vec::new();
    let mut depth = 0;
    loop {
        match parser.advance()? {
            Token::Mark(b'{') if open.is_empty() => {
                open.push(true);
                depth = 1;
            }
            Token::Mark(b'}') => {
                depth -= usize::from(open.pop()?);
                if open.is_empty() {
                    return Some(measured);
                }
            }
            Token::Spread if !open.is_empty() => match parser.next {
                Token::Name(name) if name != "on" => {
                    parser.advance()?;
                    parser.skip_directives()?;
                    measured.spreads.push((name, depth));
                }
                _ => {
                    parser.skip_to_selections()?;
                    parser.advance()?;
                    open.push(false);
                }
            },
            Token::Name(_) if !open.is_empty() => {
                if parser.next == Token::Mark(b':') {
                    parser.advance()?;
                    parser.name()?;
                }
                if parser.next == Token::Mark(b'(') {
                    parser.skip_balanced()?;
                }
                parser.skip_directives()?;
                if parser.next == Token::Mark(b'{') {
                    parser.advance()?;
                    open.push(true);
                    depth += 1;
                }
            }
            _ => return None,
        }
        measured.depth = measured.depth.max(depth);
    }
}

#[cfg(test)]
mod tests {
    use super::{DepthError::*, *};
    use proptest::prelude::*;

    #[test]
    fn selections_inside_of_one_another_count() {
        for (text, depth) in [
            ("{ a }", 1),
            ("{ a { b } c }", 2),
            (
                "query Q($x: In = {k: {l: 1}}) @d(a: {b: {}}) { a(i: {j: {k: 1}}) @s(if: true) { b { c } } d { e } }",
                3,
            ),
            ("{ a } query B { a { b { c { d } } } }", 4),
            ("{ a { ... on B { c { d } } ... @x { e } } }", 3),
            ("{ a { ...F } } fragment F on B { c { d } }", 3),
            ("{ ...F } fragment F on Q { a }", 1),
            (
                "{ ...F ...F } fragment F on Q { a { ...G } } fragment G on A { b { c } }",
                3,
            ),
            ("{ a { b { ...Gone } } }", 3),
            (
                "{ ...F } fragment F on Q { a } fragment F on Q { a { b { c } } }",
                3,
            ),
            ("subscription { a: b { c } }", 2),
            ("{ }", 1),
        ] {
            assert_eq!(graphql_depth(text), Ok(depth), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_measured_is_told_apart() {
        for (text, why) in [
            ("", Empty),
            ("fragment F on Q { a }", Empty),
            ("{", Unreadable),
            ("{ a { b }", Unreadable),
            ("{ {a} }", Unreadable),
            ("type Q { a: Int }", Unreadable),
            ("{ ...F } fragment F on Q { a { ...F } }", Cycle),
            (
                "{ ...F } fragment F on Q { ...G } fragment G on Q { b ...F }",
                Cycle,
            ),
        ] {
            assert_eq!(graphql_depth(text), Err(why), "{text}");
        }
    }

    #[test]
    fn no_document_takes_long_or_much_stack() {
        let (open, close) = ("{a".repeat(200_000), "}".repeat(200_000));
        assert_eq!(graphql_depth(&format!("{open}{close}")), Ok(200_000));
        // Each fragment spreads the next one twice: 2^20000 ways, measured once each.
        let chain: String = (0..20_000)
            .map(|i| {
                format!(
                    "fragment F{i} on Q {{ a {{ ...F{} ...F{} }} }}",
                    i + 1,
                    i + 1
                )
            })
            .collect();
        assert_eq!(graphql_depth(&format!("{{ ...F0 }} {chain}")), Ok(20_001));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}()\\[\\]:@.\"\\\\#a-c1 \n$!=-]{0,60}") {
            let _depth = graphql_depth(&text);
        }

        #[test]
        fn the_depth_that_was_written_comes_back(depth in 1usize..40, inline in any::<bool>()) {
            let (before, behind) = if inline { ("... on A {", "}") } else { ("", "") };
            let text = format!("{}x{}", format!("{{ {before} a ").repeat(depth), format!("{behind} }}").repeat(depth));
            prop_assert_eq!(graphql_depth(&text), Ok(depth));
        }
    }
}
