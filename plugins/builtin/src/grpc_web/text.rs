//! `application/grpc-web-text`: frames in base64. Each piece is encoded by itself, so that padding may stand in the middle.

use base64::{Engine, engine::general_purpose::STANDARD};

/// A piece as text.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of a text; `None` when it is not base64.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() / 4 * 3);
    for piece in pieces(text) {
        STANDARD.decode_vec(piece, &mut decoded).ok()?;
    }
    Some(decoded)
}

/// What was encoded together: a piece ends with its padding.
fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let at = memchr::memchr(b'=', rest).unwrap_or(rest.len());
        let tail = rest.get(at..).unwrap_or_default();
        let padding = tail.iter().take_while(|b| **b == b'=').count();
        let (piece, after) = rest.split_at_checked(at + padding)?;
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_may_stand_in_the_middle() {
        assert_eq!(decode(b"aGVsbG8=").unwrap(), b"hello");
        assert_eq!(decode(b"aGVsbG8=aGVsbG8=").unwrap(), b"hellohello");
        assert_eq!(decode(b"YQ==YmM=ZGVm").unwrap(), b"abcdef");
        assert_eq!(decode(b"").unwrap(), b"");
    }

    #[test]
    fn what_is_not_base64_is_refused() {
        for text in [
            &b"a"[..],
            b"a===",
            b"====",
            b"=YQ==",
            b"aGVsbG8",
            b"\xff\xff\xff\xff",
            b"YQ==\n",
        ] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
