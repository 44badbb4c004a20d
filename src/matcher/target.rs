//! From the request target to the path that routes and plugins see. Pure; never panics.
//!
//! Every rule about paths (routes, conditions, block lists) looks at the normal path, so that no spelling gets around a
//! rule: percent-encoding is decoded once, `//` is merged, `.` and `..` are resolved, whether they were written plainly
//! or encoded. What a server behind the gateway might read in another way than the gateway does is refused:
//!
//! | refused | because |
//! | --- | --- |
//! | `%00`, decoded control bytes, raw spaces and control bytes | cut strings, forged log lines |
//! | `%` without two hexadecimal digits | every server repairs it in its own way |
//! | `..` above the root | reaches nothing that is meant |
//! | `..;`, `.;x=y` | servlet containers drop the parameter and then see `..` |
//! | `..\`, `..%5C` (a dot segment beside a backslash) | Windows servers take `\` for `/` |
//! | a raw `\` | no URI may contain it (RFC 3986 §2), clients repair it to `/` |
//! | a raw `#` | a fragment is not sent (RFC 9110 §7.1) |
//! | bytes that are not UTF-8 once decoded | overlong spellings of `.` and `/` are of this kind; nginx lets them pass |
//! | a `..` that goes up over a `//` | some servers merge the slashes before they go up, some do not |
//!
//! `%2F` becomes `/`, as in nginx; [`Options::keep_encoded_slash`] keeps it apart. Case is kept. The result is stable:
//! [`encode`] it and it normalises to itself. What is legitimate and still read in two ways is a [doubt](Doubts), for
//! which there are policies.

mod doubts;
mod options;
mod readings;

pub use doubts::Doubts;
pub use options::{DotSegments, DoubleSlash, Options, Policy};
pub use readings::readings;

use std::borrow::Cow;

/// A request target, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal<'t> {
    /// The normal path; borrowed when the target was in normal form already.
    pub path: Cow<'t, str>,
    /// What follows the first `?`, untouched.
    pub query: Option<&'t [u8]>,
    /// What other servers may read in it; [`readings`] tells what.
    pub doubts: Doubts,
}

/// Why a target was refused; all of these are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not a path: an absolute URI, an authority, `*`, or nothing.
    #[error("the request target does not begin with a slash")]
    NotAPath,
    /// See the module.
    #[error("the request target has a percent sign without two hexadecimal digits")]
    Percent,
    /// See the module.
    #[error("the request target has a space, a control byte, a backslash or a number sign")]
    Byte,
    /// See the module.
    #[error("the request target has an encoded control byte")]
    EncodedControl,
    /// See the module.
    #[error("the path leads above the root")]
    AboveRoot,
    /// See the module.
    #[error("the path has a dot segment with a parameter, a backslash or an encoded slash")]
    AmbiguousDots,
    /// A segment with parameters and no name, with [`Options::like_servlet`].
    #[error("the path has a segment of nothing but parameters")]
    NamelessSegment,
    /// See the module.
    #[error("the path is not UTF-8")]
    NotUtf8,
    /// A `//`, with [`DoubleSlash::Refuse`].
    #[error("the path has an empty segment")]
    EmptySegment,
    /// A dot segment, with [`DotSegments::Refuse`].
    #[error("the path has a dot segment")]
    DotSegment,
    /// What a policy does not let pass.
    #[error("the path has {0}, which the settings refuse")]
    Refused(&'static str),
}

/// Reads a request target in origin form (`/path?query`, RFC 9112 §3.2.1).
///
/// # Errors
/// It is refused, by the rules of the module or by a policy.
pub fn normalise(target: &[u8], options: Options) -> Result<Normal<'_>, BadTarget> {
    let (written, query) = split(target);
    if written.first() != Some(&b'/') {
        return Err(BadTarget::NotAPath);
    }
    if query.is_some_and(|query| query.iter().any(|byte| is_refused(*byte) && *byte != b'\\')) {
        return Err(BadTarget::Byte);
    }
    let (is_normal, mut doubts) = survey(written, options)?;
    let mut path = if is_normal {
        Cow::Borrowed(std::str::from_utf8(written).map_err(|_| BadTarget::NotUtf8)?)
    } else {
        let (path, found) = Rewrite::new(written, options).run()?;
        doubts |= found;
        Cow::Owned(path)
    };
    if !doubts.is_empty() {
        doubts = doubts.judged(written, options)?;
    }
    if options.delete_tail_slash {
        path = match path {
            Cow::Borrowed(text) => Cow::Borrowed(text.strip_suffix('/').unwrap_or(text)),
            Cow::Owned(mut text) => {
                if text.ends_with('/') {
                    text.pop();
                }
                Cow::Owned(text)
            }
        };
    }
    Ok(Normal {
        path,
        query,
        doubts,
    })
}

