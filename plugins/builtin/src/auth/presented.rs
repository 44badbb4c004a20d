//! What a client presented, and where. A credential that stands twice in one place, is empty, oversized or not UTF-8
//! is presented but unusable: it never counts as absent, so it cannot be slipped past a stricter reader behind us.

use super::query;
use crossway_sdk::exchange::Exchange;
use http::{HeaderMap, HeaderName, HeaderValue, header::COOKIE};
use std::borrow::Cow;

/// The longest credential that is looked at, in bytes. A JSON Web Token with a 4096-bit signature takes about 2 KiB.
pub(crate) const LONGEST: usize = 16 * 1024;

/// What stood in one place of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presented<'a> {
    /// The place is empty.
    Nothing,
    /// Something that cannot be a credential.
    Unusable,
    /// A credential to be checked.
    Text(Cow<'a, str>),
}

impl<'a> Presented<'a> {
    fn of(bytes: Cow<'a, [u8]>) -> Self {
        if bytes.is_empty() || bytes.len() > LONGEST {
            return Self::Unusable;
        }
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
            Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
        };
        text.map_or(Self::Unusable, Self::Text)
    }

    /// The only one of these, or [`Presented::Unusable`] when there are several.
    fn single(mut found: impl Iterator<Item = Cow<'a, [u8]>>) -> Self {
        match (found.next(), found.next()) {
            (None, _) => Self::Nothing,
            (Some(bytes), None) => Self::of(bytes),
            (Some(_), Some(_)) => Self::Unusable,
        }
    }
}

/// What stands in a header.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Presented<'a> {
    let values = headers.get_all(name).into_iter();
    Presented::single(values.map(|v| Cow::Borrowed(v.as_bytes())))
}

/// What stands in an argument of the query, decoded.
pub(crate) fn argument<'a>(ex: &'a Exchange<'_>, name: &str) -> Presented<'a> {
    let query = ex.request.query(ex.session.req_header());
    Presented::single(query::values(query.unwrap_or_default(), name.as_bytes()))
}

/// What stands in a cookie, as it is written.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Presented<'a> {
    let values = pairs(headers).filter_map(|pair| cookie_value(pair, name));
    Presented::single(values.map(Cow::Borrowed))
}

/// Where a credential was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place<'n> {
    /// In a header.
    Header(&'n HeaderName),
    /// In an argument of the query.
    Argument(&'n str),
    /// In a cookie.
    Cookie(&'n str),
}

impl Place<'_> {
    /// Keeps what stands in this place from the upstream, from later plugins and from the logs. Everything beside it stays as the client wrote it.
    pub(crate) fn hide(self, ex: &mut Exchange<'_>) {
        match self {
            Place::Header(name) => {
                ex.session.req_header_mut().remove_header(name);
            }
            Place::Argument(name) => {
                let name = name.as_bytes();
                let asked = ex.request.query(ex.session.req_header());
                if let Some(rest) = asked.and_then(|query| query::without(query, name)) {
                    ex.request.query = Some(rest.into());
                }
                let rewritten = ex.request.rewritten.target.as_deref();
                if let Some(rest) = rewritten.and_then(|t| query::without_in_target(t, name)) {
                    ex.request.rewritten.target = Some(rest.into());
                }
            }
            Place::Cookie(name) => hide_cookie(ex, name),
        }
    }
}

fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|b| *b == b';'))
        .map(<[u8]>::trim_ascii)
}

fn cookie_value<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

fn hide_cookie(ex: &mut Exchange<'_>, name: &str) {
    let head = ex.session.req_header_mut();
    let kept: Vec<&[u8]> = pairs(&head.headers)
        .filter(|pair| !pair.is_empty() && cookie_value(pair, name).is_none())
        .collect();
    // Parts of valid values joined by "; " are a valid value, so the second case never removes a foreign cookie.
    match HeaderValue::from_bytes(&kept.join(&b"; "[..])) {
        Ok(rest) if !rest.is_empty() => {
            if let Err(error) = head.insert_header(COOKIE, rest) {
                tracing::warn!(%error, "a cookie could not be hidden; all were removed");
                head.remove_header(&COOKIE);
            }
        }
        _ => {
            head.remove_header(&COOKIE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn only_one_readable_value_counts() {
        let name = HeaderName::from_static("apikey");
        let said = |lines: &[(&'static str, &[u8])]| match header(&headers(lines), &name) {
            Presented::Nothing => "nothing".to_owned(),
            Presented::Unusable => "unusable".to_owned(),
            Presented::Text(text) => text.into_owned(),
        };
        assert_eq!(said(&[]), "nothing");
        assert_eq!(said(&[("apikey", b"k")]), "k");
        assert_eq!(said(&[("apikey", b"")]), "unusable");
        assert_eq!(said(&[("apikey", b"k"), ("apikey", b"k")]), "unusable");
        assert_eq!(said(&[("apikey", b"\xff\xfe")]), "unusable");
        assert_eq!(said(&[("apikey", &[b'x'; LONGEST + 1])]), "unusable");
        assert_eq!(said(&[("apikey", &[b'x'; LONGEST])]), "x".repeat(LONGEST));
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name_in_any_line() {
        let two = headers(&[("cookie", b"ajwt=1; a=2"), ("cookie", b"jwt=3")]);
        assert_eq!(cookie(&two, "jwt"), Presented::Text("3".into()));
        assert_eq!(cookie(&two, "b"), Presented::Nothing);
        let doubled = headers(&[("cookie", b"jwt=1; jwt=2")]);
        assert_eq!(cookie(&doubled, "jwt"), Presented::Unusable);
    }
}
