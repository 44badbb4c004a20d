//! Arguments of a query, as bytes: reading one, and taking one out without touching the others.

use std::borrow::Cow;

/// The decoded values of an argument, in order; one without `=` has an empty value.
pub(super) fn values<'a>(query: &'a [u8], name: &[u8]) -> impl Iterator<Item = Cow<'a, [u8]>> {
    query.split(|b| *b == b'&').filter_map(move |part| {
        let (written, value) = pair(part);
        is(written, name).then(|| decode(value))
    })
}

/// The query without an argument; `None` when it is not there.
pub(super) fn without(query: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let kept: Vec<&[u8]> = query
        .split(|b| *b == b'&')
        .filter(|part| !is(pair(part).0, name))
        .collect();
    let rest = kept.join(&b'&');
    (rest.len() < query.len()).then_some(rest)
}

/// The target without an argument; `None` when it is not there.
pub(super) fn without_in_target(target: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let (path, query) = split(target)?;
    let rest = without(query, name)?;
    if rest.is_empty() {
        return Some(path.to_vec());
    }
    Some([path, rest.as_slice()].join(&b'?'))
}

fn split(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let (path, query) = target.split_at_checked(memchr::memchr(b'?', target)?)?;
    Some((path, query.split_first()?.1))
}

fn pair(part: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', part).and_then(|at| part.split_at_checked(at)) {
        Some((name, value)) => (name, value.strip_prefix(b"=").unwrap_or(value)),
        None => (part, &[]),
    }
}

/// An empty part between two `&` is no argument of an empty name.
fn is(written: &[u8], name: &[u8]) -> bool {
    !written.is_empty() && *decode(written) == *name
}

/// `%xx` and `+`, as in `application/x-www-form-urlencoded`; borrowed when there is nothing to decode.
fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    Cow::Owned(percent_encoding::percent_decode(&spaced).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(target: &str, name: &str) -> Vec<String> {
        let query = split(target.as_bytes()).map_or(&[][..], |(_, query)| query);
        values(query, name.as_bytes())
            .map(|v| String::from_utf8_lossy(&v).into_owned())
            .collect()
    }

    fn rest(target: &str, name: &str) -> Option<String> {
        without_in_target(target.as_bytes(), name.as_bytes()).map(|r| String::from_utf8(r).unwrap())
    }

    #[test]
    fn values_are_decoded_and_all_are_found() {
        assert_eq!(found("/a?k=x%20y+z&j=1", "k"), ["x y z"]);
        assert_eq!(found("/a?k=1&%6b=2&k", "k"), ["1", "2", ""]);
        assert_eq!(found("/a", "k"), [""; 0]);
        assert_eq!(found("/a?", ""), [""; 0]);
        assert_eq!(found("/a?k=a=b", "k"), ["a=b"]);
        assert_eq!(found("/a?k=%zz%", "k"), ["%zz%"]);
    }

    #[test]
    fn the_others_stay_as_they_were_written() {
        assert_eq!(rest("/a%2f?x=%41&k=1&&y", "k").unwrap(), "/a%2f?x=%41&&y");
        assert_eq!(rest("/a?k=1", "k").unwrap(), "/a");
        assert_eq!(rest("/a?%6B=1&b=2?", "k").unwrap(), "/a?b=2?");
        assert_eq!(rest("/a?k=1", "K"), None);
        assert_eq!(rest("/a?x=1", "k"), None);
        assert_eq!(rest("/k=1", "k"), None);
    }

    proptest! {
        #[test]
        fn what_was_taken_out_is_gone(query in "[a-z?&=%+0-9]{0,40}") {
            let query = query.as_bytes();
            if let Some(rest) = without(query, b"a") {
                prop_assert!(values(&rest, b"a").next().is_none());
                prop_assert!(rest.len() < query.len());
            } else {
                prop_assert!(values(query, b"a").next().is_none());
            }
        }
    }
}
