//! Bodies: a piece of bytes some times over, or pieces as they come.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::HeaderMap;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

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

/// The body of an answer.
pub(crate) enum Reply {
    Whole(Payload),
    /// Frames as somebody sends them; it ends when they stop.
    Coming(mpsc::Receiver<Frame<Bytes>>),
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(payload) => Pin::new(payload).poll_frame(cx),
            Self::Coming(frames) => frames.poll_recv(cx).map(|frame| frame.map(Ok)),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(payload) => payload.is_end_stream(),
            Self::Coming(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(payload) => payload.size_hint(),
            Self::Coming(_) => SizeHint::default(),
        }
    }
}

/// The whole of a body, and its trailers.
pub(crate) async fn collect(mut body: Incoming) -> hyper::Result<(Vec<u8>, Option<HeaderMap>)> {
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = next(&mut body).await {
        match frame?.into_data() {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    Ok((bytes, trailers))
}

/// The next frame of a body.
pub(crate) async fn next(body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
    poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
}
