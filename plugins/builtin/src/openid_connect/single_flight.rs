//! One call for all who wait for the same thing. It runs to its end also when those who asked are gone, for what it did at the
//! provider cannot be undone: a refresh token may be good for one use only.

use futures::{FutureExt as _, future::BoxFuture, future::Shared};
use std::{future::Future, sync::Arc};
use tokio::runtime::Handle;

/// A result on its way, or there.
pub(super) type Flight<T> = Shared<BoxFuture<'static, Result<T, Failed>>>;

/// Why a user or a token cannot be let in. The texts say nothing that was sent or received.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub(super) struct Failed {
    reason: Arc<str>,
    of_token: bool,
}

impl Failed {
    /// The provider did not help, for a reason that is for the log alone.
    pub(super) fn new(reason: impl AsRef<str>) -> Self {
        Self {
            reason: reason.as_ref().into(),
            of_token: false,
        }
    }

    /// The token is not good, for a reason that its bearer may know.
    pub(super) fn token(reason: &'static str) -> Self {
        Self {
            reason: reason.into(),
            of_token: true,
        }
    }

    /// What the bearer of a token may know.
    pub(super) fn shown(&self) -> &str {
        match self.of_token {
            true => &self.reason,
            false => "the token cannot be verified",
        }
    }
}

/// Starts a call on the runtime.
pub(super) fn start<T: Clone + Send + Sync + 'static>(
    runtime: &Handle,
    call: impl Future<Output = Result<T, Failed>> + Send + 'static,
) -> Flight<T> {
    let task = runtime.spawn(call);
    async move {
        task.await
            .unwrap_or_else(|_| Err(Failed::new("the call was given up")))
    }
    .boxed()
    .shared()
}
