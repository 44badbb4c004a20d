//! Arguments of the query, cookies, and what stands in other single headers.

use super::Value;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, header};
use percent_encoding::percent_decode;
use std::borrow::Cow;

/// The first value of an argument of a query string, decoded; an argument without `=` is `true`.
pub fn argument<'a>(query: &'a (impl AsRef<[u8]> + ?Sized), name: &str) -> Option<Value<'a>> {
    query.as_ref().split(|b| *b == b'&').find_map(|part| {
        let (written, value) = pair(part);
        is(written, name).then(|| value.map_or(Value::Boolean(true), |v| Value::Bytes(decode(v))))
    })
}

/// All arguments of a query string in their order, decoded; one without `=` is `true`.
pub fn arguments(query: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Value<'_>)> {
    let parts = query.split(|b| *b == b'&').filter(|part| !part.is_empty());
    parts.map(|part| {
        let (name, value) = pair(part);
        let value = value.map_or(Value::Boolean(true), |v| Value::Bytes(decode(v)));
        (decode(name), value)
    })
}

/// Name and value of one argument, as written; without `=` it has no value.
pub(super) fn pair(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = memchr::memchr(b'=', part).unwrap_or(part.len());
    let (name, value) = part.split_at_checked(at).unwrap_or((part, b""));
    (name, value.strip_prefix(b"="))
}

fn is(written: &[u8], name: &str) -> bool {
    !written.is_empty()
        && (written == name.as_bytes()
            || (memchr::memchr2(b'%', b'+', written).is_some()
                && *decode(written) == *name.as_bytes()))
}

/// Decodes `%xx` and `+` as in `application/x-www-form-urlencoded`; borrowed when there is nothing to decode.
pub(super) fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr2(b'%', b'+', text).is_none() {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<Value<'a>> {
    for line in headers.get_all(header::COOKIE) {
        for pair in line.as_bytes().split(|b| *b == b';') {
            let pair = pair.trim_ascii();
            if let Some(value) = pair
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            {
                return Some(Value::text(value));
            }
        }
    }
    None
}

/// The user name of basic authentication, whether or not anything checked it; as nginx, padding may be missing.
pub(super) fn basic_user(headers: &HeaderMap) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let mut decoded = LENIENT.decode(token.trim_ascii()).ok()?;
    decoded.truncate(memchr::memchr(b':', &decoded)?);
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_first_value_of_an_argument_counts_and_is_decoded() {
        assert_eq!(
            argument("a=1&b=x%20y+z&b=2", "b"),
            Some(Value::text("x y z"))
        );
        assert_eq!(argument("flag&a=1", "flag"), Some(Value::Boolean(true)));
        assert_eq!(argument("a%5B%5D=1", "a[]"), Some(Value::text("1")));
        assert_eq!(argument("a=", "a"), Some(Value::text("")));
        assert_eq!(argument("&=1&a", ""), None);
        assert_eq!(argument("a&a=1", "a"), Some(Value::Boolean(true)));
        assert_eq!(
            argument(&b"a=\xff%fe%zz%"[..], "a"),
            Some(Value::text(b"\xff\xfe%zz%"))
        );
        assert_eq!(argument("", "a"), None);
    }

    #[test]
    fn the_user_ends_at_the_first_colon() {
        let user = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(value));
            basic_user(&headers)
        };
        assert_eq!(user("Basic YTpiOmM="), Some(b"a".to_vec()));
        assert_eq!(user("bAsIc   YTpiOmM"), Some(b"a".to_vec()));
        assert_eq!(user("Basic /zo="), Some(b"\xff".to_vec()));
        for none in ["Basic YWI=", "Basic !!", "Bearer YTpi", "Basic", ""] {
            assert_eq!(user(none), None, "{none}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("ab=1; b=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("c=3=4"));
        assert_eq!(cookie(&headers, "b"), Some(Value::text("2")));
        assert_eq!(cookie(&headers, "c"), Some(Value::text("3=4")));
        assert_eq!(cookie(&headers, "a"), None);
    }
}
