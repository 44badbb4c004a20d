//! Serves a router on a listener of its own, until told to stop.

use axum::Router;
use futures::FutureExt;
use std::{future::IntoFuture, io, time::Duration};
use tokio::net::TcpListener;

/// Requests that are under way at the end have so long.
const GRACE: Duration = Duration::from_secs(2);

/// Serves `router` until `shutdown` is done, then lets requests that are under way end, for two seconds at most.
///
/// # Errors
/// The listener failed for good.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let shutdown = shutdown.shared();
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone());
    let late = async {
        shutdown.await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = served.into_future() => served,
        () = late => Ok(()),
    }
}
