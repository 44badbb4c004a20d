//! A request with a body, on a stream of HTTP/2. Pingora waits for such a body without end; here it is held to the bounds of
//! HTTP/1.1. All else is the stream's own.

use super::{
    super::{
        Cut,
        pace::{Pace, Rule},
    },
    call::is_grpc,
};
use crate::listener::Counters;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use pingora_core::{
    Error, ErrorType, Result,
    protocols::{
        Digest,
        http::{HttpTask, ServerSession, custom::CustomMessageWrite, custom::server},
        l4::socket::SocketAddr,
    },
};
use pingora_http::{RequestHeader, ResponseHeader};
use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

/// How long a call of gRPC that has sent a message may be silent before it is answered.
const SILENT_CALL: Duration = Duration::from_secs(3600);

/// The stream, and how its client keeps to the rule.
pub(super) struct Paced {
    stream: ServerSession,
    pace: Pace,
    rule: Rule,
    /// A call of gRPC may say nothing for long once it is answered: what bounds it is the upstream's timeout.
    call: bool,
    counters: Arc<Counters>,
}

impl Paced {
    pub(super) fn new(stream: ServerSession, rule: Rule, counters: Arc<Counters>) -> Self {
        let call = is_grpc(stream.req_header());
        Self {
            stream,
            pace: Pace::default(),
            // Messages of a call may be small and rare, as long as there are any.
            rule: if call { Rule { rate: 0, ..rule } } else { rule },
            call,
            counters,
        }
    }

    async fn read(&mut self) -> Result<Option<Bytes>> {
        if self.call && self.stream.response_written().is_some() {
            return self.stream.read_request_body().await;
        }
        if self.call && self.stream.body_bytes_read() > 0 {
            // It may wait for an event that is rare, and say nothing more itself.
            self.rule.stall = SILENT_CALL;
        }
        let Self {
            stream, pace, rule, ..
        } = self;
        let piece = {
            let mut read = pin!(stream.read_request_body());
            poll_fn(|context| {
                if let Poll::Ready(piece) = read.as_mut().poll(context) {
                    return Poll::Ready(Some(piece));
                }
                ready!(pace.poll_too_slow(context, rule));
                Poll::Ready(None)
            })
            .await
        };
        match piece {
            Some(piece) => {
                let length = piece.as_ref().ok().and_then(Option::as_ref).map(Bytes::len);
                self.pace.progressed(length.unwrap_or_default());
                piece
            }
            None => {
                let cut = Cut::SlowBody;
                self.counters.count(cut.reason());
                let why = "while reading a request body";
                Err(Error::because(ErrorType::ReadTimedout, why, io::Error::from(cut)).into_down())
            }
        }
    }
}

#[async_trait]
impl server::Session for Paced {
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        self.read().await
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        if no_body_expected || self.stream.is_body_done() {
            return self.stream.read_body_or_idle(true).await;
        }
        self.read().await
    }

    // All else is the stream's.

    fn is_body_done(&mut self) -> bool {
        self.stream.is_body_done()
    }
    fn is_body_empty(&mut self) -> bool {
        self.stream.is_body_empty()
    }
    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.stream.get_retry_buffer()
    }
    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        self.stream.response_duplex_vec(tasks).await
    }
    fn req_header(&self) -> &RequestHeader {
        self.stream.req_header()
    }
    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.stream.req_header_mut()
    }
    async fn drain_request_body(&mut self) -> Result<()> {
        self.stream.drain_request_body().await
    }
    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.stream.write_response_header(head).await
    }
    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.stream.write_response_header_ref(head).await
    }
    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.stream.write_response_body(data, end).await
    }
    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.stream.write_response_trailers(trailers).await
    }
    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.stream.set_read_timeout(timeout);
    }
    fn get_read_timeout(&self) -> Option<Duration> {
        self.stream.get_read_timeout()
    }
    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.stream.set_write_timeout(timeout);
    }
    fn get_write_timeout(&self) -> Option<Duration> {
        self.stream.get_write_timeout()
    }
    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.stream.set_total_drain_timeout(timeout);
    }
    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.stream.get_total_drain_timeout()
    }
    fn request_summary(&self) -> String {
        self.stream.request_summary()
    }
    fn response_written(&self) -> Option<&ResponseHeader> {
        self.stream.response_written()
    }
    async fn shutdown(&mut self, _: u32, _: &str) {
        self.stream.shutdown().await;
    }
    async fn finish(&mut self) -> Result<()> {
        self.stream.finish_body().await
    }
    fn body_bytes_sent(&self) -> usize {
        self.stream.body_bytes_sent()
    }
    fn body_bytes_read(&self) -> usize {
        self.stream.body_bytes_read()
    }
    fn digest(&self) -> Option<&Digest> {
        self.stream.digest()
    }
    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.stream.digest_mut()
    }
    fn client_addr(&self) -> Option<&SocketAddr> {
        self.stream.client_addr()
    }
    fn server_addr(&self) -> Option<&SocketAddr> {
        self.stream.server_addr()
    }
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.stream.to_h1_raw()
    }
    fn enable_retry_buffering(&mut self) {
        self.stream.enable_retry_buffering();
    }
    fn retry_buffer_truncated(&self) -> bool {
        self.stream.retry_buffer_truncated()
    }

    // Messages beside HTTP, which no client of ours sends.

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }
    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }
    fn restore_custom_message_reader(
        &mut self,
        _: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }
    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }
    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
