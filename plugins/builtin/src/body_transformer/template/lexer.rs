//! A template as tokens: text, the ends of its tags, and the Lua between them.

use super::Refused;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// What is written as it stands.
    Literal(String),
    /// `{{` or `{*`: whether what follows is escaped for HTML.
    Open {
        escaped: bool,
    },
    /// `}}` or `*}`.
    Close,
    Name(String),
    Number(f64),
    Text(String),
    /// An operator or a bracket.
    Sign(&'static str),
}

/// Operators and brackets, longer ones first.
const SIGNS: [&str; 25] = [
    "...", "==", "~=", "<=", ">=", "..", "+", "-", "*", "/", "%", "^", "#", "<", ">", "=", "(",
    ")", "{", "}", "[", "]", ";", ":", ",",
];

/// What the tags of lua-resty-template begin and end with.
enum Tag {
    Output { escaped: bool },
    Code,
    Comment,
}

/// Takes a template apart.
pub(super) fn tokens(template: &str) -> Result<Vec<Token>, Refused> {
    let mut tokens = Vec::new();
    let mut rest = template;
    let mut literal = String::new();
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        let inside = from.get(2..).unwrap_or_default();
        let (tag, end) = match from.as_bytes().get(1) {
            Some(b'{') => (Tag::Output { escaped: true }, "}}"),
            Some(b'*') => (Tag::Output { escaped: false }, "*}"),
            Some(b'%') => (Tag::Code, "%}"),
            Some(b'#') => (Tag::Comment, "#}"),
            Some(b'-') => {
                rest = verbatim(before, from, &mut literal)?;
                continue;
            }
            kind => {
                refuse_include(kind.copied(), inside)?;
                literal.push_str(before);
                literal.push('{');
                rest = from.get(1..).unwrap_or_default();
                continue;
            }
        };
        let Some(length) = inside.find(end) else {
            literal.push_str(before);
            literal.push('{');
            rest = from.get(1..).unwrap_or_default();
            continue;
        };
        let (code, after) = inside.split_at_checked(length).unwrap_or((inside, ""));
        rest = after.get(2..).unwrap_or_default();
        if let Some(escaped) = before.strip_suffix('\\') {
            // A backslash before a tag makes it text.
            literal.push_str(escaped);
            literal.push_str(from.get(..length + 4).unwrap_or_default());
            continue;
        }
        literal.push_str(before);
        if !literal.is_empty() {
            tokens.push(Token::Literal(std::mem::take(&mut literal)));
        }
        match tag {
            Tag::Comment => {}
            Tag::Output { escaped } => {
                tokens.push(Token::Open { escaped });
                lua(code, &mut tokens)?;
                tokens.push(Token::Close);
            }
            Tag::Code => {
                lua(code, &mut tokens)?;
                // A line that is code only leaves no empty line behind.
                rest = rest.strip_prefix('\n').unwrap_or(rest);
            }
        }
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        tokens.push(Token::Literal(literal));
    }
    Ok(tokens)
}

/// `{-raw-}…{-raw-}` and `{-verbatim-}…{-verbatim-}`; other blocks are refused.
fn verbatim<'t>(before: &str, from: &'t str, literal: &mut String) -> Result<&'t str, Refused> {
    literal.push_str(before);
    for mark in ["{-raw-}", "{-verbatim-}"] {
        if let Some((inside, after)) = from.strip_prefix(mark).and_then(|t| t.split_once(mark)) {
            literal.push_str(inside);
            return Ok(after);
        }
    }
    let name = from.get(2..).and_then(|rest| rest.split_once("-}"));
    match name {
        Some((name, _))
            if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
        {
            Err(Refused(format!("the block {{-{name}-}} is not supported")))
        }
        _ => {
            literal.push('{');
            Ok(from.get(1..).unwrap_or_default())
        }
    }
}

/// `{(file)}` and `{[file]}` include other templates, of which there are none.
fn refuse_include(kind: Option<u8>, inside: &str) -> Result<(), Refused> {
    let (open, end) = match kind {
        Some(b'(') => ('(', ")}"),
        Some(b'[') => ('[', "]}"),
        _ => return Ok(()),
    };
    // JSON has such braces as well: only what names one file and ends on its line is an inclusion.
    match inside.split_once(end) {
        Some((name, _)) if !name.contains(['\n', '{', '}']) => Err(Refused(format!(
            "the inclusion {{{open}{name}{end} is not supported"
        ))),
        _ => Ok(()),
    }
}

/// The tokens of a piece of Lua.
fn lua(code: &str, tokens: &mut Vec<Token>) -> Result<(), Refused> {
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let after = |length: usize| rest.get(length..).unwrap_or_default();
        let span = |holds: fn(char) -> bool| rest.find(|c| !holds(c)).unwrap_or(rest.len());
        rest = if first.is_ascii_alphabetic() || first == '_' {
            let length = span(|c| c.is_ascii_alphanumeric() || c == '_');
            let name = rest.get(..length).unwrap_or_default();
            tokens.push(Token::Name(name.to_owned()));
            after(length)
        } else if first.is_ascii_digit() {
            let length = span(|c| c.is_ascii_digit());
            // `1..x` joins; `1.5` is a number.
            let fraction = rest.get(length..).and_then(|r| r.strip_prefix('.'));
            let digits = fraction.map_or(0, |r| {
                r.find(|c: char| !c.is_ascii_digit()).unwrap_or(r.len())
            });
            let length = if digits > 0 {
                length + 1 + digits
            } else {
                length
            };
            let number = rest.get(..length).unwrap_or_default();
            let number = number
                .parse()
                .map_err(|_| Refused(format!("{number:?} is no number")))?;
            tokens.push(Token::Number(number));
            after(length)
        } else if first == '"' || first == '\'' {
            let (text, length) = quoted(rest, first)?;
            tokens.push(Token::Text(text));
            after(length)
        } else if rest.starts_with("--") {
            rest.find('\n').map_or("", after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            tokens.push(Token::Sign(sign));
            after(sign.len())
        } else if first == '.' {
            tokens.push(Token::Sign("."));
            after(1)
        } else {
            return Err(Refused(format!(
                "{first:?} is not understood in {:?}",
                code.trim()
            )));
        };
        rest = rest.trim_start();
    }
    Ok(())
}

/// A quoted text, and how many bytes it takes.
fn quoted(code: &str, quote: char) -> Result<(String, usize), Refused> {
    let mut text = String::new();
    let mut chars = code.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Ok((text, at + 1));
        }
        let c = match c {
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some(c @ ('\\' | '"' | '\'' | '\n')) => c,
                other => {
                    let other = other.unwrap_or(' ');
                    return Err(Refused(format!("the escape \\{other} is not supported")));
                }
            },
            c => c,
        };
        text.push(c);
    }
    Err(Refused(format!("an unfinished string in {code:?}")))
}
