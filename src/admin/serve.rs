//! The listener of the Admin API: plain HTTP/1.1, with the client's address for the allow list, and with limits that
//! keep slow and idle clients from piling up.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{Request, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::ServiceExt;

/// How long a client may take to send the head of a request, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(60);
/// Connections at a time; more wait.
const CONNECTIONS: usize = 1024;
/// After a failed accept (out of descriptors, say).
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is ready, then finishes the requests that are under way.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    // Each connection holds a receiver, so that the end of the last one can be awaited.
    let (stop, stopped) = watch::channel(false);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepting = async {
            let slot = Arc::clone(&free).acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = accepting => next,
        };
        match accepted {
            Ok((stream, from)) => {
                let (router, mut stopped) = (router.clone(), stopped.clone());
                tokio::spawn(async move {
                    let end = async { drop(stopped.wait_for(|stop| *stop).await) };
                    connection(stream, from, router, end).await;
                    drop((slot, stopped));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the Admin API could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    drop(stopped);
    stop.send_replace(true);
    stop.closed().await;
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    end: impl Future<Output = ()>,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        async move {
            let answered: Result<Response<Body>, Infallible> = router.oneshot(request).await;
            answered
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    let mut end = pin!(end);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = &mut end => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %from, "a connection to the Admin API broke off");
    }
}
