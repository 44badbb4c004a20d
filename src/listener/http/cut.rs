//! Why the edge broke off a request that Pingora has already begun.

use super::chunks::BadChunk;
use crate::listener::Reason;
use pingora_core::Error;
use std::io;

/// What was wrong. It travels through Pingora as the cause of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cut {
    /// The body came too slowly.
    #[error("the request body came too slowly")]
    SlowBody,
    /// The client took its answer too slowly.
    #[error("the client took its answer too slowly")]
    SlowReader,
    /// The body is malformed.
    #[error(transparent)]
    Malformed(#[from] BadChunk),
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
            Self::SlowReader => None,
            Self::Malformed(_) => Some(400),
        }
    }

    pub(super) fn reason(self) -> Reason {
        match self {
            Self::SlowBody => Reason::BodyRate,
            Self::SlowReader => Reason::ResponseRate,
            Self::Malformed(_) => Reason::MalformedBody,
        }
    }
}

impl From<Cut> for io::Error {
    fn from(cut: Cut) -> Self {
        let kind = match cut {
            Cut::SlowBody | Cut::SlowReader => io::ErrorKind::TimedOut,
            Cut::Malformed(_) => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, cut)
    }
}
