//! What managers said last, and when they are asked again.

use super::fetch::{Managers, Trouble};
use bytes::Bytes;
use futures::StreamExt;
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// So many questions are asked at once.
const AT_ONCE: usize = 16;

/// A value that a configuration refers to. The manager's document belongs to it: what another Vault said, or the same one to
/// another token, says nothing of it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// The manager's document, as it is stored.
    pub manager: Bytes,
    /// What it is asked for: the name of a secret, and perhaps a field of it. Each kind of manager reads that in its own way.
    pub key: Arc<str>,
}

/// The document may hold a token.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wanted")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// What is known of a value.
#[derive(Clone, PartialEq, Eq)]
pub enum Found {
    /// It is this one.
    Value(Arc<str>),
    /// The manager was not asked yet.
    Waiting,
    /// There is none, and why.
    Missing(Arc<str>),
}

/// How long values count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// A value is fetched again after this time; until the answer is there, it serves on.
    pub ttl: Duration,
    /// After a failure the manager is asked again after this time.
    pub retry: Duration,
    /// A value serves on for so long while its manager cannot be reached.
    pub keep: Duration,
    /// An answer has to be there within this time.
    pub timeout: Duration,
}

impl Default for Options {
    /// As in APISIX: 300 s, after a failure 60 s; a request has 5 s. A last good value is kept for a day.
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            retry: Duration::from_secs(60),
            keep: Duration::from_secs(86_400),
            timeout: Duration::from_secs(5),
        }
    }
}

/// What managers said last. It is asked while a configuration is compiled and filled beforehand; requests never see it.
pub struct Secrets {
    options: RwLock<Options>,
    managers: Managers,
    held: Mutex<HashMap<Wanted, Held>>,
}

#[derive(Clone, Default)]
struct Held {
    /// The value, and when the manager said it.
    value: Option<(Arc<str>, Instant)>,
    /// When the last question was answered or given up; `None`: it is to be asked at once.
    asked: Option<Instant>,
    failure: Option<Arc<str>>,
}

impl Held {
    fn value(&self) -> Option<&Arc<str>> {
        self.value.as_ref().map(|(value, _)| value)
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self::new(Options::default(), None)
    }
}

impl Secrets {
    /// Knows nothing yet. Certificates of managers are verified by the authorities of the system and by those in `ca`, in PEM.
    pub fn new(options: Options, ca: Option<Arc<str>>) -> Self {
        Self {
            options: RwLock::new(options),
            managers: Managers::new(ca),
            held: Mutex::default(),
        }
    }

    /// From now on values count for so long.
    pub fn set_options(&self, options: Options) {
        *self.options.write() = options;
    }

    fn options(&self) -> Options {
        *self.options.read()
    }

    /// What is known of a value. Asks nobody.
    pub fn find(&self, wanted: &Wanted) -> Found {
        let held = self.held.lock();
        let Some(held) = held.get(wanted) else {
            return Found::Waiting;
        };
        match (held.value(), &held.failure) {
            (Some(value), _) => Found::Value(value.clone()),
            (None, Some(failure)) => Found::Missing(failure.clone()),
            (None, None) => Found::Waiting,
        }
    }

    /// Those that were never asked for.
    pub fn unknown(&self, wanted: BTreeSet<Wanted>) -> BTreeSet<Wanted> {
        let held = self.held.lock();
        let unknown = wanted.into_iter().filter(|w| !held.contains_key(w));
        unknown.collect()
    }

    /// Those that it is time to ask for.
    pub fn due(&self, wanted: BTreeSet<Wanted>, now: Instant) -> BTreeSet<Wanted> {
        let options = self.options();
        let held = self.held.lock();
        let is_due = |wanted: &Wanted| {
            let Some(asked) = held.get(wanted).and_then(|h| h.asked.map(|at| (h, at))) else {
                return true;
            };
            let (held, at) = asked;
            let rest = match held.failure {
                Some(_) => options.retry,
                None => options.ttl,
            };
            now.saturating_duration_since(at) >= rest
        };
        wanted.into_iter().filter(is_due).collect()
    }

    /// Asks for all of these and puts down the answers; returns those whose value is another one than before. With a limit
    /// it ends by then, and what was not answered until then is asked for again soon.
    pub async fn fetch(
        &self,
        wanted: BTreeSet<Wanted>,
        limit: Option<Duration>,
    ) -> BTreeSet<Wanted> {
        let end = limit.map(|limit| tokio::time::Instant::now() + limit);
        let ask = |wanted: Wanted| async move {
            let asking = self.managers.fetch(&wanted, self.options().timeout);
            let answer = match end {
                None => Some(asking.await),
                Some(end) => tokio::time::timeout_at(end, asking).await.ok(),
            };
            let changed = self.put_down(&wanted, answer, Instant::now());
            changed.then_some(wanted)
        };
        let answers = futures::stream::iter(wanted).map(ask);
        let answers = answers.buffer_unordered(AT_ONCE);
        answers
            .filter_map(|changed| async move { changed })
            .collect()
            .await
    }

    /// Whether it knows something besides these.
    pub fn holds_more_than(&self, wanted: &BTreeSet<Wanted>) -> bool {
        self.held.lock().keys().any(|known| !wanted.contains(known))
    }

    /// Forgets all but these.
    pub fn keep_only(&self, wanted: &BTreeSet<Wanted>) {
        self.held.lock().retain(|known, _| wanted.contains(known));
    }

    /// Puts down an answer, or that none was there in time; whether the value is another one now.
    pub(super) fn put_down(
        &self,
        wanted: &Wanted,
        answer: Option<Result<String, Trouble>>,
        now: Instant,
    ) -> bool {
        let keep = self.options().keep;
        let mut all = self.held.lock();
        let held = all.entry(wanted.clone()).or_default();
        let before = held.value().cloned();
        held.asked = Some(now);
        match answer {
            Some(Ok(value)) => {
                held.value = Some((value.into(), now));
                held.failure = None;
            }
            Some(Err(Trouble::Gone(why))) => {
                held.value = None;
                held.failure = Some(why.into());
            }
            Some(Err(Trouble::Unreachable(why))) => {
                let too_old =
                    |(_, at): &(Arc<str>, Instant)| now.saturating_duration_since(*at) >= keep;
                held.value = held.value.take().filter(|value| !too_old(value));
                held.failure = Some(why.into());
            }
            None => {
                held.asked = None;
                held.failure = Some("the manager did not answer yet".into());
            }
        }
        held.value() != before.as_ref()
    }
}
