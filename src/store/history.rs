//! The last events of a store, and the watchers that follow them. Bounded: who falls behind is told
//! to load again.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Change, Event, Group, Revision, WatchError};

/// How much of the past a store keeps in memory for its watchers. An event above the limit is not
/// kept at all: after a large import they load again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimit {
    /// Events, over all groups.
    pub events: usize,
    /// Bytes of keys and values in them.
    pub bytes: usize,
}

impl Default for HistoryLimit {
    /// 1,024 events, 8 MiB.
    fn default() -> Self {
        Self {
            events: 1024,
            bytes: 8 << 20,
        }
    }
}

pub(super) struct History {
    log: Mutex<Log>,
    /// Sent after each push; true when the store is closed.
    closed: watch::Sender<bool>,
}

struct Log {
    limit: HistoryLimit,
    /// Every event after this revision is here.
    floor: Revision,
    newest: Revision,
    events: VecDeque<(Group, Arc<Event>)>,
    bytes: usize,
}

enum Next {
    Event(Arc<Event>),
    /// None for this group up to here.
    Nothing(Revision),
    Compacted(Revision),
}

impl History {
    /// Of a store that stands at `head`; what was before is not known.
    pub(super) fn new(head: Revision, limit: HistoryLimit) -> Self {
        Self {
            log: Mutex::new(Log {
                limit,
                floor: head,
                newest: head,
                events: VecDeque::new(),
                bytes: 0,
            }),
            closed: watch::Sender::new(false),
        }
    }

    /// Adds events of increasing revisions and wakes the watchers.
    pub(super) fn push(&self, events: impl IntoIterator<Item = (Group, Event)>) {
        {
            let mut log = self.log.lock();
            for (group, event) in events {
                log.push(group, event);
            }
        }
        self.closed.send_replace(false);
    }

    /// Forgets everything: the store stands at `head` and cannot tell what led there.
    pub(super) fn restart(&self, head: Revision) {
        {
            let mut log = self.log.lock();
            log.events.clear();
            log.bytes = 0;
            log.floor = head;
            log.newest = head;
        }
        self.closed.send_replace(false);
    }

    /// Ends all streams once they have delivered what there is.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn watch(
        self: &Arc<Self>,
        group: Group,
        from: Revision,
    ) -> BoxStream<'static, Result<Event, WatchError>> {
        let watcher = Watcher {
            history: Arc::clone(self),
            woken: self.closed.subscribe(),
            group,
            seen: from,
            ended: false,
        };
        stream::unfold(watcher, |mut watcher| async move {
            let item = watcher.next().await?;
            Some((item, watcher))
        })
        .boxed()
    }
}

impl Log {
    fn push(&mut self, group: Group, event: Event) {
        self.newest = event.revision;
        self.bytes = self.bytes.saturating_add(size(&event));
        self.events.push_back((group, Arc::new(event)));
        while self.events.len() > self.limit.events || self.bytes > self.limit.bytes {
            let Some((_, gone)) = self.events.pop_front() else {
                break;
            };
            self.bytes = self.bytes.saturating_sub(size(&gone));
            self.floor = gone.revision;
        }
    }

    fn after(&self, group: &Group, seen: Revision) -> Next {
        if seen < self.floor {
            return Next::Compacted(self.floor);
        }
        let first = self
            .events
            .partition_point(|(_, event)| event.revision <= seen);
        self.events
            .iter()
            .skip(first)
            .find(|(of, _)| of == group)
            .map_or(Next::Nothing(self.newest), |(_, event)| {
                Next::Event(Arc::clone(event))
            })
    }
}

fn size(event: &Event) -> usize {
    let change = |change: &Change| match change {
        Change::Put(entry) => entry.key.as_str().len() + entry.value.len(),
        Change::Delete { key } => key.as_str().len(),
    };
    event.changes.iter().map(change).sum()
}

struct Watcher {
    history: Arc<History>,
    woken: watch::Receiver<bool>,
    group: Group,
    seen: Revision,
    ended: bool,
}

impl Watcher {
    async fn next(&mut self) -> Option<Result<Event, WatchError>> {
        while !self.ended {
            // Marked as seen before the log is read: a push in between wakes us again.
            let closed = *self.woken.borrow_and_update();
            let next = self.history.log.lock().after(&self.group, self.seen);
            match next {
                Next::Event(event) => {
                    self.seen = event.revision;
                    return Some(Ok(Event::clone(&event)));
                }
                Next::Compacted(kept) => {
                    self.ended = true;
                    return Some(Err(WatchError::Compacted {
                        from: self.seen,
                        kept,
                    }));
                }
                // A quiet group moves on with the others, else their events would compact it away.
                Next::Nothing(newest) => self.seen = self.seen.max(newest),
            }
            if closed {
                self.ended = true;
            } else {
                self.woken.changed().await.ok()?;
            }
        }
        None
    }
}
