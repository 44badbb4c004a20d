//! How far a request reaches into the bytes of its connection.

use super::{Cut, chunks::Chunks, http2::frames::Frames};
use std::time::Instant;

/// What is still to come of a request after its head.
#[derive(Debug)]
pub enum Framing {
    /// Nothing.
    Done,
    /// So many bytes; never 0.
    Length(u64),
    /// Chunks.
    Chunked(Box<Chunks>),
    /// Everything until the connection ends: another protocol was agreed on.
    Tunnel,
    /// The same, in frames of HTTP/2.
    Http2(Box<Frames>),
}

impl Framing {
    pub(super) fn length(length: u64) -> Self {
        match length {
            0 => Self::Done,
            more => Self::Length(more),
        }
    }

    pub(super) fn chunked() -> Self {
        Self::Chunked(Box::default())
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// How many of these bytes belong to the request.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Cut> {
        let taken = match self {
            Self::Done => 0,
            Self::Tunnel => bytes.len(),
            Self::Http2(frames) => {
                frames.received(bytes, Instant::now())?;
                bytes.len()
            }
            Self::Length(left) => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX);
                let taken = bytes.len().min(most);
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                taken
            }
            Self::Chunked(chunks) => {
                let taken = chunks.take(bytes)?;
                if chunks.is_done() {
                    *self = Self::Done;
                }
                taken
            }
        };
        Ok(taken)
    }
}
