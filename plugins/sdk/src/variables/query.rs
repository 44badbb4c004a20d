//! Arguments of the query, cookies, and what stands in other single headers.

use super::{Value, Variable, owned};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header};
use percent_encoding::percent_decode;
use pingora_proxy::Session;
use std::borrow::Cow;

/// The first value of an argument of a query string, decoded; an argument without `=` is `true`.
pub fn argument<'a>(query: &'a str, name: &str) -> Option<Value<'a>> {
    let mut bare = false;
    for part in query.split('&') {
        match part.split_once('=') {
            Some((n, value)) if is(n, name) => return Some(Value::Bytes(decode(value))),
            None if !part.is_empty() && is(part, name) => bare = true,
            _ => {}
        }
        if bare {
            return Some(Value::Boolean(true));
        }
    }
    None
}

fn is(written: &str, name: &str) -> bool {
    written == name || (written.contains(['%', '+']) && *decode(written) == *name.as_bytes())
}

/// Decodes `%xx` and `+` as in `application/x-www-form-urlencoded`; borrowed when there is nothing to decode.
pub(super) fn decode(text: &str) -> Cow<'_, [u8]> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        Cow::Owned(percent_decode(spaced.as_bytes()).collect())
    } else {
        percent_decode(text.as_bytes()).into()
    }
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

/// The user name of basic authentication, whether or not anything checked it.
pub(super) fn basic_user(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(token.trim_ascii()).ok()?).ok()?;
    decoded.split_once(':').map(|(user, _)| user.to_owned())
}

/// What the TLS handshake settled.
pub(super) fn tls<'a>(session: &'a Session, variable: &Variable) -> Option<Value<'a>> {
    let digest = session.digest()?.ssl_digest.as_ref()?;
    let text: &str = match variable {
        Variable::SslProtocol => &digest.version,
        _ => &digest.cipher,
    };
    Some(owned(text.as_bytes().to_vec()))
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
        assert_eq!(argument("", "a"), None);
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
