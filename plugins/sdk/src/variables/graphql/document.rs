//! Reads the operations of a GraphQL document and what they select at the root. Everything deeper is skipped by counting
//! brackets: no tree is built and nothing recurses, so that no document is too deep.

use super::lexer::{Lexer, Token};
use std::collections::{HashMap, HashSet};

/// One operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Definition<'a> {
    /// `query`, `mutation` or `subscription`.
    pub(super) kind: &'static str,
    /// Its name, or nothing.
    pub(super) name: &'a str,
    selections: Vec<Selection<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Selection<'a> {
    /// A field by its own name, whatever its alias.
    Field(&'a str),
    /// The fields of a fragment.
    Fragment(&'a str),
}

/// A document.
#[derive(Debug, Default)]
pub(super) struct Document<'a> {
    pub(super) operations: Vec<Definition<'a>>,
    fragments: HashMap<&'a str, Vec<Selection<'a>>>,
}

/// What stands before the selections of a definition.
pub(super) enum Head<'a> {
    Operation {
        kind: &'static str,
        name: &'a str,
    },
    /// The name of a fragment.
    Fragment(&'a str),
}

/// Reads the heads of all definitions; `selections` reads what follows each. `None` when it is no document. It is not validated:
/// that is the server's business.
pub(super) fn definitions<'a>(
    text: &'a str,
    mut selections: impl FnMut(Head<'a>, &mut Parser<'a>) -> Option<()>,
) -> Option<()> {
    let mut lexer = Lexer::new(text);
    let next = lexer.next()?;
    let mut parser = Parser { lexer, next };
    loop {
        let kind = match parser.next {
            Token::End => return Some(()),
            Token::Mark(b'{') | Token::Name("query") => "query",
            Token::Name("mutation") => "mutation",
            Token::Name("subscription") => "subscription",
            Token::Name("fragment") => {
                parser.advance()?;
                let name = parser.name()?;
                parser.skip_to_selections()?;
                selections(Head::Fragment(name), &mut parser)?;
                continue;
            }
            // A description.
            Token::Literal => {
                parser.advance()?;
                continue;
            }
            _ => return None,
        };
        let mut name = "";
        if parser.next != Token::Mark(b'{') {
            parser.advance()?;
            if let Token::Name(own) = parser.next {
                parser.advance()?;
                name = own;
            }
            parser.skip_to_selections()?;
        }
        selections(Head::Operation { kind, name }, &mut parser)?;
    }
}

impl<'a> Document<'a> {
    /// Reads a document; `None` when it is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut document = Self::default();
        definitions(text, |head, parser| {
            let selections = parser.selections()?;
            match head {
                Head::Operation { kind, name } => document.operations.push(Definition {
                    kind,
                    name,
                    selections,
                }),
                Head::Fragment(name) => {
                    document.fragments.entry(name).or_insert(selections);
                }
            }
            Some(())
        })?;
        Some(document)
    }

    /// The root fields of an operation, in order, those of fragments in the place of the fragment: what the server is
    /// going to answer. A fragment counts once.
    pub(super) fn root_fields(&self, operation: &Definition<'a>) -> Vec<&'a str> {
        let mut fields = Vec::new();
        let mut seen = HashSet::new();
        let mut open = Vec::new();
        let mut current = operation.selections.as_slice();
        loop {
            match current.split_first() {
                Some((Selection::Field(name), rest)) => {
                    fields.push(*name);
                    current = rest;
                }
                Some((Selection::Fragment(name), rest)) => {
                    current = rest;
                    let fragment = self.fragments.get(name).filter(|_| seen.insert(*name));
                    if let Some(selections) = fragment {
                        open.push(std::mem::replace(&mut current, selections));
                    }
                }
                None => match open.pop() {
                    Some(rest) => current = rest,
                    None => return fields,
                },
            }
        }
    }
}

/// Reads tokens, one ahead.
pub(super) struct Parser<'a> {
    lexer: Lexer<'a>,
    pub(super) next: Token<'a>,
}

