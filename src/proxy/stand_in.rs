//! A session in the place of the client's, for what Pingora's own cannot do: a request body that was read or replaced before the
//! upstream was chosen is read from memory as if it came from the client, once for each attempt; and an upstream's answer
//! without a body gets one. Pingora keeps 64 KiB of a body that was read early, and only of a client that sent one.
//!
//! It also stands in for a client that asks for another protocol. Pingora tells the side of the upstream that the request has no
//! body, and when an upstream answers 101 before that side has heard so, it takes it for the end of the tunnel.

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use parking_lot::Mutex;
use pingora_core::{
    Result,
    protocols::{
        Digest,
        http::{HttpTask, ServerSession, custom::CustomMessageWrite, custom::server},
        l4::socket::SocketAddr,
    },
};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;
use std::{sync::Arc, time::Duration};

/// A body goes to the upstream in pieces of this size: between two of them Pingora reads what the upstream answers.
const PIECE: usize = 64 * 1024;

/// Where the client's own session comes back to when the other one is dropped, and the body that the answer gets.
#[derive(Default)]
pub struct Home {
    client: Mutex<Option<Box<ServerSession>>>,
    answer: Mutex<Option<Bytes>>,
}

/// What the request's body is made of.
pub(super) enum Source {
    /// These bytes and no more.
    Memory(Bytes),
    /// These bytes, and then what the client still sends.
    MemoryThenClient(Bytes),
    /// Nothing, unless the upstream agrees on another protocol: then what the client sends from there on.
    Tunnel,
}

struct StandIn {
    client: Box<ServerSession>,
    home: Arc<Home>,
    rest: Bytes,
    client_follows: bool,
    empty: bool,
    /// Whether the request ends only when its answer begins.
    open_until_answered: bool,
    /// Whether the head has gone, so that Pingora asks for the body.
    head_has_gone: bool,
}

/// Puts a session in the client's place whose request body comes from `source`.
pub(super) fn put(session: &mut Session, source: Source) -> Arc<Home> {
    let home = Arc::new(Home::default());
    let (rest, client_follows, open_until_answered) = match source {
        Source::Memory(rest) => (rest, false, false),
        Source::MemoryThenClient(rest) => (rest, true, false),
        Source::Tunnel => (Bytes::new(), true, true),
    };
    let client = std::mem::replace(&mut session.downstream_session, nobody());
    let stand_in = StandIn {
        empty: rest.is_empty() && (!client_follows || open_until_answered),
        open_until_answered,
        head_has_gone: false,
        client,
        home: home.clone(),
        rest,
        client_follows,
    };
    *session.downstream_session = ServerSession::new_custom(Box::new(stand_in));
    home
}

/// The answer whose head comes next gets this body; the upstream's has none.
pub(super) fn give_answer(home: &Home, body: Bytes) {
    *home.answer.lock() = Some(body);
}

/// Puts the client's own session back.
pub(super) fn remove(session: &mut Session, home: &Home) {
    drop(std::mem::replace(&mut session.downstream_session, nobody()));
    if let Some(client) = home.client.lock().take() {
        session.downstream_session = client;
    }
}

/// Fills a place for the length of a statement.
fn nobody() -> Box<ServerSession> {
    Box::new(ServerSession::new_custom(Box::new(())))
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let client = std::mem::replace(&mut self.client, nobody());
        *self.home.client.lock() = Some(client);
    }
}

impl StandIn {
    fn next_piece(&mut self) -> Option<Bytes> {
        let length = self.rest.len().min(PIECE);
        (length > 0).then(|| self.rest.split_to(length))
    }

    /// Whether it is not yet known that there is a tunnel, or that there is none.
    fn is_undecided(&self) -> bool {
        let final_head = self.client.response_written();
        let answered = final_head.is_some_and(|head| !head.status.is_informational());
        self.open_until_answered && !answered && !self.client.was_upgraded()
    }
}

