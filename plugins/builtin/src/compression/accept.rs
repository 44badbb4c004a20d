//! `Accept-Encoding` (RFC 9110 §12.5.3).

use http::{HeaderMap, header};

/// Whether the client takes this encoding: it names it, or everything, with a weight above zero. Its own name counts more
/// than `*`.
pub(super) fn allows(headers: &HeaderMap, coding: &str) -> bool {
    let mut named = None;
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for member in value.as_bytes().split(|b| *b == b',') {
            let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let wanted = parts.all(|parameter| !is_zero(parameter));
            if name.eq_ignore_ascii_case(coding.as_bytes()) {
                named = Some(wanted);
            } else if name == b"*" {
                any = Some(wanted);
            }
        }
    }
    named.or(any).unwrap_or(false)
}

/// `q=0`, `q=0.000`; what is no number counts as zero too.
fn is_zero(parameter: &[u8]) -> bool {
    let Some((name, value)) = parameter.split_at_checked(2) else {
        return false;
    };
    if !name.eq_ignore_ascii_case(b"q=") {
        return false;
    }
    let weight = std::str::from_utf8(value).ok();
    let weight = weight.and_then(|text| text.trim().parse::<f32>().ok());
    !weight.is_some_and(|weight| weight > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_and_the_name_decide() {
        for (written, expected) in [
            ("gzip", true),
            ("GZIP", true),
            ("deflate, gzip;q=0.5", true),
            ("deflate,gzip ; q=1.0", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;Q=0", false),
            ("gzip;q=x", false),
            ("gzip;q=", false),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0, gzip", true),
            ("identity", false),
            ("xgzip, gzip2", false),
            ("", false),
            ("\u{e9}, gzip", true),
        ] {
            let mut headers = HeaderMap::new();
            let value = http::HeaderValue::from_bytes(written.as_bytes()).unwrap();
            headers.insert(header::ACCEPT_ENCODING, value);
            assert_eq!(allows(&headers, "gzip"), expected, "{written:?}");
        }
        assert!(!allows(&HeaderMap::new(), "gzip"));
    }
}
