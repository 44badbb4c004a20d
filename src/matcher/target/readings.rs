//! How servers that are not this gateway would read a path. Routes have to agree on all readings, or a rule on one of them
//! could be walked around by the spelling of another. Only paths with [`Doubts`] come here.

use std::borrow::Cow;

use super::{BadTarget, DoubleSlash, Doubts, Options, Policy, before, decoded, is_dots, split};

/// Servers that decode more often than this are not reckoned with: what is encoded deeper is refused.
const ROUNDS: usize = 4;

/// Stands for a slash that separates nothing.
const NO_SEPARATOR: &str = "\u{fffd}";

/// The paths that other servers may see in the target, without repetition; the gateway's own reading may be among them.
/// `doubts` are those that [`normalise`](super::normalise) found in it.
///
/// # Errors
/// One of them is a path that is always refused.
pub fn readings(
    target: &[u8],
    options: Options,
    doubts: Doubts,
) -> Result<Vec<Box<str>>, BadTarget> {
    let (written, _) = split(target);
    let mut doubts = doubts;
    if doubts.has(Doubts::DOUBLE_ENCODING) {
        let path = decoded_on(decode(&cut(written, options), b"/"))?;
        if path.contains(&b'\\') && options.backslash != Policy::Pass {
            doubts |= Doubts::BACKSLASH;
        }
        if path.contains(&b';') && options.parameters != Policy::Pass {
            doubts |= Doubts::PARAMETERS;
        }
    }
    let mut all: Vec<Box<str>> = Vec::new();
    let mut add = |written: &[u8], part: Doubts| {
        if !goes_up_alike(written, options, part)? {
            return Err(BadTarget::AmbiguousDots);
        }
        let path = reading(written, options, part)?;
        if !all.contains(&path) {
            all.push(path);
        }
        Ok(())
    };
    for part in doubts.parts() {
        add(written, part)?;
    }
    if doubts.has(Doubts::PARAMETERS) && written.contains(&b';') {
        // Servlet containers cut before they decode: what is encoded inside of parameters separates nothing.
        let cut = without_parameters(written);
        add(&cut, Doubts::default())?;
        for part in doubts.parts() {
            add(&cut, part)?;
        }
    }
    Ok(all)
}

/// Whether something is left to decode after the path was decoded once.
pub(super) fn is_encoded_twice(written: &[u8]) -> bool {
    let once = decode(written, b"/");
    decode(&once, b"/") != once
}

/// Whether dot segments lead to the same place in a path with empty segments, whether these are merged first or last, when it is
/// read as `part` says.
pub(super) fn goes_up_alike(
    written: &[u8],
    options: Options,
    part: Doubts,
) -> Result<bool, BadTarget> {
    let of = |double_slash| {
        let options = Options {
            double_slash,
            delete_tail_slash: false,
            ..options
        };
        reading(written, options, part)
    };
    let (first, last) = (of(DoubleSlash::Merge)?, of(DoubleSlash::Pass)?);
    let names = |path: &str| -> Vec<String> {
        let segments = path.split('/').filter(|name| !name.is_empty());
        segments.map(str::to_owned).collect()
    };
    Ok(names(&first) == names(&last))
}

/// The path as a server reads it that differs from the gateway in what `part` says.
fn reading(written: &[u8], options: Options, part: Doubts) -> Result<Box<str>, BadTarget> {
    let separates = options.keep_encoded_slash == part.has(Doubts::ENCODED_SLASH);
    let slash = match (separates, options.keep_encoded_slash) {
        (true, _) => "/",
        (false, true) => "%2F",
        (false, false) => NO_SEPARATOR,
    };
    let mut path = decode(&cut(written, options), slash.as_bytes());
    if part.has(Doubts::DOUBLE_ENCODING) {
        path = decoded_on(path)?;
    }
    if part.has(Doubts::BACKSLASH) {
        for byte in path.iter_mut().filter(|byte| **byte == b'\\') {
            *byte = b'/';
        }
    }
    if part.has(Doubts::PARAMETERS) {
        path = without_parameters(&path);
    }
    if path.iter().any(u8::is_ascii_control) {
        return Err(BadTarget::EncodedControl);
    }
    resolve(&path, options)
}

