//! Bounded buffers between the threads that serve and the one that writes.

use crate::observe::shard;
use parking_lot::Mutex;
use prometheus::IntCounter;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is worth a write, in bytes.
const WORTH_WRITING: usize = 16 * 1024;
/// What a waiting line may take on average, in bytes, before lines are dropped although their number is within bounds.
const LINE_BYTES: usize = 1024;
/// What the writer's buffer may keep between writes, in bytes.
const KEEP: usize = 256 * 1024;

/// The buffers, one for each core.
pub(super) struct Queue {
    shards: Box<[Shard]>,
    max_lines: usize,
    closed: AtomicBool,
    dropped: IntCounter,
}

#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Batch>);

/// Whole lines.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: usize,
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits for the writer's next round, or was dropped.
    Quietly,
    /// With it there is enough to write at once.
    WorthWriting,
}

impl Queue {
    pub(super) fn new(max_lines: usize, dropped: IntCounter) -> Self {
        let shards = (0..shard::count()).map(|_| Shard::default()).collect();
        Self {
            shards,
            max_lines,
            closed: AtomicBool::new(false),
            dropped,
        }
    }

    /// Takes a line, ended by its newline. Never waits: a buffer that somebody else is using right now is passed over.
    pub(super) fn push(&self, line: &[u8]) -> Pushed {
        let first = shard::thread_number();
        let free = (0..self.shards.len()).find_map(|step| {
            shard::pick(&self.shards, first.wrapping_add(step)).and_then(|shard| shard.0.try_lock())
        });
        let Some(mut batch) = free else {
            self.drop_line();
            return Pushed::Quietly;
        };
        let before = batch.bytes.len();
        let after = before + line.len();
        let full = batch.lines >= self.max_lines || after > self.max_lines * LINE_BYTES;
        // Looked at with the buffer in hand: what got in before closing is still written.
        if full || self.closed.load(Ordering::Acquire) {
            drop(batch);
            self.drop_line();
            return Pushed::Quietly;
        }
        batch.bytes.extend_from_slice(line);
        batch.lines += 1;
        if before < WORTH_WRITING && after >= WORTH_WRITING {
            Pushed::WorthWriting
        } else {
            Pushed::Quietly
        }
    }

    /// Counts a line that never got here.
    pub(super) fn drop_line(&self) {
        self.dropped.inc();
    }

    /// Counts lines that could not be written.
    pub(super) fn drop_lines(&self, lines: usize) {
        self.dropped.inc_by(lines as u64);
    }

    /// Takes no more lines.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Hands each buffer that holds something to `write`. `spare` goes back and forth, so that nothing is allocated anew.
    pub(super) fn drain(&self, spare: &mut Batch, mut write: impl FnMut(&Batch)) {
        for shard in &self.shards {
            spare.bytes.clear();
            spare.bytes.shrink_to(KEEP);
            spare.lines = 0;
            {
                let mut batch = shard.0.lock();
                if batch.lines == 0 {
                    continue;
                }
                std::mem::swap(&mut *batch, spare);
            }
            write(spare);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn queue(max_lines: usize) -> (Queue, IntCounter) {
        let dropped = IntCounter::new("dropped", "h").unwrap();
        (Queue::new(max_lines, dropped.clone()), dropped)
    }

    fn drained(queue: &Queue) -> (String, usize) {
        let (mut text, mut lines) = (String::new(), 0);
        queue.drain(&mut Batch::default(), |batch| {
            text.push_str(std::str::from_utf8(&batch.bytes).unwrap());
            lines += batch.lines;
        });
        (text, lines)
    }

    #[test]
    fn lines_of_a_thread_keep_their_order() {
        let (queue, _) = queue(16);
        for line in ["a\n", "b\n", "c\n"] {
            assert_eq!(queue.push(line.as_bytes()), Pushed::Quietly);
        }
        assert_eq!(drained(&queue), ("a\nb\nc\n".to_owned(), 3));
        assert_eq!(drained(&queue), (String::new(), 0));
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (queue, dropped) = queue(16);
        for _ in 0..20 {
            queue.push(b"x\n");
        }
        assert_eq!((drained(&queue).1, dropped.get()), (16, 4));
        queue.push(&[b'y'; 16 * LINE_BYTES]);
        queue.push(b"too many bytes\n");
        assert_eq!((drained(&queue).1, dropped.get()), (1, 5));
        queue.close();
        queue.push(b"late\n");
        assert_eq!((drained(&queue).1, dropped.get()), (0, 6));
    }

    #[test]
    fn the_writer_is_called_once_when_there_is_enough() {
        let (queue, _) = queue(1024);
        let line = [b'x'; 1024];
        let calls = (0..32)
            .filter(|_| queue.push(&line) == Pushed::WorthWriting)
            .count();
        assert_eq!(calls, 1);
    }

    #[test]
    fn every_line_of_many_threads_is_written_or_counted() {
        let (queue, dropped) = queue(256);
        let written = std::sync::atomic::AtomicUsize::new(0);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut spare = Batch::default();
                while !done.load(Ordering::Acquire) {
                    queue.drain(&mut spare, |batch| {
                        assert!(batch.bytes.chunks(4).all(|line| line == b"abc\n"));
                        written.fetch_add(batch.lines, Ordering::Relaxed);
                    });
                }
            });
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..5000 {
                            queue.push(b"abc\n");
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            done.store(true, Ordering::Release);
            writer.join().unwrap();
        });
        let rest = drained(&queue).1;
        let written = written.into_inner();
        assert_eq!(written + rest + dropped.get() as usize, 20_000);
        assert!(written + rest > 0);
    }
}
