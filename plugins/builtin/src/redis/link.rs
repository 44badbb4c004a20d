//! The one way to a Redis that all plugins share: connected on first use, given up when it fails, connected again
//! after a pause. Of many requests that find it gone, one connects and the others wait for it.

use super::{
    call::Call,
    endpoint::{Connection, Endpoint},
};
use crossway_sdk::build::BuildCx;
use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use parking_lot::Mutex;
use redis::{Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind, Value};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause: so late a Redis that is back is noticed at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Why Redis gave no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LinkError {
    /// There is no connection, and none is tried just now.
    #[error("Redis cannot be reached: {0}")]
    Down(Arc<str>),
    /// It took too long.
    #[error("Redis did not answer in time")]
    Timeout,
    /// It refused, or the connection broke.
    #[error("Redis answered with an error: {0}")]
    Failed(Arc<str>),
}

/// See the module.
pub(crate) struct Link {
    endpoint: Endpoint,
    state: Mutex<State>,
    /// Connections in a row that could not be made or never worked.
    failures: AtomicU32,
}

enum State {
    /// Nothing was asked yet, or a connection that had worked broke.
    Idle,
    Connecting(Shared<BoxFuture<'static, Result<Arc<Live>, LinkError>>>),
    Ready(Arc<Live>),
    /// Until then nothing is tried.
    Down(Instant, LinkError),
}

/// A connection, and how it does.
struct Live {
    connection: Connection,
    worked: AtomicBool,
    failed_in_a_row: AtomicU32,
}

impl Link {
    /// All that name the same servers with the same credentials share one. Nothing is connected before the first
    /// request.
    pub(crate) fn shared(endpoint: Endpoint, cx: &BuildCx<'_>) -> Arc<Self> {
        let identity = format!("redis/{}", endpoint.identity());
        cx.shared(&identity, || Self::new(endpoint))
    }

    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            state: Mutex::new(State::Idle),
            failures: AtomicU32::new(0),
        }
    }

    /// Asks Redis for integers; at most the timeout of connecting and that of an answer later it is decided. When a
    /// connection turns out to be gone, once more over a new one: what is asked is counted twice at worst.
    ///
    /// # Errors
    /// There was no answer.
    pub(crate) async fn ask(self: &Arc<Self>, call: Call<'_>) -> Result<Vec<i64>, LinkError> {
        match self.exchange(call).await? {
            Value::Int(one) => Ok(vec![one]),
            several => read(several),
        }
    }

    /// As [`Link::ask`], for a command that has another answer.
    ///
    /// # Errors
    /// There was no answer of this kind.
    pub(crate) async fn command<T: FromRedisValue>(
        self: &Arc<Self>,
        command: &Cmd,
    ) -> Result<T, LinkError> {
        read(self.exchange(Call::Command(command)).await?)
    }

    async fn exchange(self: &Arc<Self>, call: Call<'_>) -> Result<Value, LinkError> {
        let mut again = true;
        loop {
            let live = self.live().await?;
            let mut connection = live.connection.clone();
            let asked = tokio::time::timeout(self.endpoint.read_timeout, call.run(&mut connection));
            let error = match asked.await {
                Ok(Ok(answer)) => {
                    self.worked(&live);
                    return Ok(answer);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    self.failed(&live, &LinkError::Timeout);
                    return Err(LinkError::Timeout);
                }
            };
            if error.is_timeout() {
                self.failed(&live, &LinkError::Timeout);
                return Err(LinkError::Timeout);
            }
            let failed = LinkError::Failed(error.to_string().into());
            if !is_of_connection(&error) {
                tracing::debug!(redis = %self.endpoint, %error, "Redis refused");
                return Err(failed);
            }
            self.failed(&live, &failed);
            if !std::mem::take(&mut again) {
                return Err(failed);
            }
        }
    }

    /// The connection in use, or a new one.
    async fn live(self: &Arc<Self>) -> Result<Arc<Live>, LinkError> {
        let connecting = {
            let mut state = self.state.lock();
            match &*state {
                State::Ready(live) => return Ok(live.clone()),
                State::Down(until, error) if Instant::now() < *until => return Err(error.clone()),
                State::Connecting(connecting) => connecting.clone(),
                State::Idle | State::Down(..) => {
                    let link = self.clone();
                    // A task of its own: it goes on when the request that began it does not.
                    let task = tokio::spawn({
                        let link = link.clone();
                        async move { link.connect().await }
                    });
                    let connecting = async move {
                        task.await.unwrap_or_else(|ended| {
                            let error = LinkError::Down(ended.to_string().into());
                            link.pause(&mut link.state.lock(), &error);
                            Err(error)
                        })
                    };
                    let connecting = connecting.boxed().shared();
                    *state = State::Connecting(connecting.clone());
                    connecting
                }
            }
        };
        match tokio::time::timeout(self.endpoint.connect_timeout, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(LinkError::Timeout),
        }
    }

    async fn connect(&self) -> Result<Arc<Live>, LinkError> {
        match self.endpoint.connect().await {
            Ok(connection) => {
                let live = Arc::new(Live {
                    connection,
                    worked: AtomicBool::new(false),
                    failed_in_a_row: AtomicU32::new(0),
                });
                *self.state.lock() = State::Ready(live.clone());
                Ok(live)
            }
            Err(reason) => {
                let error = LinkError::Down(reason.into());
                self.pause(&mut self.state.lock(), &error);
                Err(error)
            }
        }
    }

    fn pause(&self, state: &mut State, error: &LinkError) {
        let failures = self.failures.fetch_add(1, Relaxed);
        let pause = FIRST_PAUSE
            .saturating_mul(1 << failures.min(10))
            .min(LONGEST_PAUSE);
        if failures == 0 {
            tracing::warn!(redis = %self.endpoint, %error, "Redis is out of reach");
        }
        *state = State::Down(Instant::now() + pause, error.clone());
    }

    fn worked(&self, live: &Live) {
        if live.failed_in_a_row.load(Relaxed) > 0 {
            live.failed_in_a_row.store(0, Relaxed);
        }
        if !live.worked.load(Relaxed) {
            live.worked.store(true, Relaxed);
            if self.failures.swap(0, Relaxed) > 0 {
                tracing::info!(redis = %self.endpoint, "Redis is within reach again");
            }
        }
    }

    /// Gives the connection up, unless somebody else did already or it deserves more patience.
    fn failed(&self, live: &Arc<Live>, error: &LinkError) {
        let failed = live.failed_in_a_row.fetch_add(1, Relaxed) + 1;
        if failed < self.endpoint.patience() {
            return;
        }
        let mut state = self.state.lock();
        if matches!(&*state, State::Ready(current) if Arc::ptr_eq(current, live)) {
            match live.worked.load(Relaxed) {
                true => *state = State::Idle,
                false => self.pause(&mut state, error),
            }
        }
    }
}

fn read<T: FromRedisValue>(value: Value) -> Result<T, LinkError> {
    // The text of the error would show what was read.
    let unfit = |_| LinkError::Failed("it is not what was asked for".into());
    T::from_redis_value(value).map_err(unfit)
}

/// Whether another connection may do better. A master that has become a replica refuses writes.
fn is_of_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound | ErrorKind::Server(ServerErrorKind::ReadOnly)
        )
}
