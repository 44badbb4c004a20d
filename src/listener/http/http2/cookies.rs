//! HTTP/2 may cut `Cookie` into crumbs; who reads HTTP/1.1 expects one field (RFC 9113 §8.2.3).

use bytes::{BufMut, BytesMut};
use http::{HeaderValue, header::COOKIE};
use pingora_http::RequestHeader;

/// Makes one field of the crumbs.
pub(super) fn join(head: &mut RequestHeader) {
    let mut crumbs = head.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = BytesMut::from(first.as_bytes());
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.put_slice(b"; ");
        joined.put_slice(crumb.as_bytes());
    }
    if let Ok(joined) = HeaderValue::from_maybe_shared(joined.freeze())
        && let Err(error) = head.insert_header(COOKIE, joined)
    {
        tracing::error!(%error, "a Cookie field could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crumbs_become_one_field_and_one_field_stays() {
        for (crumbs, joined) in [
            (&["a=1", "b=2", "c=\"3\""][..], "a=1; b=2; c=\"3\""),
            (&["a=1; b=2"], "a=1; b=2"),
        ] {
            let mut head = RequestHeader::build("GET", b"/", None).unwrap();
            for crumb in crumbs {
                head.append_header(COOKIE, *crumb).unwrap();
            }
            join(&mut head);
            let fields: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
            assert_eq!(fields, [joined]);
        }
    }
}
