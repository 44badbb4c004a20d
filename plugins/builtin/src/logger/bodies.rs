//! Bodies of a request and of its response, collected piece by piece as they pass, no further than they are wanted.

use bytes::{Bytes, BytesMut};

/// What has been seen of a body.
#[derive(Default)]
pub(super) struct Seen {
    bytes: BytesMut,
    whole: bool,
}

impl Seen {
    /// Keeps a piece, up to `limit` bytes altogether.
    pub(super) fn add(&mut self, piece: Option<&Bytes>, end: bool, limit: usize) {
        let room = limit.saturating_sub(self.bytes.len());
        let piece = piece.map(|piece| &**piece).unwrap_or_default();
        let (kept, cut) = piece.split_at_checked(room).unwrap_or((piece, b""));
        self.bytes.extend_from_slice(kept);
        self.whole = end && cut.is_empty();
    }

    /// The text so far; `None` when nothing came.
    pub(super) fn text(&self) -> Option<&[u8]> {
        (!self.bytes.is_empty()).then_some(&*self.bytes)
    }

    /// The body, when all of it is here.
    pub(super) fn body(&self) -> Option<Bytes> {
        self.whole.then(|| self.bytes.clone().freeze())
    }
}

/// The bodies of one exchange, kept for one instance of a logger.
#[derive(Default)]
pub(super) struct Bodies {
    pub(super) request: Seen,
    pub(super) response: Seen,
    /// What the expression said when the response began.
    pub(super) response_wanted: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_was_wanted() {
        let mut seen = Seen::default();
        assert_eq!(seen.text(), None);
        seen.add(Some(&Bytes::from_static(b"abc")), false, 5);
        assert_eq!((seen.text(), seen.body()), (Some(&b"abc"[..]), None));
        seen.add(Some(&Bytes::from_static(b"de")), false, 5);
        seen.add(None, true, 5);
        assert_eq!(seen.body().as_deref(), Some(&b"abcde"[..]));
        let mut cut = Seen::default();
        cut.add(Some(&Bytes::from_static(b"abcdef")), false, 5);
        cut.add(Some(&Bytes::from_static(b"g")), true, 5);
        assert_eq!((cut.text(), cut.body()), (Some(&b"abcde"[..]), None));
    }
}
