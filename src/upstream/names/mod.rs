//! Addresses of nodes that are given by name. Each name is resolved once for all upstreams that have it, in the
//! background, for as long as one of them lives; requests read the last good answer.

mod resolver;
#[cfg(test)]
mod tests;

pub use resolver::{Answer, Resolve, ResolveError, SystemResolver};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time};

/// How long answers are believed, and how often a failure is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// No answer is asked for again before this, whatever its TTL. Default 1 s.
    pub min: Duration,
    /// Every answer is asked for again after this. Default 300 s.
    pub max: Duration,
    /// After a failure the next try comes after `min`, then after twice that, up to this. Default 30 s.
    pub max_retry: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            min: seconds(1),
            max: seconds(300),
            max_retry: seconds(30),
        }
    }
}

/// All names that are being resolved.
pub struct Names {
    resolver: ArcSwap<Arc<dyn Resolve>>,
    lifetimes: Lifetimes,
    live: Mutex<HashMap<Arc<str>, Weak<Name>>>,
}

impl Names {
    /// None yet.
    pub fn new(resolver: Arc<dyn Resolve>, lifetimes: Lifetimes) -> Arc<Self> {
        Arc::new(Self {
            resolver: ArcSwap::from_pointee(resolver),
            lifetimes,
            live: Mutex::default(),
        })
    }

    /// Asks another one from the next question on. Answers that are there hold for their time.
    pub fn ask(&self, resolver: Arc<dyn Resolve>) {
        self.resolver.store(Arc::new(resolver));
    }

    /// The one watch of this name; it may have addresses already. Resolves nothing until it is started.
    pub fn get(self: &Arc<Self>, name: &str) -> Arc<Name> {
        let mut live = self.live.lock();
        if let Some(held) = live.get(name).and_then(Weak::upgrade) {
            return held;
        }
        let made = Arc::new(Name {
            name: name.into(),
            addresses: ArcSwapOption::empty(),
            // Gateways that start together must not all begin with the same address.
            turn: AtomicUsize::new(rand::random::<u16>().into()),
            probe_turn: AtomicUsize::new(0),
            asked: watch::Sender::new(false),
            started: AtomicBool::new(false),
            task: OnceLock::new(),
            names: self.clone(),
        });
        live.insert(made.name.clone(), Arc::downgrade(&made));
        made
    }

    /// How many names are watched.
    pub fn count(&self) -> usize {
        self.live.lock().len()
    }
}

/// One name and its addresses.
pub struct Name {
    name: Arc<str>,
    addresses: ArcSwapOption<Box<[IpAddr]>>,
    turn: AtomicUsize,
    /// A count of its own: probes between requests must not make these meet the same address each time.
    probe_turn: AtomicUsize,
    /// Whether the first question was answered, well or not.
    asked: watch::Sender<bool>,
    started: AtomicBool,
    task: OnceLock<AbortHandle>,
    names: Arc<Names>,
}

impl Name {
    /// The name.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// One of the addresses, each in its turn; `None` as long as there was no answer.
    pub fn next(&self) -> Option<IpAddr> {
        self.take_turn(&self.turn)
    }

    /// One of the addresses, for a probe.
    pub(super) fn next_to_probe(&self) -> Option<IpAddr> {
        self.take_turn(&self.probe_turn)
    }

    fn take_turn(&self, turn: &AtomicUsize) -> Option<IpAddr> {
        let held = self.addresses.load();
        let addresses = held.as_deref()?;
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        addresses.get(turn.checked_rem(addresses.len())?).copied()
    }

    /// Whether there was an answer.
    pub fn is_resolved(&self) -> bool {
        self.addresses.load().is_some()
    }

    /// All addresses of the last good answer.
    pub fn all(&self) -> Vec<IpAddr> {
        self.addresses
            .load()
            .as_deref()
            .map(|addresses| addresses.to_vec())
            .unwrap_or_default()
    }

    /// Begins to resolve, and goes on until the name is dropped. Does nothing when it has begun.
    pub fn start(self: &Arc<Self>, runtime: &Handle) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let watch = keep_resolving(Arc::downgrade(self), self.names.clone(), self.name.clone());
        // Only the caller that turned `started` comes here.
        drop(self.task.set(runtime.spawn(watch).abort_handle()));
    }

    /// Waits until the first question was answered, well or not. It must have been started.
    pub async fn first_answer(&self) {
        // The sender lives as long as `self`, so the wait cannot fail.
        drop(self.asked.subscribe().wait_for(|asked| *asked).await);
    }

    fn take(&self, answer: Result<Answer, ResolveError>, failing: bool) {
        match answer {
            Ok(answer) => {
                let new = answer.addresses;
                let held = self.addresses.load();
                let same = held.as_deref().is_some_and(|held| same_set(held, &new));
                if failing || !same {
                    tracing::info!(name = %self.name, addresses = ?new, "name resolved");
                }
                if !same {
                    self.addresses.store(Some(Arc::new(new.into())));
                }
            }
            Err(error) if !failing => {
                let kept = self.all();
                tracing::warn!(name = %self.name, %error, addresses = ?kept, "name not resolved");
            }
            Err(_) => {}
        }
        self.asked.send_replace(true);
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        let mut live = self.names.live.lock();
        // Another may have been made since the last holder left.
        if live
            .get(&self.name)
            .is_some_and(|held| held.strong_count() == 0)
        {
            live.remove(&self.name);
        }
    }
}

/// Servers answer in changing order.
fn same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    one.len() == other.len() && one.iter().all(|address| other.contains(address))
}

async fn keep_resolving(watch: Weak<Name>, names: Arc<Names>, name: Arc<str>) {
    let Lifetimes {
        min,
        max,
        max_retry,
    } = names.lifetimes;
    let mut retry = None;
    loop {
        let resolver = Arc::clone(&names.resolver.load());
        let answer = resolver.resolve(&name).await;
        let answer = answer.and_then(|answer| match answer.addresses.is_empty() {
            true => Err(ResolveError::new("no addresses")),
            false => Ok(answer),
        });
        let failing = retry.is_some();
        let pause = match &answer {
            Ok(answer) => {
                retry = None;
                answer.ttl.min(max).max(min)
            }
            Err(_) => {
                let pause = retry.unwrap_or(min).min(max_retry);
                retry = Some(pause.saturating_mul(2));
                pause
            }
        };
        let Some(name) = watch.upgrade() else { return };
        name.take(answer, failing);
        drop(name);
        time::sleep(pause).await;
    }
}
