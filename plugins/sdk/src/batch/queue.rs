//! The side of a queue that requests see.

use super::{
    BatchConfig, MAX_PENDING_BYTES, Sink,
    config::{Limits, max_pending_entries},
    metrics::{BatchMetrics, Series},
    pending::Pending,
    worker,
};
use crate::{
    build::BuildCx,
    finish::{Finish, Finishers},
    flow::BoxFuture,
    request::Request,
    stream::StreamSession,
};
use parking_lot::Mutex;
use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::Notify, time::Instant};

/// A queue. Nothing runs before the first entry; what it holds when it is dropped is still sent.
pub struct Queue<S: Sink>(Arc<Inner<S>>);

/// Whose entry it is, for metrics: the first entry of a queue decides.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin<'a> {
    /// Id of the route; empty when there is none.
    pub route: &'a str,
    /// The address that the client connected to.
    pub server: Option<IpAddr>,
}

impl<'a> From<&'a Request> for Origin<'a> {
    fn from(request: &'a Request) -> Self {
        Self {
            route: request.route.as_ref().map_or("", |route| &*route.id),
            server: Some(request.server.ip()),
        }
    }
}

impl<'a> From<&'a StreamSession> for Origin<'a> {
    fn from(session: &'a StreamSession) -> Self {
        Self {
            route: session.route.as_ref().map_or("", |route| &*route.id),
            server: Some(session.server.ip()),
        }
    }
}

pub(super) struct Inner<S: Sink> {
    pub(super) sink: S,
    pub(super) limits: Limits,
    pub(super) name: Box<str>,
    pub(super) state: Mutex<State<S::Entry>>,
    /// There is something to do before the time that the worker waits for.
    pub(super) changed: Notify,
    /// The worker has ended.
    pub(super) idle: Notify,
    pending: Arc<Pending>,
    metrics: Arc<BatchMetrics>,
    series: OnceLock<Arc<Series>>,
    runtime: Handle,
    finishers: Finishers,
    complaint: Complaint,
}

pub(super) struct State<E> {
    pub(super) waiting: Vec<E>,
    /// When the first of those that wait came.
    pub(super) first: Instant,
    /// When the last of them came.
    pub(super) last: Instant,
    /// Whether there is a worker.
    pub(super) working: bool,
    /// Nothing is collected any longer: what is there goes at once.
    pub(super) closing: bool,
}

impl<S: Sink> Queue<S> {
    /// A queue in front of `sink`. `name` is what it is called unless the configuration says otherwise; how much may be
    /// pending is `max_pending_entries` of the plugin's metadata.
    pub fn new(cx: &BuildCx<'_>, name: &str, config: &BatchConfig, sink: S) -> Self {
        Self::bounded(cx, name, config, max_pending_entries(cx.metadata()), sink)
    }

    /// A queue in front of `sink`, with so many entries of the plugin pending at most.
    pub fn bounded(
        cx: &BuildCx<'_>,
        name: &str,
        config: &BatchConfig,
        max_pending_entries: usize,
        sink: S,
    ) -> Self {
        let prefix = cx
            .attribute_of("prometheus")
            .and_then(|a| a.get("metric_prefix")?.as_str());
        let now = Instant::now();
        Self(Arc::new(Inner {
            sink,
            limits: Limits::new(config, max_pending_entries),
            name: config.name.as_deref().unwrap_or(name).into(),
            state: Mutex::new(State {
                waiting: Vec::new(),
                first: now,
                last: now,
                working: false,
                closing: false,
            }),
            changed: Notify::new(),
            idle: Notify::new(),
            pending: cx.shared(cx.plugin(), Pending::default),
            metrics: cx.shared("", || BatchMetrics::new(cx.metrics().clone(), prefix)),
            series: OnceLock::new(),
            runtime: cx.runtime(),
            finishers: cx.finishers(),
            complaint: Complaint::new(),
        }))
    }

    /// Where the entries go.
    pub fn sink(&self) -> &S {
        &self.0.sink
    }

    /// Adds an entry, or drops and counts it when too much is pending. Never waits.
    pub fn push<'o>(&self, entry: S::Entry, origin: impl Into<Origin<'o>>) {
        let queue = &self.0;
        let series = queue.series.get_or_init(|| queue.begin(origin.into()));
        let weight = queue.weight(&entry);
        let limit = queue.limits.max_pending_entries;
        if !queue.pending.admit(weight, limit, MAX_PENDING_BYTES) {
            series.refused();
            if queue.complaint.due() {
                tracing::error!(
                    queue = &*queue.name,
                    "too much is pending: entries are dropped"
                );
            }
            return;
        }
        series.admitted();
        let (start, wake) = {
            let mut state = queue.state.lock();
            state.last = Instant::now();
            if state.waiting.is_empty() {
                state.first = state.last;
            }
            state.waiting.push(entry);
            let waiting = state.waiting.len();
            let wake = waiting == 1 || waiting == queue.limits.batch_max_size;
            (!std::mem::replace(&mut state.working, true), wake)
        };
        if start {
            queue.runtime.spawn(worker::work(queue.clone()));
        } else if wake {
            queue.changed.notify_one();
        }
    }
}

impl<S: Sink> Drop for Queue<S> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<S: Sink> Inner<S> {
    /// The first entry: from here on there is something to count and to finish.
    fn begin(self: &Arc<Self>, origin: Origin<'_>) -> Arc<Series> {
        let this: Arc<dyn Finish> = self.clone();
        self.finishers.add(&this);
        let server = origin.server.map(|ip| ip.to_string()).unwrap_or_default();
        self.metrics
            .series([self.name.to_string(), origin.route.to_owned(), server])
    }

    /// What an entry takes, with its place in the queue.
    fn weight(&self, entry: &S::Entry) -> usize {
        S::weight(entry) + std::mem::size_of::<S::Entry>()
    }

    /// These were sent, or are given up.
    pub(super) fn release(&self, batch: &[S::Entry], dropped: usize) {
        let weight = batch.iter().map(|entry| self.weight(entry)).sum();
        self.pending.release(batch.len(), weight);
        if let Some(series) = self.series.get() {
            series.done(batch.len(), dropped);
        }
    }

    fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_one();
    }
}

impl<S: Sink> Finish for Inner<S> {
    fn finish(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.close();
            loop {
                let idle = self.idle.notified();
                if !self.state.lock().working {
                    return;
                }
                idle.await;
            }
        })
    }
}

/// Says when something that happens with every request may be said again.
struct Complaint {
    epoch: Instant,
    /// Milliseconds from the epoch.
    next: AtomicU64,
}

impl Complaint {
    const EVERY: Duration = Duration::from_secs(10);

    fn new() -> Self {
        Self {
            epoch: Instant::now(),
            next: AtomicU64::new(0),
        }
    }

    fn due(&self) -> bool {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.epoch.elapsed());
        let next = self.next.load(Ordering::Relaxed);
        let later = now.saturating_add(millis(Self::EVERY));
        now >= next
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}
