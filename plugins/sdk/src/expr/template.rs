//! Texts with `$variable` in them.

use super::{Lookup, UnknownVariable, Variable};

/// A text with `$name` or `${name}` in it, and `$1` for a capture where the place has captures.
///
/// A name is as long as letters, digits and `_` go on; in braces it may also be a path such as `post_arg.user.id`. A
/// variable that the request lacks renders as nothing, or as `text` in `${name ?? text}`. `\$` is no variable and stays
/// as it was written, backslash included, as it does in APISIX. Differing from APISIX, a name that is no variable is
/// refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<[u8]>),
    Variable(Variable),
    /// What stands for the variable when the request lacks it.
    VariableOr(Variable, Box<[u8]>),
    Capture(u8),
}

/// What `$0`, `$1`, … stand for, in this order; a group that took no part is empty.
pub type Captures<'c> = [&'c [u8]];

/// Why a template was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A name that is no variable.
    #[error("{0} in the template")]
    Unknown(#[from] UnknownVariable),
    /// A capture's number is above 99.
    #[error("the template has no capture `${0}`: captures go from $0 to $99")]
    Capture(String),
}

impl Template {
    /// Reads a template without captures: `$1` is refused as an unknown variable.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        read(text, false)
    }

    /// Reads a template in which `$0` is a whole match and `$1`… are its groups.
    pub fn parse_with_captures(text: &str) -> Result<Self, TemplateError> {
        read(text, true)
    }

    /// The text, when there is nothing to fill in.
    pub fn is_constant(&self) -> Option<&[u8]> {
        match &*self.parts {
            [] => Some(b""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The variables, in order.
    pub fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(variable) | Part::VariableOr(variable, _) => Some(variable),
            Part::Text(_) | Part::Capture(_) => None,
        })
    }

    /// Whether a variable looks into the request body.
    pub fn needs_body(&self) -> bool {
        self.variables().any(Variable::needs_body)
    }

    /// Appends the filled-in text and returns how many variables had a value, from the request or behind `??`. Limits that
    /// are keyed by a template fall back to the client's address when this is 0.
    pub fn render(&self, from: &dyn Lookup, out: &mut Vec<u8>) -> usize {
        self.render_with_captures(from, &[], out)
    }

    /// As [`render`](Self::render), with captures. A capture is not counted.
    pub fn render_with_captures(
        &self,
        from: &dyn Lookup,
        captures: &Captures<'_>,
        out: &mut Vec<u8>,
    ) -> usize {
        let mut resolved = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Capture(number) => {
                    let capture = captures.get(usize::from(*number)).copied();
                    out.extend_from_slice(capture.unwrap_or_default());
                }
                Part::Variable(variable) => {
                    if let Some(value) = from.lookup(variable) {
                        value.write_to(out);
                        resolved += 1;
                    }
                }
                Part::VariableOr(variable, default) => {
                    match from.lookup(variable) {
                        Some(value) => value.write_to(out),
                        None => out.extend_from_slice(default),
                    }
                    resolved += 1;
                }
            }
        }
        resolved
    }

    /// As [`render`](Self::render), passing each variable's text through `escape`, which appends what may stand there.
    pub fn render_escaped(
        &self,
        from: &dyn Lookup,
        escape: impl Fn(&[u8], &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) -> usize {
        let mut resolved = 0;
        let mut plain = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Capture(_) => {}
                Part::Variable(variable) => {
                    if let Some(value) = from.lookup(variable) {
                        plain.clear();
                        value.write_to(&mut plain);
                        escape(&plain, out);
                        resolved += 1;
                    }
                }
                Part::VariableOr(variable, default) => {
                    plain.clear();
                    match from.lookup(variable) {
                        Some(value) => value.write_to(&mut plain),
                        None => plain.extend_from_slice(default),
                    }
                    escape(&plain, out);
                    resolved += 1;
                }
            }
        }
        resolved
    }
}

fn read(text: &str, captures: bool) -> Result<Template, TemplateError> {
    let mut parts = Vec::new();
    let mut plain = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        plain.extend_from_slice(before.as_bytes());
        // The look-behind of APISIX: the byte before `$`, wherever it came from.
        let part = match plain.last() {
            Some(b'\\') => None,
            _ => name(after).map(|(name, braced, after)| (part(name, braced, captures), after)),
        };
        match part {
            Some((Ok(part), after)) => {
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain).into()));
                }
                parts.push(part);
                rest = after;
            }
            Some((Err(Some(error)), _)) => return Err(error),
            Some((Err(None), _)) | None => {
                plain.push(b'$');
                rest = after;
            }
        }
    }
    plain.extend_from_slice(rest.as_bytes());
    if !plain.is_empty() {
        parts.push(Part::Text(plain.into()));
    }
    Ok(Template {
        parts: parts.into(),
    })
}

/// The name behind `$`, whether it stood in braces, and what follows.
fn name(after: &str) -> Option<(&str, bool, &str)> {
    if let Some(inside) = after.strip_prefix('{') {
        return inside
            .split_once('}')
            .map(|(name, after)| (name, true, after));
    }
    let end = after.find(|c: char| !is_word(c)).unwrap_or(after.len());
    let (name, after) = after.split_at_checked(end)?;
    (!name.is_empty()).then_some((name, false, after))
}

