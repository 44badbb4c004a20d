//! Why a call came to nothing.

use std::{error::Error, time::Duration};

/// Why a call came to nothing. The texts name neither the target nor anything that was sent: addresses of services may
/// hold credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection came about: the name is unknown, nobody listens, or TLS failed.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The answer was not there whole within this time.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The answer has more than so many bytes.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    /// What was said is not HTTP, or the connection broke.
    #[error("the exchange failed: {0}")]
    Protocol(String),
    /// The client could not be made.
    #[error("cannot make a client: {0}")]
    Setup(String),
}

impl CallError {
    pub(super) fn of(error: reqwest::Error) -> Self {
        let reason = root(&error);
        if error.is_connect() {
            Self::Connect(reason)
        } else {
            Self::Protocol(reason)
        }
    }
}

/// The innermost cause: the outer ones say the address, which is not for a log.
pub(super) fn root(error: &reqwest::Error) -> String {
    let Some(mut cause) = error.source() else {
        return "the request cannot be sent".to_owned();
    };
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
