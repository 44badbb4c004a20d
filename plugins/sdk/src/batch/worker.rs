//! The side of a queue that sends.

use super::{Sink, queue::Inner};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::time::{Instant, sleep, sleep_until};

/// What the next step is.
enum Due<E> {
    /// This batch goes now.
    Batch(Vec<E>),
    /// Nothing before this moment.
    At(Instant),
    /// Nothing until an entry comes or a batch on its way is through.
    Nothing,
    /// Nothing waits and nothing is on its way.
    Over,
}

/// Sends what is due until nothing is left; the next entry starts another one.
pub(super) async fn work<S: Sink>(queue: Arc<Inner<S>>) {
    let mut sending = FuturesUnordered::new();
    loop {
        let room = sending.len() < S::PARALLEL.max(1);
        match queue.due(room, sending.is_empty()) {
            Due::Batch(batch) => sending.push(deliver(&queue, batch)),
            Due::Over => return,
            Due::At(moment) => {
                tokio::select! {
                    () = queue.changed.notified() => {}
                    Some(()) = sending.next() => {}
                    () = sleep_until(moment) => {}
                }
            }
            Due::Nothing => {
                tokio::select! {
                    () = queue.changed.notified(), if room => {}
                    Some(()) = sending.next() => {}
                }
            }
        }
    }
}

impl<S: Sink> Inner<S> {
    fn due(&self, room: bool, nothing_on_its_way: bool) -> Due<S::Entry> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            if !nothing_on_its_way {
                return Due::Nothing;
            }
            state.working = false;
            self.idle.notify_waiters();
            return Due::Over;
        }
        if !room {
            return Due::Nothing;
        }
        let limits = &self.limits;
        let moment =
            (state.last + limits.inactive_timeout).min(state.first + limits.buffer_duration);
        let now = Instant::now();
        let full = state.waiting.len() >= limits.batch_max_size;
        if !full && !state.closing && now < moment {
            return Due::At(moment);
        }
        let size = state.waiting.len().min(limits.batch_max_size);
        let rest = state.waiting.split_off(size);
        let batch = std::mem::replace(&mut state.waiting, rest);
        // What remains came later; its own time begins here.
        state.first = now;
        Due::Batch(batch)
    }
}

/// Sends one batch, as often as may be.
async fn deliver<S: Sink>(queue: &Inner<S>, batch: Vec<S::Entry>) {
    let name = &*queue.name;
    let (mut from, mut tries) = (0, 0);
    let dropped = loop {
        let rest = batch.get(from..).unwrap_or_default();
        let sent = AssertUnwindSafe(queue.sink.send(rest)).catch_unwind().await;
        let reason = match sent {
            Ok(Ok(())) => break 0,
            Ok(Err(error)) => {
                from += error.taken.min(rest.len());
                error.reason
            }
            Err(_) => "the sink panicked".to_owned(),
        };
        let left = batch.len() - from;
        tries += 1;
        if left == 0 || tries > queue.limits.max_retry_count {
            tracing::error!(queue = name, entries = left, reason, "entries are dropped");
            break left;
        }
        tracing::warn!(
            queue = name,
            entries = left,
            reason,
            "entries are sent again"
        );
        sleep(queue.limits.retry_delay).await;
    };
    queue.release(&batch, dropped);
}
