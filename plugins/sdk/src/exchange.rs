//! One request in flight, as a plugin sees it.

pub use crate::body::BodyError;
use crate::{
    body, consumer::Identity, expectation, request::Request, slots::Slot, upstream::UpstreamHandle,
};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue};
use pingora_proxy::Session;

/// Pingora's session and the gateway's knowledge of the request.
pub struct Exchange<'s> {
    /// The client's connection. `session.req_header()` is the request head: edits of it in `rewrite` and `access` reach the upstream.
    /// The path there is the client's spelling; decide by [`Request::path`].
    pub session: &'s mut Session,
    /// What the gateway knows of the request.
    pub request: &'s mut Request,
    slot: Slot,
}

impl<'s> Exchange<'s> {
    /// For the gateway and for tests.
    pub fn new(session: &'s mut Session, request: &'s mut Request) -> Self {
        Self {
            session,
            request,
            slot: Slot::default(),
        }
    }

    /// For the chain: the plugin whose turn it is.
    pub fn enter(&mut self, slot: Slot) {
        self.slot = slot;
    }

    /// Whose turn it is.
    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    /// The running plugin instance's own state for this request; made on first use.
    pub fn state<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        self.request.slots.state(self.slot)
    }

    /// The running plugin instance's state, if it made one.
    pub fn existing_state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.request.slots.existing(self.slot)
    }

    /// Names the consumer. From the access phase on, the consumer's plugins take part; the upstream gets the identity headers.
    pub fn authenticate(&mut self, identity: Identity) {
        self.request.identity = Some(identity);
    }

    /// Sends the request to this upstream in place of the route's own.
    pub fn send_to(&mut self, upstream: UpstreamHandle) {
        self.request.upstream_override = Some(upstream);
    }

    /// Sets a header on whatever response the client gets, from the upstream or from the gateway. Replaces an equal name.
    pub fn set_response_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.request.response_headers.push((name, value));
    }

    /// Reads the whole request body, which still goes to the upstream afterwards, on retries too. It is kept in memory until
    /// the request is over: `limit` is in bytes, and what every request may cost.
    ///
    /// # Errors
    /// The body is larger than `limit`, or reading it failed. What was read of it is kept: a plugin may answer, or go on
    /// without the body.
    pub async fn read_body(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        if let Some(body) = &self.request.body {
            return match body.len() > limit {
                true => Err(BodyError::TooLarge { limit }),
                false => Ok(body.clone()),
            };
        }
        if body::declared(self.session).is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLarge { limit });
        }
        expectation::meet(self.session)
            .await
            .map_err(|e| BodyError::Read(e.into()))?;
        let mut read = BytesMut::from(std::mem::take(&mut self.request.body_start));
        let outcome = loop {
            if read.len() > limit {
                break Err(BodyError::TooLarge { limit });
            }
            match body::next(self.session).await {
                Ok(Some(piece)) => read.extend_from_slice(&piece),
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        let read = read.freeze();
        match outcome {
            Ok(()) => {
                self.request.body = Some(read.clone());
                Ok(read)
            }
            Err(error) => {
                self.request.body_start = read;
                Err(error)
            }
        }
    }

    /// The upstream gets `body` in place of the client's, with the right Content-Length, also when the client sent none, and
    /// on retries. Variables of the body see it too. Call it before the upstream is chosen, in `rewrite` or `access`; the
    /// Content-Type is the plugin's to set.
    pub fn replace_body(&mut self, body: impl Into<Bytes>) {
        self.request.set_body(body.into());
    }
}
