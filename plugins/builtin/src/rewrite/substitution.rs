//! Substitution by regular expression: `$1` in the replacement is a group, `$$` is a dollar sign.

use crossway_sdk::expr::{BadPattern, Lookup, Pattern, Template, TemplateError, Value, Variable};
use std::borrow::Cow;

/// A regular expression and what takes the place of a match.
#[derive(Debug)]
pub(crate) struct Substitution {
    pattern: Pattern,
    /// The replacement, cut at `$$`.
    pieces: Box<[Template]>,
}

/// Why a substitution was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadSubstitution {
    /// The regular expression.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The replacement.
    #[error("in the replacement: {0}")]
    Replacement(#[from] TemplateError),
    /// A variable where only groups can stand.
    #[error(
        "in the replacement: ${0} is no group of the regular expression; write $$ for a dollar sign"
    )]
    NoGroup(String),
}

/// A search with look-around or back-references took too many steps.
#[derive(Debug, thiserror::Error)]
#[error("the regular expression `{0}` gave up on this text")]
pub(crate) struct GaveUp(String);

/// A text after one substitution.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Substituted {
    pub(crate) text: Vec<u8>,
    /// `$0`, `$1`, … of the match.
    pub(crate) groups: Vec<Vec<u8>>,
}

/// Nothing to look up: the replacement holds groups only.
pub(crate) struct NoVariables;

impl Lookup for NoVariables {
    fn lookup<'a>(&'a self, _: &'a Variable) -> Option<Value<'a>> {
        None
    }
}

impl Substitution {
    /// Judges a substitution with groups and variables in its replacement.
    pub(crate) fn with_variables(pattern: Pattern, to: &str) -> Result<Self, BadSubstitution> {
        let pieces = to
            .split("$$")
            .map(Template::parse_with_captures)
            .collect::<Result<_, _>>()?;
        Ok(Self { pattern, pieces })
    }

    /// Judges a substitution with groups alone.
    pub(crate) fn new(pattern: Pattern, to: &str) -> Result<Self, BadSubstitution> {
        let this = Self::with_variables(pattern, to)?;
        let variable = this.pieces.iter().flat_map(Template::variables).next();
        match variable.map(ToString::to_string) {
            Some(name) => Err(BadSubstitution::NoGroup(name)),
            None => Ok(this),
        }
    }

    /// Whether the request body must have been read.
    pub(crate) fn needs_body(&self) -> bool {
        self.pieces.iter().any(Template::needs_body)
    }

    /// Replaces the first match; `None` when there is none.
    pub(crate) fn first(
        &self,
        text: &[u8],
        from: &dyn Lookup,
    ) -> Result<Option<Substituted>, GaveUp> {
        let Some(found) = self
            .pattern
            .regex()
            .captures(text)
            .map_err(|_| self.gave_up())?
        else {
            return Ok(None);
        };
        let groups: Vec<&[u8]> = (0..found.len())
            .map(|i| found.get(i).map_or(&b""[..], |m| m.as_bytes()))
            .collect();
        let (start, end) = found.get(0).map_or((0, 0), |m| (m.start(), m.end()));
        let mut out = Vec::with_capacity(text.len() + 32);
        out.extend_from_slice(text.get(..start).unwrap_or_default());
        self.render(from, &groups, &mut out);
        out.extend_from_slice(text.get(end..).unwrap_or_default());
        let groups = groups.into_iter().map(<[u8]>::to_vec).collect();
        Ok(Some(Substituted { text: out, groups }))
    }

    /// Replaces the first match, or all of them; borrows the text when there is none.
    pub(crate) fn replace<'t>(&self, text: &'t [u8], all: bool) -> Result<Cow<'t, [u8]>, GaveUp> {
        let mut out = Vec::new();
        let mut done = 0;
        let mut groups: Vec<&[u8]> = Vec::new();
        let most = if all { usize::MAX } else { 1 };
        let mut found_any = false;
        for found in self.pattern.regex().captures_iter(text).take(most) {
            let found = found.map_err(|_| self.gave_up())?;
            let Some(whole) = found.get(0) else { continue };
            groups.clear();
            groups
                .extend((0..found.len()).map(|i| found.get(i).map_or(&b""[..], |m| m.as_bytes())));
            out.extend_from_slice(text.get(done..whole.start()).unwrap_or_default());
            self.render(&NoVariables, &groups, &mut out);
            done = whole.end();
            found_any = true;
        }
        if !found_any {
            return Ok(Cow::Borrowed(text));
        }
        out.extend_from_slice(text.get(done..).unwrap_or_default());
        Ok(Cow::Owned(out))
    }

    fn render(&self, from: &dyn Lookup, groups: &[&[u8]], out: &mut Vec<u8>) {
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                out.push(b'$');
            }
            piece.render_with_captures(from, groups, out);
        }
    }

    fn gave_up(&self) -> GaveUp {
        GaveUp(self.pattern.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn substitution(regex: &str, to: &str) -> Substitution {
        Substitution::new(Pattern::new(regex, false).unwrap(), to).unwrap()
    }

    fn replaced(regex: &str, to: &str, text: &[u8], all: bool) -> Vec<u8> {
        substitution(regex, to)
            .replace(text, all)
            .unwrap()
            .into_owned()
    }

    #[test]
    fn the_first_or_all_matches() {
        assert_eq!(replaced("b+", "<$0>", b"abbcb", false), b"a<bb>cb");
        assert_eq!(replaced("b+", "<$0>", b"abbcb", true), b"a<bb>c<b>");
        assert_eq!(replaced("x", "y", b"abc", true), b"abc");
        assert_eq!(replaced("", "-", b"ab", true), b"-a-b-");
        assert_eq!(replaced(r"(\d)(x)?", "[$1|$2|${3}]", b"7", true), b"[7||]");
        assert_eq!(replaced("a", "$$1", b"abc", true), b"$1bc");
        assert_eq!(replaced("\u{e9}", "e", b"\xff\xc3\xa9", true), b"\xffe");
    }

    #[test]
    fn what_a_group_brings_is_not_read_as_a_replacement() {
        assert_eq!(replaced("(.*)", "<$1>", b"$0 $1 $$", false), b"<$0 $1 $$>");
    }

    #[test]
    fn look_around_is_bounded() {
        let hard = substitution("^(?:(?=a)a|a)+$", "x");
        let text = [b"a".repeat(60), b"!".to_vec()].concat();
        assert!(hard.replace(&text, true).is_err());
        assert!(hard.first(&text, &NoVariables).is_err());
        assert_eq!(
            replaced("(?<=/)v1(?=/)", "v2", b"/v1/v1x/v1/", true),
            b"/v2/v1x/v2/"
        );
    }

    #[test]
    fn a_variable_is_no_group() {
        let error = Substitution::new(Pattern::new("a", false).unwrap(), "$uri").unwrap_err();
        assert!(error.to_string().contains("$uri is no group"), "{error}");
        assert!(Substitution::new(Pattern::new("a", false).unwrap(), "$nothing").is_err());
    }
}
