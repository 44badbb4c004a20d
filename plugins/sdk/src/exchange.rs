//! One request in flight, as a plugin sees it.

use crate::{
    consumer::Identity,
    expectation,
    flow::Error,
    request::{Request, Slot},
    upstream::UpstreamHandle,
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

    /// Reads the whole request body, which still goes to the upstream afterwards.
    ///
    /// # Errors
    /// The body is larger than `limit` bytes, or than what can be kept for sending it on
    /// ([`crate::request::MAX_BUFFERED_BODY`]), or reading failed.
    pub async fn read_body(&mut self, limit: usize) -> Result<Bytes, BodyError> {
        if let Some(body) = &self.request.body {
            return Ok(body.clone());
        }
        let limit = limit.min(crate::request::MAX_BUFFERED_BODY);
        self.session.enable_retry_buffering();
        expectation::meet(self.session)
            .await
            .map_err(|e| BodyError::Read(e.into()))?;
        let mut body = BytesMut::new();
        while let Some(chunk) = self
            .session
            .read_request_body()
            .await
            .map_err(|e| BodyError::Read(e.into()))?
        {
            if body.len() + chunk.len() > limit {
                return Err(BodyError::TooLarge { limit });
            }
            body.extend_from_slice(&chunk);
        }
        let body = body.freeze();
        self.request.body = Some(body.clone());
        Ok(body)
    }
}

/// A request body could not be read whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More than may be kept in memory.
    #[error("the request body is larger than {limit} bytes")]
    TooLarge {
        /// In bytes.
        limit: usize,
    },
    /// The client's connection failed.
    #[error(transparent)]
    Read(Error),
}