/// `Err(None)` is for braces around something that cannot be a name, which is plain text.
fn part(name: &str, braced: bool, captures: bool) -> Result<Part, Option<TemplateError>> {
    if captures && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return match name.parse() {
            Ok(number) if number <= 99 => Ok(Part::Capture(number)),
            _ => Err(Some(TemplateError::Capture(name.to_owned()))),
        };
    }
    if let (true, Some((name, default))) = (braced, name.split_once("??")) {
        // As in APISIX, the text ends before a second `??`.
        let default = default.split_once("??").map_or(default, |(first, _)| first);
        return match Variable::parse(name.trim()) {
            Ok(variable) => Ok(Part::VariableOr(variable, default.trim().as_bytes().into())),
            Err(unknown) => Err(Some(unknown.into())),
        };
    }
    match Variable::parse(name) {
        Ok(variable) => Ok(Part::Variable(variable)),
        Err(_) if braced && (name.is_empty() || !name.chars().all(is_word)) => Err(None),
        Err(unknown) => Err(Some(unknown.into())),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashMap;

    use super::Template;

    fn request() -> HashMap<String, String> {
        [
            ("remote_addr", "1.2.3.4"),
            ("arg_a", "x y"),
            ("http_x_id", "7"),
            ("post_arg.u.id", "9"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    fn rendered(text: &str) -> (String, usize) {
        let mut out = Vec::new();
        let resolved = Template::parse(text).unwrap().render(&request(), &mut out);
        (String::from_utf8(out).unwrap(), resolved)
    }

    #[test]
    fn fills_in_what_the_request_has() {
        assert_eq!(rendered("$remote_addr-$http_x_id"), ("1.2.3.4-7".into(), 2));
        assert_eq!(rendered("${arg_a}b"), ("x yb".into(), 1));
        assert_eq!(rendered("<$arg_b>"), ("<>".into(), 0));
        assert_eq!(rendered("${post_arg.u.id}"), ("9".into(), 1));
        assert_eq!(rendered("$arg_a$arg_a"), ("x yx y".into(), 2));
    }

    #[test]
    fn leaves_what_is_no_variable() {
        for text in [
            "",
            "plain",
            "a $ b",
            "5$",
            r"\$remote_addr",
            "${",
            "${}",
            "${a b}",
            "$-",
            "$$",
        ] {
            assert_eq!(rendered(text), (text.to_owned(), 0));
            assert_eq!(
                Template::parse(text).unwrap().is_constant(),
                Some(text.as_bytes())
            );
        }
        assert_eq!(Template::parse("$uri").unwrap().is_constant(), None);
    }

    #[test]
    fn a_default_stands_in_for_what_the_request_lacks() {
        assert_eq!(rendered("${arg_b ?? 10}"), ("10".into(), 1));
        assert_eq!(rendered("<${arg_b??a b}>"), ("<a b>".into(), 1));
        assert_eq!(rendered("${ arg_a ?? 10 }"), ("x y".into(), 1));
        assert_eq!(rendered("${arg_b ?? 1 ?? 2}"), ("1".into(), 1));
        assert_eq!(rendered("${arg_b ??}"), (String::new(), 1));
        let mut out = Vec::new();
        let template = Template::parse("/${arg_b ?? a b}").unwrap();
        template.render_escaped(
            &request(),
            |text, out| out.extend(text.iter().map(|&b| if b == b' ' { b'+' } else { b })),
            &mut out,
        );
        assert_eq!(out, b"/a+b");
    }

    #[test]
    fn refuses_unknown_names() {
        for text in ["$urii", "a${nope}", "cost $5", "${nope ?? 1}"] {
            let error = Template::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("unknown variable `"), "{error}");
        }
        assert!(Template::parse_with_captures("$100").is_err());
    }

    #[test]
    fn captures_by_number() {
        let template = Template::parse_with_captures("/$2/${1}b/$remote_addr/$3").unwrap();
        let mut out = Vec::new();
        let captures: [&[u8]; 3] = [b"whole", b"one", b"two"];
        assert_eq!(
            template.render_with_captures(&request(), &captures, &mut out),
            1
        );
        assert_eq!(out, b"/two/oneb/1.2.3.4/");
    }

    #[test]
    fn escapes_only_what_the_request_gave() {
        let template = Template::parse("/a b/$arg_a").unwrap();
        let mut out = Vec::new();
        template.render_escaped(
            &request(),
            |text, out| out.extend(text.iter().map(|&b| if b == b' ' { b'+' } else { b })),
            &mut out,
        );
        assert_eq!(out, b"/a b/x+y");
    }

    #[test]
    fn names_its_variables() {
        let template = Template::parse("$uri ${arg_a} $request_body").unwrap();
        let names: Vec<_> = template.variables().map(ToString::to_string).collect();
        assert_eq!(names, ["uri", "arg_a", "request_body"]);
        assert!(template.needs_body());
    }
}
