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
//!
//! `%2F` becomes `/`, as in nginx; [`Options::keep_encoded_slash`] keeps it apart. Case is kept. The result is stable:
//! [`encode`] it and it normalises to itself.

use std::borrow::Cow;

/// How paths are normalised. The default is APISIX's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `match_uri_encoded_slash`: an encoded slash stays `%2F` and separates nothing. So that it cannot be confused
    /// with the text `%2F`, an encoded `%` stays `%25` too.
    pub keep_encoded_slash: bool,
    /// `delete_uri_tail_slash`: one `/` at the end is cut off; `/` becomes the empty path.
    pub delete_tail_slash: bool,
    /// `normalize_uri_like_servlet`: `;parameters` are cut off each segment; a segment that has nothing before them is
    /// refused.
    pub like_servlet: bool,
}

/// A request target, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Normal<'t> {
    /// The normal path; borrowed when the target was in normal form already.
    pub path: Cow<'t, str>,
    /// What follows the first `?`, untouched.
    pub query: Option<&'t [u8]>,
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
}

/// Reads a request target in origin form (`/path?query`, RFC 9112 §3.2.1).
pub fn normalise(target: &[u8], options: Options) -> Result<Normal<'_>, BadTarget> {
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(at) => {
            let (path, query) = target.split_at_checked(at).unwrap_or((target, b""));
            (path, Some(query.strip_prefix(b"?").unwrap_or(query)))
        }
        None => (target, None),
    };
    if path.first() != Some(&b'/') {
        return Err(BadTarget::NotAPath);
    }
    if query.is_some_and(|query| query.iter().any(|byte| is_refused(*byte) && *byte != b'\\')) {
        return Err(BadTarget::Byte);
    }
    let mut path = if is_normal(path, options)? {
        Cow::Borrowed(std::str::from_utf8(path).map_err(|_| BadTarget::NotUtf8)?)
    } else {
        Cow::Owned(Rewrite::new(path, options).run()?)
    };
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
    Ok(Normal { path, query })
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

/// Whether nothing has to be done to the path. One pass, which also finds the bytes that no path may have.
fn is_normal(path: &[u8], options: Options) -> Result<bool, BadTarget> {
    let (mut normal, mut leading_dot, mut after_slash) = (true, false, false);
    for &byte in path {
        if is_refused(byte) {
            return Err(BadTarget::Byte);
        }
        normal &= match byte {
            b'%' => false,
            b'/' => !after_slash,
            b';' => !options.like_servlet,
            _ => true,
        };
        leading_dot |= after_slash && byte == b'.';
        after_slash = byte == b'/';
    }
    // A segment that begins with a dot is usually fine (`/.well-known`), which a second look decides.
    let dots = |segment| is_dots(before(segment, b";"));
    Ok(normal && !(leading_dot && path.split(|byte| *byte == b'/').any(dots)))
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(segment, b"." | b"..")
}

struct Rewrite<'t> {
    rest: &'t [u8],
    options: Options,
    out: Vec<u8>,
    /// Where the segment that is being read begins in `out`.
    segment: usize,
    /// Where its parameters begin, when they are to be cut off.
    parameters: Option<usize>,
}

impl<'t> Rewrite<'t> {
    fn new(path: &'t [u8], options: Options) -> Self {
        let mut out = Vec::with_capacity(path.len());
        out.push(b'/');
        Self {
            rest: path.strip_prefix(b"/").unwrap_or(path),
            options,
            out,
            segment: 1,
            parameters: None,
        }
    }

    fn run(mut self) -> Result<String, BadTarget> {
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
        String::from_utf8(self.out).map_err(|_| BadTarget::NotUtf8)
    }

    /// An encoded semicolon begins no parameters, as in servlet containers, which cut before they decode.
    fn semicolon(&mut self) {
        if self.options.like_servlet {
            self.parameters.get_or_insert(self.out.len());
        }
        self.out.push(b';');
    }

    fn decode(&mut self) -> Result<(), BadTarget> {
        let Some((&[high, low], rest)) = self.rest.split_first_chunk::<2>() else {
            return Err(BadTarget::Percent);
        };
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err(BadTarget::Percent);
        };
        self.rest = rest;
        match high << 4 | low {
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
        match segment {
            b"" => {}
            b"." => self.out.truncate(self.segment),
            b".." => {
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

/// The bytes before the first `mark`, or all.
fn before<'t>(text: &'t [u8], mark: &[u8]) -> &'t [u8] {
    memchr::memmem::find(text, mark)
        .and_then(|at| text.get(..at))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests;
