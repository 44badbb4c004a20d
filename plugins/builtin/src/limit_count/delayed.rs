//! Counting here, and telling Redis afterwards: a request waits for Redis only when nothing is known of its key.

use super::{
    shared::{Cost, Counter, Shared},
    window::Taken,
};
use crate::limit::{Clock, Entry, MICROS, Table};
use futures::StreamExt;
use parking_lot::Mutex;
use std::{
    sync::{Arc, Weak},
    time::Duration,
};

/// How many keys are synchronised at once.
const AT_ONCE: usize = 32;

/// The counters of one place of use or group.
pub(crate) struct Delayed {
    shared: Shared,
    interval: Duration,
    quotas: Table<Quota>,
    backlog: Mutex<Backlog>,
    clock: Clock,
}

/// What is known of one key.
#[derive(Default)]
struct Quota {
    /// What Redis had counted when it was last asked.
    there: u64,
    /// What passed here since and Redis does not know of.
    here: u64,
    /// When the window ends, in microseconds.
    end: u64,
    /// Whether it stands in the backlog.
    listed: bool,
}

impl Entry for Quota {
    fn is_spent(&self, now: u64) -> bool {
        now >= self.end && !self.listed
    }

    fn weight(&self) -> Option<u64> {
        Some(self.here.saturating_mul(1024).saturating_add(self.there))
    }
}

/// Keys that Redis has to be told of.
#[derive(Default)]
struct Backlog {
    keys: Vec<Owed>,
    /// Whether a task works on it.
    running: bool,
}

struct Owed {
    key: Box<[u8]>,
    count: u64,
    window: u64,
}

impl Owed {
    fn counter(&self) -> Counter<'_> {
        Counter {
            key: &self.key,
            count: self.count,
            window: self.window,
        }
    }
}

impl Delayed {
    pub(crate) fn new(shared: Shared, interval: Duration, clock: Clock) -> Self {
        Self {
            shared,
            interval,
            quotas: Table::default(),
            backlog: Mutex::default(),
            clock,
        }
    }

    /// Counts a request as so many.
    pub(crate) async fn take(self: &Arc<Self>, counter: Counter<'_>, cost: u64) -> Taken {
        if let Some(taken) = self.count(counter, cost) {
            return taken;
        }
        let asked = self.shared.take(counter, Cost::Passed(0)).await;
        // Without Redis a window begins here; what passes in it is told when Redis is back.
        let (there, left) = match asked {
            Ok(known) => (
                counter.count.saturating_sub(known.remaining),
                known.reset.saturating_mul(MICROS / 100),
            ),
            Err(_) => (0, counter.window.saturating_mul(MICROS)),
        };
        let now = (self.clock)();
        self.quotas.with(counter.key, now, |quota| {
            // Another request may have asked meanwhile.
            if now >= quota.end {
                *quota = Quota {
                    there,
                    here: 0,
                    end: now.saturating_add(left.max(1)),
                    listed: quota.listed,
                };
            }
        });
        self.count(counter, cost).unwrap_or(Taken {
            passes: true,
            remaining: 0,
            reset: 0,
        })
    }

    /// Counts a request by what is known; `None` when that is nothing.
    fn count(self: &Arc<Self>, counter: Counter<'_>, cost: u64) -> Option<Taken> {
        let now = (self.clock)();
        let (taken, newly) = self.quotas.with(counter.key, now, |quota| {
            if now >= quota.end {
                return None;
            }
            let used = quota.there.saturating_add(quota.here);
            let passes = used.saturating_add(cost) <= counter.count;
            let taken = if passes { cost } else { 0 };
            quota.here += taken;
            let newly = passes && !quota.listed;
            quota.listed |= passes;
            let taken = Taken {
                passes,
                remaining: counter.count.saturating_sub(used + taken),
                reset: (quota.end - now).div_ceil(MICROS / 100),
            };
            Some((taken, newly))
        })?;
        if newly {
            self.owe(Owed {
                key: counter.key.into(),
                count: counter.count,
                window: counter.window,
            });
        }
        Some(taken)
    }

    /// Puts a key into the backlog, and has somebody work on it.
    fn owe(self: &Arc<Self>, owed: Owed) {
        let start = {
            let mut backlog = self.backlog.lock();
            backlog.keys.push(owed);
            !std::mem::replace(&mut backlog.running, true)
        };
        if start {
            tokio::spawn(settle(Arc::downgrade(self), self.interval));
        }
    }

    /// Tells Redis of all that is owed; false when there was nothing.
    async fn synchronise(self: &Arc<Self>) -> bool {
        let keys = {
            let mut backlog = self.backlog.lock();
            backlog.running = !backlog.keys.is_empty();
            std::mem::take(&mut backlog.keys)
        };
        let any = !keys.is_empty();
        futures::stream::iter(keys)
            .for_each_concurrent(AT_ONCE, |owed| self.tell(owed))
            .await;
        any
    }

    async fn tell(self: &Arc<Self>, owed: Owed) {
        let now = (self.clock)();
        let here = self.quotas.with(&owed.key, now, |quota| {
            quota.listed = false;
            // What was owed of a window that is over is of no use to anybody.
            if now >= quota.end { 0 } else { quota.here }
        });
        if here == 0 {
            return;
        }
        let told = self.shared.take(owed.counter(), Cost::Passed(here)).await;
        let now = (self.clock)();
        let again = self.quotas.with(&owed.key, now, |quota| match told {
            Ok(known) => {
                quota.there = owed.count.saturating_sub(known.remaining);
                quota.here = quota.here.saturating_sub(here);
                quota.end = now.saturating_add(known.reset.saturating_mul(MICROS / 100));
                false
            }
            Err(_) => !std::mem::replace(&mut quota.listed, true),
        });
        if again {
            self.backlog.lock().keys.push(owed);
        }
    }
}

/// Synchronises until nothing is owed any more, or the configuration is gone; an unreachable Redis does not keep it.
async fn settle(delayed: Weak<Delayed>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(delayed) = delayed.upgrade() else {
            return;
        };
        if !delayed.synchronise().await {
            return;
        }
    }
}
