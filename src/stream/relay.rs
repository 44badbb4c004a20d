//! Bytes back and forth between a client and a node. The end of one direction is passed on, and the other one goes on;
//! silence in both ends the session.

use crossway_sdk::stream::SessionBytes;
use std::{
    future::{Future, poll_fn},
    io,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// Both sides ended it in good order.
    #[error("both sides closed it")]
    Closed,
    /// Nothing was sent for too long.
    #[error("nothing was sent for too long")]
    Idle,
    /// The client's connection broke.
    #[error("the client's connection broke: {0}")]
    Client(io::Error),
    /// The node's connection broke.
    #[error("the node's connection broke: {0}")]
    Node(io::Error),
}

/// Where bytes are counted while they go.
pub(super) struct Meters<'m> {
    pub(super) received: &'m AtomicU64,
    pub(super) sent: &'m AtomicU64,
    pub(super) upstream_received: &'m AtomicU64,
    pub(super) upstream_sent: &'m AtomicU64,
}

/// Carries bytes until the session ends. `first` is what was read from the client already; it is not counted again.
pub(super) async fn relay<C, N>(
    client: &mut C,
    node: &mut N,
    first: Vec<u8>,
    buffer: usize,
    idle: Duration,
    meters: Meters<'_>,
    bytes: &mut SessionBytes,
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    N: AsyncRead + AsyncWrite + Unpin,
{
    let mut up = Direction::new(first, buffer, meters.received, meters.upstream_sent);
    let mut down = Direction::new(Vec::new(), buffer, meters.upstream_received, meters.sent);
    let mut clock = Box::pin(sleep(idle));
    let mut last = Instant::now();
    let end = poll_fn(|cx| {
        let moved = (up.moves, down.moves);
        let upward = up.poll(cx, client, node);
        let downward = down.poll(cx, node, client);
        if moved != (up.moves, down.moves) {
            last = Instant::now();
        }
        match (upward, downward) {
            (Poll::Ready(Err(Broken::Reading(e))), _)
            | (_, Poll::Ready(Err(Broken::Writing(e)))) => {
                return Poll::Ready(End::Client(e));
            }
            (Poll::Ready(Err(Broken::Writing(e))), _)
            | (_, Poll::Ready(Err(Broken::Reading(e)))) => {
                return Poll::Ready(End::Node(e));
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(End::Closed),
            _ => {}
        }
        ready!(silent_for(idle, last, clock.as_mut(), cx));
        Poll::Ready(End::Idle)
    })
    .await;
    bytes.received += up.read;
    bytes.upstream_sent += up.written;
    bytes.upstream_received += down.read;
    bytes.sent += down.written;
    end
}

/// Ready when nothing has moved since `last` for as long as `idle`. The clock is set anew only when it rings.
fn silent_for(
    idle: Duration,
    last: Instant,
    mut clock: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    loop {
        ready!(clock.as_mut().poll(cx));
        let Some(deadline) = last.checked_add(idle) else {
            return Poll::Pending;
        };
        if Instant::now() >= deadline {
            return Poll::Ready(());
        }
        clock.as_mut().reset(deadline);
    }
}

/// Which side of a direction broke.
#[derive(Debug)]
enum Broken {
    Reading(io::Error),
    Writing(io::Error),
}

/// One direction, with its buffer.
struct Direction<'m> {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// The reader has ended.
    ended: bool,
    /// The end was passed on.
    closed: bool,
    /// Something may wait in the writer.
    unflushed: bool,
    /// Bytes that were read and written.
    read: u64,
    written: u64,
    /// Grows whenever something happens.
    moves: u64,
    reads: &'m AtomicU64,
    writes: &'m AtomicU64,
}

impl<'m> Direction<'m> {
    fn new(first: Vec<u8>, size: usize, reads: &'m AtomicU64, writes: &'m AtomicU64) -> Self {
        let mut buffer = first;
        let end = buffer.len();
        buffer.resize(size.max(end).max(1), 0);
        Self {
            buffer: buffer.into(),
            start: 0,
            end,
            ended: false,
            closed: false,
            unflushed: false,
            read: 0,
            written: 0,
            moves: 0,
            reads,
            writes,
        }
    }

    /// Ready when the reader has ended and the writer was told.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        if self.closed {
            return Poll::Ready(Ok(()));
        }
        loop {
            while self.start < self.end {
                let waiting = self.buffer.get(self.start..self.end).unwrap_or_default();
                let written = Pin::new(&mut *writer).poll_write(cx, waiting);
                let count = ready!(written).map_err(Broken::Writing)?;
                if count == 0 {
                    return Poll::Ready(Err(Broken::Writing(io::ErrorKind::WriteZero.into())));
                }
                self.start += count;
                self.unflushed = true;
                self.written += count as u64;
                self.writes.fetch_add(count as u64, Relaxed);
                self.moves += 1;
            }
            if self.ended {
                ready!(self.close(cx, writer))?;
                return Poll::Ready(Ok(()));
            }
            match self.fill(cx, reader) {
                Poll::Ready(filled) => filled?,
                Poll::Pending => {
                    // Nothing more comes for now, so what the writer holds back must go.
                    if self.unflushed {
                        ready!(Pin::new(&mut *writer).poll_flush(cx)).map_err(Broken::Writing)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn fill<R: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
    ) -> Poll<Result<(), Broken>> {
        let mut room = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(reader).poll_read(cx, &mut room)).map_err(Broken::Reading)?;
        let count = room.filled().len();
        (self.start, self.end) = (0, count);
        self.ended = count == 0;
        self.read += count as u64;
        self.reads.fetch_add(count as u64, Relaxed);
        self.moves += 1;
        Poll::Ready(Ok(()))
    }

    fn close<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<Result<(), Broken>> {
        match ready!(Pin::new(writer).poll_shutdown(cx)) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => {
                return Poll::Ready(Err(Broken::Writing(error)));
            }
            // A peer that is gone needs no telling.
            _ => self.closed = true,
        }
        self.moves += 1;
        Poll::Ready(Ok(()))
    }
}
