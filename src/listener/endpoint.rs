//! A listener for operators, beside the traffic: plain HTTP/1.1 for a router, which learns the client's address, with limits that keep
//! slow and idle clients from piling up.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use super::http::LAST_CALL;
use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{HeaderValue, Request, Response, header::CONNECTION},
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

/// Serves until `shutdown` is ready. Requests that are under way then, or on their way on a connection that is open, are still
/// answered.
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
                    connection(stream, from, router, &mut stopped).await;
                    drop((slot, stopped));
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection of an operator could not be accepted");
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
    stopped: &mut watch::Receiver<bool>,
) {
    let word = stopped.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        let word = word.clone();
        async move {
            let Ok::<Response<Body>, Infallible>(mut answer) = router.oneshot(request).await;
            if *word.borrow() {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut served = pin!(served);
    // Closed at the word, a connection would take a request with it that is on its way.
    let end = async {
        drop(stopped.wait_for(|stop| *stop).await);
        tokio::time::sleep(LAST_CALL).await;
    };
    let mut end = pin!(end);
    let outcome = tokio::select! {
        outcome = served.as_mut() => outcome,
        () = &mut end => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, %from, "a connection of an operator broke off");
    }
}
