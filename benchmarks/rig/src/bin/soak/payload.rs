//! Bodies that are a piece of bytes, some times over.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A body with or without a length that is said beforehand.
#[derive(Clone)]
pub(crate) struct Payload {
    piece: Bytes,
    left: usize,
    sized: bool,
}

impl Payload {
    pub(crate) fn empty() -> Self {
        Self::sized(Bytes::new(), 0)
    }

    /// Sent with `Content-Length`.
    pub(crate) fn sized(piece: Bytes, times: usize) -> Self {
        Self {
            left: if piece.is_empty() { 0 } else { times },
            piece,
            sized: true,
        }
    }

    /// Sent chunked.
    pub(crate) fn chunked(piece: Bytes, times: usize) -> Self {
        Self {
            sized: false,
            ..Self::sized(piece, times)
        }
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.piece.repeat(self.left)
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        if self.sized || self.left == 0 {
            SizeHint::with_exact((self.piece.len() * self.left) as u64)
        } else {
            SizeHint::default()
        }
    }
}
