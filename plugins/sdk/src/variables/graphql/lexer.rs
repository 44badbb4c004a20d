//! Cuts a GraphQL document into tokens, without copying (GraphQL specification, October 2021, §2.1).

/// A token, as far as operations and their fields need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Name(&'a str),
    /// One of `! $ & ( ) : = @ [ ] { | }`.
    Mark(u8),
    /// `...`.
    Spread,
    /// A string or a number, whose content does not matter here.
    Literal,
    /// The document is over.
    End,
}

/// What is left of the document.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(document: &'a str) -> Self {
        Self { rest: document }
    }

    /// The next token; `None` for what is no GraphQL.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.skip_ignored();
        let Some(&first) = self.rest.as_bytes().first() else {
            return Some(Token::End);
        };
        match first {
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|'
            | b'}' => {
                self.take(1)?;
                Some(Token::Mark(first))
            }
            b'.' => {
                self.rest = self.rest.strip_prefix("...")?;
                Some(Token::Spread)
            }
            b'"' => {
                self.skip_string()?;
                Some(Token::Literal)
            }
            b'-' | b'0'..=b'9' => {
                self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'-'))?;
                Some(Token::Literal)
            }
            b'_' | b'a'..=b'z' | b'A'..=b'Z' => self
                .take_while(|b| b.is_ascii_alphanumeric() || b == b'_')
                .map(Token::Name),
            _ => None,
        }
    }

    /// White space, commas, comments and the byte order mark mean nothing.
    fn skip_ignored(&mut self) {
        loop {
            self.rest = self
                .rest
                .trim_start_matches([' ', '\t', '\n', '\r', ',', '\u{feff}']);
            if !self.rest.starts_with('#') {
                return;
            }
            let end = self.rest.find(['\n', '\r']).unwrap_or(self.rest.len());
            self.rest = self.rest.get(end..).unwrap_or_default();
        }
    }

    fn take(&mut self, length: usize) -> Option<&'a str> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn take_while(&mut self, accepts: impl Fn(u8) -> bool) -> Option<&'a str> {
        let length = self.rest.bytes().take_while(|b| accepts(*b)).count();
        self.take(length)
    }

    fn skip_string(&mut self) -> Option<()> {
        if let Some(block) = self.rest.strip_prefix("\"\"\"") {
            self.rest = block;
            loop {
                let end = self.rest.find("\"\"\"")?;
                let escaped = self.take(end)?.ends_with('\\');
                self.take(3)?;
                if !escaped {
                    return Some(());
                }
            }
        }
        let mut escaped = false;
        for (index, byte) in self.rest.bytes().enumerate().skip(1) {
            match byte {
                b'\n' | b'\r' => return None,
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => return self.take(index + 1).map(drop),
                _ => {}
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(document: &str) -> Option<Vec<Token<'_>>> {
        let mut lexer = Lexer::new(document);
        let mut found = Vec::new();
        loop {
            match lexer.next()? {
                Token::End => return Some(found),
                token => found.push(token),
            }
        }
    }

    #[test]
    fn nothing_in_a_string_or_a_comment_is_a_token() {
        use Token::{Literal, Mark, Name};
        assert_eq!(
            tokens("\u{feff}a: \"{\\\"}\\\\\", # } b\r\n c \"\"\"x \\\"\"\" \" } \"\"\" -1.5e+3 é"),
            None
        );
        assert_eq!(
            tokens("\u{feff}a: \"{\\\"}\\\\\", # } b\r\n c \"\"\"x \\\"\"\" \" } \"\"\" -1.5e+3"),
            Some(vec![
                Name("a"),
                Mark(b':'),
                Literal,
                Name("c"),
                Literal,
                Literal
            ])
        );
        assert_eq!(tokens("...a"), Some(vec![Token::Spread, Name("a")]));
        assert_eq!(tokens("\"\""), Some(vec![Literal]));
    }

    #[test]
    fn what_does_not_end_is_refused() {
        for document in [
            "\"a",
            "\"a\\\"",
            "\"a\nb\"",
            "\"\"\"a\"\"",
            "\"\"\"\\\"\"\"",
            "..",
            "?",
        ] {
            assert_eq!(tokens(document), None, "{document:?}");
        }
    }
}
