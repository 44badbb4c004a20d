//! The thread that writes. It alone waits for disks and pipes.

use super::{
    queue::{Batch, Queue},
    sink::Sink,
};
use parking_lot::{Condvar, Mutex};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How long a line waits at most when there is little to write.
const ROUND: Duration = Duration::from_secs(1);
/// How often a failure is told.
const TELL: Duration = Duration::from_secs(60);

/// A handle on the thread.
pub(super) struct Writer {
    thread: Thread,
    reopen: Arc<AtomicBool>,
    end: Arc<End>,
}

/// Whether the thread has ended.
#[derive(Default)]
struct End {
    reached: Mutex<bool>,
    told: Condvar,
}

/// Tells of the end, also of one by a panic.
struct Ending(Arc<End>);

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.reached.lock() = true;
        self.0.told.notify_all();
    }
}

impl Writer {
    /// Starts the thread, which ends when the queue is closed and empty.
    pub(super) fn start(queue: Arc<Queue>, sink: Sink) -> io::Result<Self> {
        let (reopen, end) = (Arc::new(AtomicBool::new(false)), Arc::new(End::default()));
        let rounds = Rounds {
            queue,
            sink,
            reopen: reopen.clone(),
            told: None,
        };
        let ending = Ending(end.clone());
        let run = move || {
            let _ending = ending;
            rounds.run();
        };
        let handle = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(run)?;
        Ok(Self {
            thread: handle.thread().clone(),
            reopen,
            end,
        })
    }

    /// Waits for the thread to end, at most for `patience`; whether it did.
    pub(super) fn ended(&self, patience: Duration) -> bool {
        let mut reached = self.end.reached.lock();
        self.end
            .told
            .wait_while_for(&mut reached, |reached| !*reached, patience);
        *reached
    }

    /// Makes it write now.
    pub(super) fn wake(&self) {
        self.thread.unpark();
    }

    /// Makes it open its file anew.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.wake();
    }
}

struct Rounds {
    queue: Arc<Queue>,
    sink: Sink,
    reopen: Arc<AtomicBool>,
    told: Option<Instant>,
}

impl Rounds {
    fn run(mut self) {
        let mut spare = Batch::default();
        loop {
            // Before the round: what got in until then is in the round.
            let last = self.queue.is_closed();
            self.round(&mut spare);
            if last {
                return;
            }
            thread::park_timeout(ROUND);
        }
    }

    fn round(&mut self, spare: &mut Batch) {
        let queue = self.queue.clone();
        if self.reopen.swap(false, Ordering::AcqRel) {
            let reopened = self.sink.reopen();
            self.tell("opening anew", reopened);
        }
        queue.drain(spare, |batch| {
            let followed = self.sink.follow(Instant::now());
            self.tell("following the file", followed);
            let written = self.sink.write(&batch.bytes);
            if !self.tell("writing", written) {
                queue.drop_lines(batch.lines);
            }
        });
    }

    /// Tells of a failure, unless one was told just before. Whether it went well.
    fn tell(&mut self, what: &str, result: io::Result<()>) -> bool {
        let Err(error) = result else { return true };
        let now = Instant::now();
        if self
            .told
            .is_none_or(|told| now.duration_since(told) >= TELL)
        {
            self.told = Some(now);
            tracing::warn!(
                "access log: {what} failed: {error}; lines are lost until it works again"
            );
        }
        false
    }
}
