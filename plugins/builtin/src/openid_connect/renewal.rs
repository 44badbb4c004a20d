//! Renews tokens once for all requests that come with the same session, as a refresh token may be good for one use only.

use super::{
    sessions::{Held, Renewable},
    single_flight::{self, Failed, Flight},
    tokens::Tokens,
};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// How long requests with the old session get the tokens that another one renewed.
const REUSE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Renewal {
    tokens: Arc<Tokens>,
    runtime: Handle,
    flights: Mutex<HashMap<[u8; 32], Begun>>,
}

/// A renewal, and when it began.
type Begun = (Instant, Flight<Arc<Held>>);

impl Renewal {
    pub(super) fn new(tokens: Arc<Tokens>, runtime: Handle) -> Self {
        Self {
            tokens,
            runtime,
            flights: Mutex::default(),
        }
    }

    /// The tokens in place of these.
    ///
    /// # Errors
    /// The provider refused, or the session ended meanwhile.
    pub(super) async fn renew(
        &self,
        before: &Held,
        renewable: Renewable,
    ) -> Result<Arc<Held>, Failed> {
        // A refresh token may stay the same, so the access token stands for what is renewed too.
        let mut key = Sha256::new_with_prefix(&before.access_token);
        key.update([0]);
        key.update(before.refresh_token.as_deref().unwrap_or_default());
        let key: [u8; 32] = key.finalize().into();
        let flight = {
            let mut flights = self.flights.lock();
            flights.retain(|_, (began, _)| began.elapsed() < REUSE);
            let start = || {
                let (tokens, before) = (self.tokens.clone(), before.clone());
                let call = async move { renewable.renew(&before, &tokens).await.map(Arc::new) };
                (Instant::now(), single_flight::start(&self.runtime, call))
            };
            flights.entry(key).or_insert_with(start).1.clone()
        };
        let outcome = flight.clone().await;
        if outcome.is_err() {
            let mut flights = self.flights.lock();
            if flights
                .get(&key)
                .is_some_and(|(_, current)| current.ptr_eq(&flight))
            {
                flights.remove(&key);
            }
        }
        outcome
    }
}