fn split(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|byte| *byte == b'?') {
        Some(at) => {
            let (path, query) = target.split_at_checked(at).unwrap_or((target, b""));
            (path, Some(query.strip_prefix(b"?").unwrap_or(query)))
        }
        None => (target, None),
    }
}

/// Writes a normal path as a request target, encoding what RFC 3986 §3.3 does not let stand in a path. With
/// [`Options::keep_encoded_slash`], `%` is an encoding already and stays; with [`Options::like_servlet`], a semicolon
/// is one that was encoded.
pub fn encode(path: &str, options: Options) -> Cow<'_, str> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || b"/-._~!$&'()*+,=:@".contains(&byte)
            || (byte == b'%' && options.keep_encoded_slash)
            || (byte == b';' && !options.like_servlet)
    };
    if path.bytes().all(plain) {
        return Cow::Borrowed(path);
    }
    let mut encoded = String::with_capacity(path.len() + 16);
    for byte in path.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or_default();
                encoded.push(digit.to_ascii_uppercase());
            }
        }
    }
    Cow::Owned(encoded)
}

fn is_refused(byte: u8) -> bool {
    byte <= b' ' || matches!(byte, 0x7f | b'\\' | b'#')
}

/// Whether nothing has to be done to the path, and what is in doubt even then. One pass, which also finds the bytes that
/// no path may have.
fn survey(path: &[u8], options: Options) -> Result<(bool, Doubts), BadTarget> {
    let (mut normal, mut leading_dot, mut after_slash) = (true, false, false);
    let mut doubts = Doubts::default();
    for &byte in path {
        if is_refused(byte) {
            return Err(BadTarget::Byte);
        }
        match byte {
            b'%' => normal = false,
            b'/' => normal &= !after_slash,
            b';' => {
                normal &= !options.like_servlet;
                doubts |= Doubts::PARAMETERS;
            }
            b'.' => leading_dot |= after_slash,
            _ => {}
        }
        after_slash = byte == b'/';
    }
    // A segment that begins with a dot is usually fine (`/.well-known`), which a second look decides.
    let dots = |segment| is_dots(before(segment, b";"));
    let dotted = leading_dot && path.split(|byte| *byte == b'/').any(dots);
    Ok((normal && !dotted, doubts))
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

struct Rewrite<'t> {
    written: &'t [u8],
    rest: &'t [u8],
    options: Options,
    out: Vec<u8>,
    /// Where the segment that is being read begins in `out`.
    segment: usize,
    /// Where its parameters begin, when they are to be cut off.
    parameters: Option<usize>,
    doubts: Doubts,
    /// Whether there was a `//`.
    empty: bool,
    /// Whether there was a `..`.
    up: bool,
}

impl<'t> Rewrite<'t> {
    fn new(path: &'t [u8], options: Options) -> Self {
        let mut out = Vec::with_capacity(path.len());
        out.push(b'/');
        Self {
            written: path,
            rest: path.strip_prefix(b"/").unwrap_or(path),
            options,
            out,
            segment: 1,
            parameters: None,
            doubts: Doubts::default(),
            empty: false,
            up: false,
        }
    }

