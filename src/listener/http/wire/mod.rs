//! The stream that Pingora reads requests from and writes answers to. It gives Pingora the bytes of one request and keeps those
//! that follow it, bounds how slow the client may be, and gathers small writes.

mod ends;

use super::{
    Cut,
    framing::Framing,
    pace::{Pace, Rule},
};
use crate::listener::{Connection, Counters, Transport};
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use ends::Ends;
use pingora_core::protocols::Shutdown;
use std::{
    future::poll_fn,
    io,
    mem::MaybeUninit,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Bytes that are read at once where nobody has a buffer. They stand on the stack.
const READ: usize = 4096;
/// Writes are gathered up to this size, so that a head and a small body leave together.
const GATHER: usize = 4096;
/// Bytes of later requests that are kept while one is served. More stay in the socket.
const AHEAD: usize = 16 * 1024;
/// How long, and how many bytes, of a request that nobody wants are still read so that the client sees its answer and no reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1 << 20;
/// Nobody may stand still for longer.
const STALL: Duration = Duration::from_secs(60);
const BODY_GRACE: Duration = Duration::from_secs(10);
const RESPONSE_GRACE: Duration = Duration::from_secs(30);

/// A client's connection as Pingora sees it.
#[derive(Debug)]
pub(super) struct Wire {
    transport: Transport,
    /// What is still to come of the request that is being served.
    framing: Framing,
    /// Read, and not given to Pingora.
    ahead: BytesMut,
    /// Written by Pingora, and not sent.
    gathered: BytesMut,
    /// Whether the answer may agree on another protocol.
    upgrade: bool,
    /// Who waits for the tunnel that the answer may open.
    tunnel: Option<Waker>,
    ended: bool,
    reading: Pace,
    writing: Pace,
    body: Rule,
    response: Rule,
    /// Bytes that the client had acknowledged when a wait for it began.
    acknowledged: u64,
    counters: Arc<Counters>,
    ends: Arc<Ends>,
}

impl Wire {
    pub(super) fn new(
        connection: Connection,
        (body_rate, response_rate): (u64, u64),
        counters: Arc<Counters>,
    ) -> Self {
        let rule = |rate, grace| Rule {
            rate,
            grace,
            stall: STALL,
        };
        let ends = Arc::new(Ends::of(&connection));
        Self {
            transport: connection.stream,
            framing: Framing::Done,
            ahead: BytesMut::new(),
            gathered: BytesMut::new(),
            upgrade: false,
            tunnel: None,
            ended: false,
            reading: Pace::default(),
            writing: Pace::default(),
            body: rule(body_rate, BODY_GRACE),
            response: rule(response_rate, RESPONSE_GRACE),
            acknowledged: 0,
            counters,
            ends,
        }
    }

    /// What was read and belongs to nobody yet.
    pub(super) fn ahead(&mut self) -> &mut BytesMut {
        &mut self.ahead
    }

    /// Whether the handshake agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.ends.http2
    }

    pub(super) fn is_tls(&self) -> bool {
        self.ends.ssl.is_some()
    }

    /// Waits for bytes between requests, holding no buffer meanwhile, and adds them to [`ahead`](Self::ahead). How many came; 0 at
    /// the end.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_fill(context)).await
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut buf = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.transport).poll_read(context, &mut buf))?;
        let bytes = buf.filled();
        self.ahead.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Begins a request whose head is the first `head` bytes that were read. Gives these, and what has come of its body.
    pub(super) fn begin(
        &mut self,
        head: usize,
        framing: Framing,
        upgrade: bool,
    ) -> Result<BytesMut, Cut> {
        self.framing = framing;
        self.upgrade = upgrade;
        self.reading.reset();
        self.writing.reset();
        if self.ahead.len() == head {
            return Ok(std::mem::take(&mut self.ahead));
        }
        let body = self.ahead.get(head..).unwrap_or_default();
        let taken = self.framing.take(body).map_err(Cut::from)?;
        let request = self.ahead.split_to(head + taken);
        Ok(request)
    }

    /// Nothing more of the connection belongs to a request.
    pub(super) fn end_request(&mut self) {
        self.framing = Framing::Done;
        self.upgrade = false;
    }

    /// Everything from here on is given as it comes.
    pub(super) fn open_tunnel(&mut self) {
        self.framing = Framing::Tunnel;
        self.upgrade = false;
        if let Some(waiting) = self.tunnel.take() {
            waiting.wake();
        }
    }

    /// Between the end of a request and that of its answer: notices a client that leaves, and keeps what it sends early.
    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.upgrade {
            self.tunnel = Some(context.waker().clone());
        }
        while self.ahead.len() < AHEAD {
            if ready!(self.poll_fill(context))? == 0 {
                self.ended = true;
                // Who has sent the next request still wants its answer.
                if self.ahead.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                return Poll::Pending;
            }
        }
        Poll::Pending
    }

    fn poll_body(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.ahead.is_empty() {
            if Pin::new(&mut self.transport)
                .poll_read(context, buf)?
                .is_pending()
            {
                if matches!(self.framing, Framing::Tunnel) {
                    return Poll::Pending;
                }
                ready!(self.reading.poll_too_slow(context, &self.body));
                return Poll::Ready(Err(self.cut(Cut::SlowBody)));
            }
        } else {
            let length = self.ahead.len().min(buf.remaining());
            if let Some(bytes) = self.ahead.get(..length) {
                buf.put_slice(bytes);
            }
            self.ahead.advance(length);
        }
        let came = buf.filled().get(before..).unwrap_or_default();
        self.reading.progressed(came.len());
        match self.framing.take(came) {
            Ok(taken) if taken == came.len() => Poll::Ready(Ok(())),
            Ok(taken) => {
                // The next request has come along with the end of this one; before what was kept already.
                let mut next = BytesMut::from(came.get(taken..).unwrap_or_default());
                next.unsplit(std::mem::take(&mut self.ahead));
                self.ahead = next;
                buf.set_filled(before + taken);
                Poll::Ready(Ok(()))
            }
            Err(bad) => {
                buf.set_filled(before);
                Poll::Ready(Err(self.cut(bad.into())))
            }
        }
    }

    fn cut(&self, cut: Cut) -> io::Error {
        self.counters.count(cut.reason());
        cut.into()
    }

    /// Sends what was gathered, and `bytes` after it. How many of `bytes` went.
    fn poll_send(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let slices = [io::IoSlice::new(&self.gathered), io::IoSlice::new(bytes)];
            let slices = if self.gathered.is_empty() {
                slices.get(1..)
            } else {
                Some(&slices[..])
            };
            let sent = Pin::new(&mut self.transport)
                .poll_write_vectored(context, slices.unwrap_or_default());
            match sent? {
                Poll::Ready(sent) => {
                    self.writing.progressed(sent);
                    if sent == 0 {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    let of_gathered = sent.min(self.gathered.len());
                    self.gathered.advance(of_gathered);
                    let of_bytes = sent - of_gathered;
                    if of_bytes > 0 || (bytes.is_empty() && self.gathered.is_empty()) {
                        return Poll::Ready(Ok(of_bytes));
                    }
                }
                Poll::Pending => {
                    ready!(self.poll_slow_reader(context))?;
                }
            }
        }
    }

    /// Waits for a client that does not take what is sent. Ready without an error when it takes something after all, which the
    /// kernel does not tell before much has gone.
    fn poll_slow_reader(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.writing.is_waiting() {
            self.acknowledged = self.bytes_acknowledged();
        }
        ready!(self.writing.poll_too_slow(context, &self.response));
        let acknowledged = self.bytes_acknowledged();
        let taken = acknowledged.saturating_sub(self.acknowledged);
        let waited = self.writing.waiting();
        let least = self.response.rate.saturating_mul(waited.as_secs()).max(1);
        if taken < least {
            return Poll::Ready(Err(self.cut(Cut::SlowReader)));
        }
        self.acknowledged = acknowledged;
        self.writing
            .progressed(usize::try_from(taken).unwrap_or(usize::MAX));
        // The next poll begins a wait of its own.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn bytes_acknowledged(&self) -> u64 {
        let info = self.ends.socket.tcp_info();
        info.map_or(0, |info| info.tcpi_bytes_acked)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.framing.is_done() {
            return this.poll_body(context, buf);
        }
        match this.ended {
            true if this.ahead.is_empty() => Poll::Ready(Ok(())),
            true => Poll::Pending,
            false => this.poll_ahead(context),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.upgrade && bytes.starts_with(b"HTTP/1.1 101") {
            this.open_tunnel();
        }
        if this.gathered.len() + bytes.len() <= GATHER {
            this.gathered.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        this.poll_send(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.gathered.is_empty() {
            ready!(this.poll_send(context, &[]))?;
        }
        Pin::new(&mut this.transport).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.get_mut().transport).poll_shutdown(context)
    }
}

#[async_trait]
impl Shutdown for Wire {
    /// Closes so that the client sees its answer: what it has sent and nobody has read would make the kernel take the answer
    /// back (RFC 9112 §9.6).
    async fn shutdown(&mut self) {
        if AsyncWriteExt::shutdown(self).await.is_err() || self.ended {
            return;
        }
        if self.framing.is_done() && self.ahead.is_empty() {
            return;
        }
        let linger = async {
            let mut read = 0;
            while read < LINGER_BYTES {
                self.ahead.clear();
                match self.fill().await {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
        };
        drop(tokio::time::timeout(LINGER, linger).await);
    }
}