impl<'a> Parser<'a> {
    pub(super) fn advance(&mut self) -> Option<Token<'a>> {
        let next = self.lexer.next()?;
        Some(std::mem::replace(&mut self.next, next))
    }

    pub(super) fn name(&mut self) -> Option<&'a str> {
        match self.advance()? {
            Token::Name(name) => Some(name),
            _ => None,
        }
    }

    /// Passes variable definitions, a type condition and directives.
    pub(super) fn skip_to_selections(&mut self) -> Option<()> {
        loop {
            match self.next {
                Token::Mark(b'{') => return Some(()),
                Token::Mark(b'(') => self.skip_balanced()?,
                Token::Name(_) | Token::Mark(b'@') => drop(self.advance()?),
                _ => return None,
            }
        }
    }

    /// Passes whatever stands between the bracket that is next and its partner.
    pub(super) fn skip_balanced(&mut self) -> Option<()> {
        let mut open = 0usize;
        loop {
            match self.advance()? {
                Token::Mark(b'(' | b'[' | b'{') => open += 1,
                Token::Mark(b')' | b']' | b'}') => {
                    open = open.checked_sub(1)?;
                    if open == 0 {
                        return Some(());
                    }
                }
                Token::End => return None,
                _ => {}
            }
        }
    }

    pub(super) fn skip_directives(&mut self) -> Option<()> {
        while self.next == Token::Mark(b'@') {
            self.advance()?;
            self.name()?;
            if self.next == Token::Mark(b'(') {
                self.skip_balanced()?;
            }
        }
        Some(())
    }

    /// Reads `{ … }`; an inline fragment's fields are the fields of the set around it.
    fn selections(&mut self) -> Option<Vec<Selection<'a>>> {
        let mut found = Vec::new();
        let mut open = 0usize;
        loop {
            match self.advance()? {
                Token::Mark(b'{') if open == 0 => open = 1,
                Token::Mark(b'}') => {
                    open = open.checked_sub(1)?;
                    if open == 0 {
                        return Some(found);
                    }
                }
                Token::Spread => match self.next {
                    Token::Name(name) if name != "on" => {
                        self.advance()?;
                        self.skip_directives()?;
                        found.push(Selection::Fragment(name));
                    }
                    _ => {
                        self.skip_to_selections()?;
                        self.advance()?;
                        open += 1;
                    }
                },
                Token::Name(alias_or_name) => {
                    let mut name = alias_or_name;
                    if self.next == Token::Mark(b':') {
                        self.advance()?;
                        name = self.name()?;
                    }
                    found.push(Selection::Field(name));
                    if self.next == Token::Mark(b'(') {
                        self.skip_balanced()?;
                    }
                    self.skip_directives()?;
                    if self.next == Token::Mark(b'{') {
                        self.skip_balanced()?;
                    }
                }
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    type Read<'a> = Vec<(&'static str, &'a str, Vec<&'a str>)>;

    fn read(text: &str) -> Option<Read<'_>> {
        let document = Document::parse(text)?;
        let each = document.operations.iter();
        Some(
            each.map(|o| (o.kind, o.name, document.root_fields(o)))
                .collect(),
        )
    }

    #[test]
    fn operations_have_a_kind_a_name_and_root_fields() {
        assert_eq!(
            read("{ user { id } }"),
            Some(vec![("query", "", vec!["user"])])
        );
        assert_eq!(
            read(
                "query Q($a: [In!] = {k: [\"}\"]}, $b: Int) @d(x: {y: 1}) { u: user(id: {a: \")\"}) @skip(if: $b) \
                 { on query } on }\n mutation { add, remove }\nsubscription S { s }"
            ),
            Some(vec![
                ("query", "Q", vec!["user", "on"]),
                ("mutation", "", vec!["add", "remove"]),
                ("subscription", "S", vec!["s"]),
            ])
        );
    }

    #[test]
    fn fragments_do_not_hide_a_root_field() {
        let text = "query { a ...F @x ... on Query @y { b ... { c } } ... @include(if: true) { d } e ...F ...Gone }
            fragment F on Query { f ...G } fragment G on Query { g ...F }
            fragment F on Query { second }";
        assert_eq!(
            read(text).unwrap(),
            [("query", "", vec!["a", "f", "g", "b", "c", "d", "e"])]
        );
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "{",
            "}",
            "{ a",
            "query",
            "query Q",
            "{ a( }",
            "{ a ]}",
            "{ 1 }",
            "{ a: }",
            "a",
            "{ ... }",
            "{ a { b }",
            "type Query { a: Int }",
            "{ {a} }",
            "query Q [ { a }",
            "{ a @ }",
            "fragment on { a }x",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(""), Some(vec![]));
    }

    #[test]
    fn depth_costs_no_stack() {
        let (open, close) = ("{a".repeat(200_000), "}".repeat(200_000));
        assert_eq!(
            read(&format!("{open}{close}")),
            Some(vec![("query", "", vec!["a"])])
        );
        let (open, close) = ("...{".repeat(200_000), "}".repeat(200_000));
        assert_eq!(
            read(&format!("{{a {open}{close}}}")),
            Some(vec![("query", "", vec!["a"])])
        );
        let chain: String = (0..20_000)
            .map(|i| format!("fragment F{i} on Q {{ f{i} ...F{} ...F{i} }}", i + 1))
            .collect();
        let text = format!("{{ ...F0 }} {chain}");
        let read = read(&text).unwrap();
        assert_eq!(read.first().map(|(.., fields)| fields.len()), Some(20_000));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}()\\[\\]:@.\"\\\\#a-c1 \n$!=-]{0,60}") {
            let _read = read(&text);
        }

        #[test]
        fn the_names_at_the_root_come_back(names in prop::collection::vec("[a-z_][a-z0-9_]{0,6}", 1..6)) {
            let body: String = names.iter().map(|n| format!("x: {n}(a: {{b: [\"}}\"]}}) {{ {n} }},")).collect();
            let text = format!("query N {{ {body} }}");
            let read = read(&text).unwrap();
            prop_assert_eq!(&read.first().unwrap().2, &names);
        }
    }
}