    fn run(mut self) -> Result<(String, Doubts), BadTarget> {
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            match byte {
                b'/' => self.close(true)?,
                b'%' => self.decode()?,
                b';' => self.semicolon(),
                byte => self.out.push(byte),
            }
        }
        self.close(false)?;
        if self.empty
            && self.up
            && !readings::goes_up_alike(self.written, self.options, Doubts::default())?
        {
            return Err(BadTarget::AmbiguousDots);
        }
        let path = String::from_utf8(self.out).map_err(|_| BadTarget::NotUtf8)?;
        Ok((path, self.doubts))
    }

    /// An encoded semicolon begins no parameters, as in servlet containers, which cut before they decode.
    fn semicolon(&mut self) {
        if self.options.like_servlet {
            self.parameters.get_or_insert(self.out.len());
        }
        self.out.push(b';');
    }

    fn decode(&mut self) -> Result<(), BadTarget> {
        let (byte, rest) = decoded(self.rest).ok_or(BadTarget::Percent)?;
        self.rest = rest;
        self.doubts |= Doubts::of_encoded(byte);
        match byte {
            b'/' if self.options.keep_encoded_slash => self.out.extend_from_slice(b"%2F"),
            b'%' if self.options.keep_encoded_slash => self.out.extend_from_slice(b"%25"),
            // An encoded slash in parameters that will be cut off ends nothing.
            b'/' if self.parameters.is_none() => return self.close(true),
            byte if byte.is_ascii_control() => return Err(BadTarget::EncodedControl),
            byte => self.out.push(byte),
        }
        Ok(())
    }

    /// Ends the segment that was being read, by a slash or by the end of the path.
    fn close(&mut self, slash: bool) -> Result<(), BadTarget> {
        let parameters = self.parameters.take();
        if self.hides_dots(self.out.get(self.segment..).unwrap_or_default()) {
            return Err(BadTarget::AmbiguousDots);
        }
        self.out.truncate(parameters.unwrap_or(self.out.len()));
        let segment = self.out.get(self.segment..).unwrap_or_default();
        if parameters.is_some() && (segment.is_empty() || is_dots(segment)) {
            return Err(BadTarget::NamelessSegment);
        }
        if is_dots(segment) && self.options.dot_segments == DotSegments::Refuse {
            return Err(BadTarget::DotSegment);
        }
        match segment {
            b"" if slash => {
                self.empty = true;
                match self.options.double_slash {
                    DoubleSlash::Merge => {}
                    DoubleSlash::Pass => self.out.push(b'/'),
                    DoubleSlash::Refuse => return Err(BadTarget::EmptySegment),
                }
            }
            b"" => {}
            b"." => self.out.truncate(self.segment),
            b".." => {
                self.up = true;
                let parents = self
                    .out
                    .get(..self.segment.saturating_sub(1))
                    .unwrap_or_default();
                let parent = parents.iter().rposition(|byte| *byte == b'/');
                self.out.truncate(parent.ok_or(BadTarget::AboveRoot)? + 1);
            }
            segment if is_dots(before(segment, b";")) => return Err(BadTarget::AmbiguousDots),
            _ if slash => self.out.push(b'/'),
            _ => {}
        }
        self.segment = self.out.len();
        Ok(())
    }

    /// Whether a server that takes more bytes for slashes than the gateway does would see a dot segment here.
    fn hides_dots(&self, segment: &[u8]) -> bool {
        let mut rest = segment;
        let mut parts = 0;
        loop {
            let slashes: &[&[u8]] = if self.options.keep_encoded_slash {
                &[b"\\", b"%2F"]
            } else {
                &[b"\\"]
            };
            let part = slashes
                .iter()
                .map(|slash| before(rest, slash))
                .min_by_key(|part| part.len());
            let part = part.unwrap_or(rest);
            let after = rest.get(part.len()..).unwrap_or_default();
            parts += 1;
            if is_dots(before(part, b";")) && (parts > 1 || !after.is_empty()) {
                return true;
            }
            let Some(next) = slashes.iter().find_map(|slash| after.strip_prefix(*slash)) else {
                return false;
            };
            rest = next;
        }
    }
}

/// The byte whose two hexadecimal digits the text begins with, and what follows them.
fn decoded(text: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = text.split_first_chunk::<2>()?;
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16)?).ok();
    Some((digit(high)? << 4 | digit(low)?, rest))
}

/// The bytes before the first `mark`, or all.
fn before<'t>(text: &'t [u8], mark: &[u8]) -> &'t [u8] {
    memchr::memmem::find(text, mark)
        .and_then(|at| text.get(..at))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests;
