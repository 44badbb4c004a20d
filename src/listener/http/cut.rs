//! Why the edge broke off a request that Pingora has already begun.

use super::{chunks::BadChunk, http2::frames::Fault};
use crate::listener::Reason;
use pingora_core::Error;
use std::io;

/// What was wrong. It travels through Pingora as the cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The body came too slowly.
    #[error("the request body came too slowly")]
    SlowBody,
    /// The head came too slowly, on a connection of HTTP/2.
    #[error("the request head came too slowly")]
    SlowHead,
    /// The client took its answer too slowly.
    #[error("the client took its answer too slowly")]
    SlowReader,
    /// The body is malformed.
    #[error(transparent)]
    Malformed(#[from] BadChunk),
    /// An HTTP/2 connection is misused.
    #[error(transparent)]
    Http2(#[from] Fault),
}

impl Cut {
    /// The cause of an error, if it is one of these.
    pub fn of(error: &Error) -> Option<Self> {
        let cause = error.cause.as_deref()?;
        if let Some(error) = cause.downcast_ref::<io::Error>() {
            return error.get_ref()?.downcast_ref().copied();
        }
        Self::of(cause.downcast_ref::<Box<Error>>()?)
    }

    /// The answer, when there can still be one.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::SlowBody => Some(408),
            // Of HTTP/2, the whole connection ends.
            Self::SlowReader | Self::SlowHead | Self::Http2(_) => None,
            Self::Malformed(_) => Some(400),
        }
    }

    pub(super) fn reason(self) -> Reason {
        match self {
            Self::SlowBody => Reason::BodyRate,
            Self::SlowHead => Reason::HeaderTimeout,
            Self::SlowReader => Reason::ResponseRate,
            Self::Malformed(_) => Reason::MalformedBody,
            Self::Http2(Fault::Resets) => Reason::Http2Resets,
            Self::Http2(Fault::Control) => Reason::Http2ControlFrames,
            Self::Http2(Fault::Continuations) => Reason::Http2Continuations,
            Self::Http2(Fault::NoSettings) => Reason::Http2Abuse,
        }
    }
}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> Self {
        let kind = match cut {
            Cut::SlowBody | Cut::SlowHead | Cut::SlowReader => io::ErrorKind::TimedOut,
            Cut::Malformed(_) | Cut::Http2(Fault::NoSettings) => io::ErrorKind::InvalidData,
            Cut::Http2(_) => io::ErrorKind::QuotaExceeded,
        };
        io::Error::new(kind, cut)
    }
}
