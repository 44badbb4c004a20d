//! The bodies of a request and of a response, piece by piece and whole.

use crate::flow::{Error, Reply};
use bytes::{Bytes, BytesMut};
use http::header;
use pingora_core::ErrorType;
use pingora_proxy::Session;
use std::time::Duration;

/// How long a client may be silent in the middle of its body: nginx's default for `client_body_timeout`.
const SILENCE: Duration = Duration::from_secs(60);

/// A request body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than the reader allows.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The client's connection failed, or the body is not well-formed.
    #[error(transparent)]
    Read(Error),
    /// The client stopped in the middle of the body for 60 seconds.
    #[error("the client does not send the rest of its body")]
    TimedOut,
}

impl BodyError {
    /// What a client is told: 413, 400 or 408.
    pub fn status(&self) -> u16 {
        match self {
            Self::TooLarge { .. } => 413,
            Self::Read(_) => 400,
            Self::TimedOut => 408,
        }
    }

    /// The gateway's page for [`BodyError::status`].
    pub fn reply(&self) -> Reply {
        Reply::status(self.status())
    }
}

/// The next piece of the client's body; `None` at its end.
///
/// # Errors
/// The client's connection failed, or it is too slow.
pub async fn next(session: &mut Session) -> Result<Option<Bytes>, BodyError> {
    match tokio::time::timeout(SILENCE, session.read_request_body()).await {
        Ok(Ok(piece)) => Ok(piece),
        Ok(Err(error)) if *error.etype() == ErrorType::ReadTimedout => Err(BodyError::TimedOut),
        Ok(Err(error)) => Err(BodyError::Read(error.into())),
        Err(_) => Err(BodyError::TimedOut),
    }
}

/// The length that the client announced.
pub(crate) fn declared(session: &Session) -> Option<u64> {
    let value = session.req_header().headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// Gathers a response body for a plugin that needs it whole. In `header_filter` the plugin removes Content-Length, for the head
/// is sent before the first piece comes; in `body_filter` it hands each piece to [`Gathered::take`].
#[derive(Debug, Default)]
pub struct Gathered {
    held: BytesMut,
}

impl Gathered {
    /// Takes the piece away, and gives the whole body with the last one. `limit` is in bytes.
    ///
    /// # Errors
    /// The body is larger than `limit`. Returned from `body_filter`, this ends the response as incomplete: its head is on its
    /// way, so there is no other answer.
    pub fn take(
        &mut self,
        chunk: &mut Option<Bytes>,
        end: bool,
        limit: usize,
    ) -> Result<Option<Bytes>, Error> {
        let piece = chunk.take();
        let length = self.held.len() + piece.as_ref().map_or(0, Bytes::len);
        if length > limit {
            self.held = BytesMut::new();
            let why = format!("the response body is larger than {limit} bytes");
            return Err(Error::new(why));
        }
        match (piece, end) {
            (piece, true) if self.held.is_empty() => Ok(Some(piece.unwrap_or_default())),
            (piece, end) => {
                self.held.extend_from_slice(&piece.unwrap_or_default());
                Ok(end.then(|| std::mem::take(&mut self.held).freeze()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
