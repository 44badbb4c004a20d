//! What has to be brought to an end before the process ends: queues that hold what requests left behind.

use crate::flow::BoxFuture;
use futures::future::join_all;
use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

/// Something with an end.
pub trait Finish: Send + Sync {
    /// Finishes what is there, without waiting for more; ready when nothing is left.
    fn finish(self: Arc<Self>) -> BoxFuture<'static, ()>;
}

/// Everything that has to be finished. Cheap to clone; clones are one.
#[derive(Clone, Default)]
pub struct Finishers(Arc<Mutex<Vec<Weak<dyn Finish>>>>);

impl Finishers {
    /// Has it finished too. What is dropped meanwhile is forgotten.
    pub fn add(&self, what: &Arc<dyn Finish>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == all.capacity() {
            all.retain(|what| what.strong_count() > 0);
        }
        all.push(Arc::downgrade(what));
    }

    /// Finishes all of them at once; whether they were done within `limit`.
    pub async fn finish(&self, limit: Duration) -> bool {
        let all: Vec<_> = {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        let done = join_all(all.into_iter().map(Finish::finish));
        tokio::time::timeout(limit, done).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Counted(AtomicUsize);

    impl Finish for Counted {
        fn finish(self: Arc<Self>) -> BoxFuture<'static, ()> {
            Box::pin(async move {
                self.0.fetch_add(1, Ordering::Relaxed);
            })
        }
    }

    struct Endless;

    impl Finish for Endless {
        fn finish(self: Arc<Self>) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_still_there_is_finished_and_nobody_waits_longer_than_allowed() {
        let finishers = Finishers::default();
        let counted = Arc::new(Counted(AtomicUsize::new(0)));
        let kept: Arc<dyn Finish> = counted.clone();
        finishers.clone().add(&kept);
        let dropped: Arc<dyn Finish> = Arc::new(Endless);
        finishers.add(&dropped);
        drop(dropped);
        assert!(finishers.finish(Duration::from_secs(1)).await);
        assert_eq!(counted.0.load(Ordering::Relaxed), 1);
        let endless: Arc<dyn Finish> = Arc::new(Endless);
        finishers.add(&endless);
        assert!(!finishers.finish(Duration::from_secs(1)).await);
    }
}