/// Decodes a path that was decoded, until nothing is left to decode.
fn decoded_on(mut path: Vec<u8>) -> Result<Vec<u8>, BadTarget> {
    for _ in 0..ROUNDS {
        let next = decode(&path, b"/");
        if next == path {
            return Ok(path);
        }
        path = next;
    }
    Err(BadTarget::Refused("a character that is encoded many times"))
}

/// Decodes what can be decoded and leaves the rest as it is. An encoded slash becomes `slash`.
fn decode(text: &[u8], slash: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match decoded(after).filter(|_| byte == b'%') {
            Some((b'/', after)) => {
                out.extend_from_slice(slash);
                rest = after;
            }
            Some((byte, after)) => {
                out.push(byte);
                rest = after;
            }
            None => out.push(byte),
        }
    }
    out
}

/// The path less what the gateway itself cuts off before it decodes.
fn cut(written: &[u8], options: Options) -> Cow<'_, [u8]> {
    match options.like_servlet {
        true => Cow::Owned(without_parameters(written)),
        false => Cow::Borrowed(written),
    }
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let names: Vec<&[u8]> = segments.map(|segment| before(segment, b";")).collect();
    names.join(&b'/')
}

/// Slashes and dot segments of a path that is decoded.
fn resolve(path: &[u8], options: Options) -> Result<Box<str>, BadTarget> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let segments: Vec<&[u8]> = path.split(|byte| *byte == b'/').skip(1).collect();
    let last = segments.len().saturating_sub(1);
    for (at, segment) in segments.into_iter().enumerate() {
        match segment {
            b".." if kept.pop().is_none() => return Err(BadTarget::AboveRoot),
            segment if is_dots(segment) => {}
            b"" if at < last && options.double_slash == DoubleSlash::Merge => {}
            segment => {
                kept.push(segment);
                continue;
            }
        }
        // What ends in a dot segment is a directory.
        if at == last {
            kept.push(b"");
        }
    }
    let mut path = String::with_capacity(path.len() + 1);
    for segment in &kept {
        path.push('/');
        path.push_str(std::str::from_utf8(segment).map_err(|_| BadTarget::NotUtf8)?);
    }
    if path.is_empty() {
        path.push('/');
    }
    if options.delete_tail_slash && path.ends_with('/') {
        path.pop();
    }
    Ok(path.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{BadTarget, Doubts, Options, Policy, normalise, readings};

    fn read(target: &str, options: Options) -> Result<Vec<String>, BadTarget> {
        let doubts = normalise(target.as_bytes(), options)?.doubts;
        let all = readings(target.as_bytes(), options, doubts)?;
        Ok(all.into_iter().map(String::from).collect())
    }

    #[test]
    fn a_plain_path_is_read_in_one_way() {
        for target in [
            "/",
            "/a/b?x;y=%2561",
            "/%61/b//c/./d",
            "/100%25",
            "/%C3%A9",
            "/.well-known",
        ] {
            let normal = normalise(target.as_bytes(), Options::default()).unwrap();
            assert!(normal.doubts.is_empty(), "{target}");
        }
    }

    #[test]
    fn other_servers_see_other_paths() {
        for (target, seen) in [
            ("/admin;a=b/x", &["/admin/x"][..]),
            ("/admin%3ba=b/x", &["/admin/x"]),
            ("/x/;a/b", &["/x/b"]),
            (
                "/api;a%2Fb/admin%2Fx",
                &[
                    "/api;a\u{fffd}b/admin\u{fffd}x",
                    "/api/b/admin/x",
                    "/api/admin\u{fffd}x",
                    "/api/admin/x",
                ],
            ),
            ("/%2561dmin/x", &["/admin/x"]),
            ("/%25%36%31dmin/x", &["/admin/x"]),
            ("/%252561dmin/x", &["/admin/x"]),
            ("/x/%252e%252e/admin", &["/admin"]),
            ("/admin%252fx", &["/admin/x"]),
            ("/%5cadmin", &["/admin"]),
            ("/admin%255cx", &["/admin\\x", "/admin%5cx", "/admin/x"]),
            (
                "/admin%253bx/y",
                &["/admin%3bx/y", "/admin;x/y", "/admin/y"],
            ),
            ("/x%5cy", &["/x/y"]),
            ("/admin/..%2fpublic/x", &["/admin/..\u{fffd}public/x"]),
            ("/a%2f", &["/a\u{fffd}"]),
            (
                "/%5cadmin;x/%2561",
                &[
                    "/\\admin/%61",
                    "/\\admin;x/a",
                    "/\\admin/a",
                    "/admin;x/%61",
                    "/admin/%61",
                    "/admin;x/a",
                    "/admin/a",
                ],
            ),
        ] {
            assert_eq!(read(target, Options::default()).unwrap(), seen, "{target}");
        }
        let keep = Options {
            keep_encoded_slash: true,
            ..Options::default()
        };
        assert_eq!(read("/admin%2fx", keep).unwrap(), ["/admin/x"]);
        let servlet = Options {
            like_servlet: true,
            ..Options::default()
        };
        assert!(read("/a;x/b", servlet).unwrap().is_empty());
        assert_eq!(read("/a;x/%2561", servlet).unwrap(), ["/a/a"]);
    }

    #[test]
    fn no_reading_may_be_a_path_that_is_refused() {
        for (target, error) in [
            ("/%252e%252e/a", BadTarget::AboveRoot),
            ("/%2500", BadTarget::EncodedControl),
            ("/api/%252f../admin/x", BadTarget::AmbiguousDots),
            ("/api/%5Cz/../../admin/x", BadTarget::AmbiguousDots),
            ("/%25c0%25ae", BadTarget::NotUtf8),
            (
                "/%2525252525252561",
                BadTarget::Refused("a character that is encoded many times"),
            ),
        ] {
            assert_eq!(read(target, Options::default()), Err(error), "{target}");
        }
    }

    #[test]
    fn a_policy_refuses_or_lets_pass() {
        for (target, doubt) in [
            ("/a%2Fb", Doubts::ENCODED_SLASH),
            ("/a;b", Doubts::PARAMETERS),
            ("/a%3Bb", Doubts::PARAMETERS),
            ("/a%2541", Doubts::DOUBLE_ENCODING),
            ("/a%5Cb", Doubts::BACKSLASH),
        ] {
            let of = |policy| {
                let mut options = Options::default().without_policies();
                for (one, field) in [
                    (Doubts::ENCODED_SLASH, &mut options.encoded_slash),
                    (Doubts::PARAMETERS, &mut options.parameters),
                    (Doubts::DOUBLE_ENCODING, &mut options.double_encoding),
                    (Doubts::BACKSLASH, &mut options.backslash),
                ] {
                    if one == doubt {
                        *field = policy;
                    }
                }
                normalise(target.as_bytes(), options).map(|normal| normal.doubts)
            };
            assert!(
                matches!(of(Policy::Refuse), Err(BadTarget::Refused(_))),
                "{target}"
            );
            assert_eq!(of(Policy::SameRoute), Ok(doubt), "{target}");
            assert_eq!(of(Policy::Pass), Ok(Doubts::default()), "{target}");
        }
        let refuse = Options {
            double_encoding: Policy::Refuse,
            ..Options::default()
        };
        assert!(normalise(b"/100%25", refuse).is_ok());
    }
}
