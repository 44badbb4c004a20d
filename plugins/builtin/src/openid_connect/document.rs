//! A document of the provider: fetched once for all, kept for its time, and longer while the provider is away.

use super::single_flight::{self, Failed, Flight};
use parking_lot::Mutex;
use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How long nobody asks again after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a document is fetched ahead of its time.
const HASTE: Duration = Duration::from_secs(10);

/// The place of a document.
pub(super) struct Document<T> {
    lifetime: Duration,
    state: Mutex<State<T>>,
}

struct State<T> {
    held: Option<(Instant, Arc<T>)>,
    failed: Option<(Instant, Failed)>,
    flight: Option<Flight<Arc<T>>>,
}

enum Next<T> {
    Held(Arc<T>),
    Failed(Failed),
    Wait(Flight<Arc<T>>),
}

impl<T: Send + Sync + 'static> Document<T> {
    pub(super) fn new(lifetime: Duration) -> Self {
        let state = State {
            held: None,
            failed: None,
            flight: None,
        };
        Self {
            lifetime,
            state: Mutex::new(state),
        }
    }

    /// The document. An old one is given at once while a new one is fetched.
    ///
    /// # Errors
    /// There never was one, and it cannot be fetched.
    pub(super) async fn get<F>(
        &self,
        runtime: &Handle,
        fetch: impl FnOnce() -> F + Send,
    ) -> Result<Arc<T>, Failed>
    where
        F: Future<Output = Result<Arc<T>, Failed>> + Send + 'static,
    {
        let next = {
            let mut state = self.state.lock();
            self.settle(&mut state);
            let held = state.held.clone();
            match held {
                Some((at, document)) if at.elapsed() < self.lifetime => Next::Held(document),
                held => match (held, self.ask(&mut state, runtime, fetch)) {
                    (Some((_, document)), _) => Next::Held(document),
                    (None, next) => next,
                },
            }
        };
        self.finish(next).await
    }

    /// The document anew, because the one that is held lacks something; the one that is held when it was just fetched, or when that
    /// fails.
    ///
    /// # Errors
    /// As [`Document::get`].
    pub(super) async fn renew<F>(
        &self,
        runtime: &Handle,
        fetch: impl FnOnce() -> F + Send,
    ) -> Result<Arc<T>, Failed>
    where
        F: Future<Output = Result<Arc<T>, Failed>> + Send + 'static,
    {
        let (held, next) = {
            let mut state = self.state.lock();
            self.settle(&mut state);
            let held = state.held.clone();
            match held {
                Some((at, document)) if at.elapsed() < HASTE => (None, Next::Held(document)),
                held => (
                    held.map(|(_, document)| document),
                    self.ask(&mut state, runtime, fetch),
                ),
            }
        };
        let outcome = self.finish(next).await;
        outcome.or_else(|failed| held.ok_or(failed))
    }

    fn ask<F>(&self, state: &mut State<T>, runtime: &Handle, fetch: impl FnOnce() -> F) -> Next<T>
    where
        F: Future<Output = Result<Arc<T>, Failed>> + Send + 'static,
    {
        if let Some(flight) = &state.flight {
            return Next::Wait(flight.clone());
        }
        if let Some((at, failed)) = &state.failed
            && at.elapsed() < PAUSE
        {
            return Next::Failed(failed.clone());
        }
        let flight = single_flight::start(runtime, fetch());
        state.flight = Some(flight.clone());
        Next::Wait(flight)
    }

    async fn finish(&self, next: Next<T>) -> Result<Arc<T>, Failed> {
        match next {
            Next::Held(document) => Ok(document),
            Next::Failed(failed) => Err(failed),
            Next::Wait(flight) => {
                let outcome = flight.await;
                self.settle(&mut self.state.lock());
                outcome
            }
        }
    }

    /// Takes in what has arrived.
    fn settle(&self, state: &mut State<T>) {
        let Some(flight) = &state.flight else {
            return;
        };
        match futures::FutureExt::now_or_never(flight.clone()) {
            None => return,
            Some(Ok(document)) => {
                state.held = Some((Instant::now(), document));
                state.failed = None;
            }
            Some(Err(failed)) => {
                tracing::warn!(error = %failed, "a document of the OpenID provider cannot be fetched");
                state.failed = Some((Instant::now(), failed));
            }
        }
        state.flight = None;
    }
}
