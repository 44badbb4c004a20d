//! An HTTP/2 connection: each of its streams is a request for Pingora, in a task of its own.
//!
//! What floods there are is bounded by the `h2` crate (resets, CONTINUATION, SETTINGS, PING, empty frames) with its own numbers,
//! by the options below, and by the number of malformed requests that a connection may have.

use super::{Http2, Options, wire::Wire};
use crate::listener::{Counters, Reason, Stop};
use pingora_core::{
    apps::HttpServerApp,
    protocols::http::{
        ServerSession,
        v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake},
    },
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// So many requests of a connection may break the rules before it is closed.
const MALFORMED: usize = 32;
/// How long a client may take to greet, as HTTP/2 does.
const GREETING: Duration = Duration::from_secs(10);

/// Serves a connection until the client leaves, is idle for too long, or misbehaves.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    app: &Arc<A>,
    mut wire: Wire,
    options: &Options,
    counters: &Counters,
    mut stop: Stop,
) {
    wire.open_tunnel();
    let digest = Arc::new(wire.digest());
    let greeting = handshake(Box::new(wire), Some(settings(&options.http2)));
    let mut connection = match timeout(GREETING, greeting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if !is_abuse(&error) => return,
        Ok(Err(_)) | Err(_) => return counters.count(Reason::Http2Abuse),
    };
    let active = Arc::new(Active::default());
    let mut malformed = 0;
    let mut stopping = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.given(), if !stopping => {
                // Streams that are open, and those on their way, are still served.
                connection.graceful_shutdown();
                stopping = true;
                continue;
            }
            accepted = HttpSession::from_h2_conn(&mut connection, digest.clone()) => accepted,
            () = active.idle_for(options.keepalive_timeout) => {
                return counters.count(Reason::Http2Idle);
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let here = active.clone().enter();
                let (app, stop) = (app.clone(), stop.clone());
                tokio::spawn(async move {
                    let _here = here;
                    let session = ServerSession::new_http2(session);
                    app.process_new_http(session, stop.as_pingora()).await;
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                counters.count(Reason::Malformed);
                malformed += 1;
                if malformed >= MALFORMED {
                    return counters.count(Reason::Http2Abuse);
                }
            }
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "an HTTP/2 connection ended");
                if is_abuse(&error) {
                    counters.count(Reason::Http2Abuse);
                }
                return;
            }
        }
    }
}

fn settings(options: &Http2) -> H2Options {
    let mut settings = default_h2_options();
    settings
        .max_concurrent_streams(options.streams)
        .max_header_list_size(options.header_list)
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window);
    settings
}

/// Whether the client broke the rules, rather than the connection.
fn is_abuse(error: &pingora_core::Error) -> bool {
    let cause = error.cause.as_deref();
    cause
        .and_then(|cause| cause.downcast_ref::<h2::Error>())
        .is_some_and(|error| !error.is_io() && error.is_library())
}

/// The requests of a connection that are being answered.
#[derive(Default)]
struct Active {
    count: AtomicUsize,
    changed: Notify,
}

impl Active {
    fn enter(self: Arc<Self>) -> Here {
        self.count.fetch_add(1, Relaxed);
        Here(self)
    }

    /// Waits until there has been no request for so long.
    async fn idle_for(&self, time: Duration) {
        while self.count.load(Relaxed) > 0 {
            self.changed.notified().await;
        }
        tokio::time::sleep(time).await;
    }
}

/// A request that is being answered, until this is dropped.
struct Here(Arc<Active>);

impl Drop for Here {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Relaxed) == 1 {
            self.0.changed.notify_one();
        }
    }
}