#[async_trait]
impl server::Session for StandIn {
    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        match self.next_piece() {
            None if self.client_follows => self.client.read_request_body().await,
            piece => Ok(piece),
        }
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        match self.next_piece() {
            None => {
                // While undecided, only a client that leaves is of interest.
                let over = no_body_expected || !self.client_follows || self.is_undecided();
                self.client.read_body_or_idle(over).await
            }
            piece => Ok(piece),
        }
    }

    fn is_body_done(&mut self) -> bool {
        if self.is_undecided() {
            return false;
        }
        self.rest.is_empty() && (!self.client_follows || self.client.is_body_done())
    }

    /// Asked for the head, which is then without framing, and asked again to end the request at once.
    fn is_body_empty(&mut self) -> bool {
        self.empty && !(self.open_until_answered && self.head_has_gone)
    }

    /// What this session gave away is in memory; what it passed on is in the client's buffer.
    fn get_retry_buffer(&self) -> Option<Bytes> {
        None
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let answer = self.home.answer.lock().take();
        let Some(answer) = answer else {
            return self.client.response_duplex_vec(tasks).await;
        };
        let mut given = Vec::with_capacity(tasks.len() + 1);
        let mut answer = Some(answer);
        for task in tasks {
            match (task, answer.take()) {
                (HttpTask::Header(head, _), Some(body)) if !head.status.is_informational() => {
                    given.push(HttpTask::Header(head, false));
                    given.push(HttpTask::Body(Some(body), true));
                }
                (task, kept) => {
                    answer = kept;
                    given.push(task);
                }
            }
        }
        *self.home.answer.lock() = answer;
        self.client.response_duplex_vec(given).await
    }

    // All else is the client's.

    fn req_header(&self) -> &RequestHeader {
        self.client.req_header()
    }
    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.client.req_header_mut()
    }
    async fn drain_request_body(&mut self) -> Result<()> {
        self.client.drain_request_body().await
    }
    async fn write_response_header(&mut self, head: Box<ResponseHeader>, _: bool) -> Result<()> {
        self.client.write_response_header(head).await
    }
    async fn write_response_header_ref(&mut self, head: &ResponseHeader, _: bool) -> Result<()> {
        self.client.write_response_header_ref(head).await
    }
    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.client.write_response_body(data, end).await
    }
    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.client.write_response_trailers(trailers).await
    }
    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_read_timeout(timeout);
    }
    fn get_read_timeout(&self) -> Option<Duration> {
        self.client.get_read_timeout()
    }
    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_write_timeout(timeout);
    }
    fn get_write_timeout(&self) -> Option<Duration> {
        self.client.get_write_timeout()
    }
    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.client.set_total_drain_timeout(timeout);
    }
    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.client.get_total_drain_timeout()
    }
    fn request_summary(&self) -> String {
        self.client.request_summary()
    }
    fn response_written(&self) -> Option<&ResponseHeader> {
        self.client.response_written()
    }
    async fn shutdown(&mut self, _: u32, _: &str) {
        self.client.shutdown().await;
    }
    async fn finish(&mut self) -> Result<()> {
        self.client.finish_body().await
    }
    fn body_bytes_sent(&self) -> usize {
        self.client.body_bytes_sent()
    }
    fn body_bytes_read(&self) -> usize {
        self.client.body_bytes_read()
    }
    fn digest(&self) -> Option<&Digest> {
        self.client.digest()
    }
    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.client.digest_mut()
    }
    fn client_addr(&self) -> Option<&SocketAddr> {
        self.client.client_addr()
    }
    fn server_addr(&self) -> Option<&SocketAddr> {
        self.client.server_addr()
    }
    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.client.to_h1_raw()
    }
    fn enable_retry_buffering(&mut self) {
        // What Pingora does between the head and the body.
        self.head_has_gone = true;
        self.client.enable_retry_buffering();
    }
    fn retry_buffer_truncated(&self) -> bool {
        self.client.retry_buffer_truncated()
    }
    fn is_upgrade_req(&self) -> bool {
        self.client.is_upgrade_req()
    }
    fn was_upgraded(&self) -> bool {
        self.client.was_upgraded()
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
