//! The life of an HTTP connection. Between requests nothing of it is left but the stream and a small future.

use super::{
    Options, Refusal,
    head::{self, Refused, Verdict},
    http2,
    refusal::stand_in,
    wire::Wire,
};
use crate::listener::{Connection, Counters, Govern, Reason, Serve, Stop, Terms};
use async_trait::async_trait;
use bytes::BytesMut;
use pingora_core::{apps::HttpServerApp, protocols::http::ServerSession};
use pingora_timeout::timeout;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// HTTP/2's first words (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// So long after the word to stop a connection without a request stays open: closed at once, it would take a request with it
/// that is on its way.
pub const LAST_CALL: Duration = Duration::from_secs(1);

/// Serves HTTP on connections, through an application of Pingora's.
pub struct Http<A> {
    app: Arc<A>,
    govern: Arc<dyn Govern>,
    counters: Arc<Counters>,
}

impl<A> Http<A> {
    /// `govern` and `counters` are those of the edge.
    pub fn new(app: Arc<A>, govern: Arc<dyn Govern>, counters: Arc<Counters>) -> Self {
        Self {
            app,
            govern,
            counters,
        }
    }
}

/// What comes first on a connection that is waited for.
enum Next {
    /// A request: its bytes, and the status if it is refused.
    Request(BytesMut, Option<u16>),
    /// HTTP/2.
    Http2,
    /// Nothing more.
    End,
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> Serve for Http<A> {
    async fn serve(self: Arc<Self>, connection: Connection, mut stop: Stop) {
        let mut terms = connection.terms.clone();
        let rates = rates(&terms.http);
        let mut wire = Box::new(Wire::new(connection, rates, self.counters.clone()));
        if wire.is_http2() {
            return http2::serve(&self.app, *wire, &terms.http, &self.counters, stop).await;
        }
        let mut served = 0;
        loop {
            let next = self.next(&mut wire, &mut stop, served, &mut terms).await;
            let (request, refused) = match next {
                Next::Request(request, refused) => (request, refused),
                Next::Http2 => {
                    return http2::serve(&self.app, *wire, &terms.http, &self.counters, stop).await;
                }
                Next::End => return,
            };
            served += 1;
            let most = terms.http.requests;
            let left = (most > 0).then(|| most.saturating_sub(served));
            match self.exchange(wire, request, refused, left, &stop).await {
                Some(again) => wire = again,
                None => return,
            }
        }
    }
}

impl<A: HttpServerApp + Send + Sync + 'static> Http<A> {
    /// Waits for the next request, as long as it may take.
    async fn next(
        &self,
        wire: &mut Wire,
        stop: &mut Stop,
        served: u32,
        terms: &mut Arc<Terms>,
    ) -> Next {
        if wire.ahead().is_empty() {
            let idle = match served {
                0 => terms.http.header_timeout,
                _ => terms.http.keepalive_timeout,
            };
            let came = tokio::select! {
                biased;
                came = timeout(idle, wire.fill()) => Some(came),
                () = stop.given() => None,
            };
            let came = match came {
                Some(came) => came,
                // A request may be on its way. The answer to it says that it was the last.
                None => timeout(LAST_CALL.min(idle), wire.fill()).await,
            };
            match came {
                Ok(Ok(more)) if more > 0 => {}
                _ => return Next::End,
            }
        }
        if terms.is_superseded() {
            *terms = self.govern.terms();
            wire.hold_to(rates(&terms.http));
        }
        match self.judge(wire, served, &terms.http) {
            Some(next) => next,
            // Most heads come whole. What waits for the rest of one is boxed, for the sake of those that do not wait.
            None => Box::pin(self.rest(wire, stop, served, &terms.http)).await,
        }
    }

    /// Waits for the rest of a head.
    async fn rest(&self, wire: &mut Wire, stop: &mut Stop, served: u32, options: &Options) -> Next {
        let mut deadline = Instant::now() + options.header_timeout;
        let mut last_call = false;
        loop {
            let known = wire.ahead().len();
            let came = tokio::select! {
                biased;
                came = tokio::time::timeout_at(deadline, wire.fill()) => came,
                () = stop.given(), if !last_call => {
                    last_call = true;
                    deadline = deadline.min(Instant::now() + LAST_CALL);
                    continue;
                }
            };
            match came {
                Ok(Ok(more)) if more > 0 => {}
                Ok(_) => return Next::End,
                Err(_) if last_call => return Next::End,
                Err(_) => {
                    self.counters.count(Reason::HeaderTimeout);
                    return self.refused(wire, 408);
                }
            }
            // Only the end of a line can complete a head, or spoil one that was in order so far; or its size.
            let more = wire.ahead().get(known..).unwrap_or_default();
            let worth = memchr::memchr(b'\n', more).is_some() || wire.ahead().len() >= 4096;
            if let Some(next) = worth.then(|| self.judge(wire, served, options)).flatten() {
                return next;
            }
        }
    }

    /// What the bytes are that have come; `None` while that cannot be told.
    fn judge(&self, wire: &mut Wire, served: u32, options: &Options) -> Option<Next> {
        // Over TLS it is the handshake that agrees on HTTP/2.
        let may_be_http2 = options.h2c && served == 0 && !wire.is_tls();
        let bytes = wire.ahead();
        if may_be_http2 && bytes.first() == Some(&b'P') {
            let length = bytes.len().min(PREFACE.len());
            if bytes.get(..length) == PREFACE.get(..length) {
                return (length == PREFACE.len()).then_some(Next::Http2);
            }
        }
        match head::judge(wire.ahead(), &options.head) {
            Verdict::Incomplete => None,
            Verdict::Head(head) => Some(match wire.begin(head.length, head.body, head.upgrade) {
                Ok(request) => Next::Request(request, None),
                Err(cut) => {
                    self.counters.count(cut.reason());
                    self.refused(wire, 400)
                }
            }),
            Verdict::Refused(refused) => {
                self.counters.count(match refused {
                    Refused::Target | Refused::Fields => Reason::Oversized,
                    _ => Reason::Malformed,
                });
                Some(self.refused(wire, refused.status()))
            }
        }
    }

    /// The request that stands in for one that is refused. What was read stays, to tell that there is something unread.
    fn refused(&self, wire: &mut Wire, status: u16) -> Next {
        let bytes = std::mem::take(wire.ahead());
        let request = stand_in(&bytes);
        *wire.ahead() = bytes;
        wire.end_request();
        Next::Request(request, Some(status))
    }

    /// Has the application answer a request. The stream, when it can have another: `left` more, where they are counted.
    async fn exchange(
        &self,
        wire: Box<Wire>,
        request: BytesMut,
        refused: Option<u16>,
        left: Option<u32>,
        stop: &Stop,
    ) -> Option<Box<Wire>> {
        let mut session = ServerSession::new_http1(wire);
        // Pingora parses these bytes before it reads any.
        session.set_pipelined_prefix(request);
        if let Some(status) = refused {
            session.set_connection_user_context(Some(Box::new(Refusal { status })));
        }
        if let Some(left) = left {
            if left == 0 {
                self.counters.count(Reason::Requests);
            }
            session.set_keepalive_reuses_remaining(Some(left));
        }
        let again = self
            .app
            .process_new_http(session, stop.as_pingora())
            .await?;
        let (stream, _) = again.consume();
        stream.into_any().downcast().ok()
    }
}

/// The least of bytes each second, of request bodies and of answers.
fn rates(options: &Options) -> (u64, u64) {
    (options.body_rate, options.response_rate)
}
