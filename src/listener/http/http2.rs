//! An HTTP/2 connection: each of its streams is a request for Pingora, in a task of its own.
//!
//! Frames are counted before the `h2` crate sees them ([`frames`]). It bounds the rest by itself: the size of frames and heads, what
//! is buffered, small and empty DATA. Heads that it refuses never become a request; they are counted by the reset that it sends.

mod budget;
mod call;
mod cookies;
pub mod frames;
mod paced;

use super::{
    Http2, Options,
    pace::Rule,
    wire::{BODY_GRACE, STALL, Wire},
};
use crate::listener::{Counters, Reason, Stop};
use budget::Budget;
use bytes::Bytes;
pub use call::is_grpc;
use h2::server::Connection;
use paced::Paced;
use pingora_core::{
    apps::HttpServerApp,
    protocols::{
        Digest, Stream,
        http::{
            ServerSession,
            v2::server::{H2Accept, H2Options, HttpSession, default_h2_options, handshake},
        },
    },
};
use std::{
    future::poll_fn,
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{sync::Notify, time::timeout};

/// So many requests of a connection may break the rules in [`frames::RESET_WINDOW`] before it is closed.
const MALFORMED: u32 = 32;
/// How long a client may take to greet, as HTTP/2 does.
const GREETING: Duration = Duration::from_secs(10);
/// How long a connection that is ended may take to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes of an answer that wait for a client, for each stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves a connection until the client leaves, is idle for too long, or misbehaves.
pub(super) async fn serve<A: HttpServerApp + Send + Sync + 'static>(
    app: &Arc<A>,
    mut wire: Wire,
    options: &Options,
    counters: &Arc<Counters>,
    mut stop: Stop,
) {
    wire.open_http2(options.http2.frames, options.header_timeout);
    let digest = Arc::new(wire.digest());
    let greeting = handshake(Box::new(wire), Some(settings(&options.http2)));
    let mut connection = match timeout(GREETING, greeting).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if !of_http2(&error).is_some_and(is_abuse) => return,
        Ok(Err(_)) | Err(_) => return counters.count(Reason::Http2Abuse),
    };
    let active = Arc::new(Active::default());
    let body = Rule {
        rate: options.body_rate,
        grace: BODY_GRACE,
        stall: STALL,
    };
    let mut malformed = Budget::new(MALFORMED, 0, frames::RESET_WINDOW, Instant::now());
    let mut requests = 0;
    let mut stopping = false;
    let farewell = loop {
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
                counters.count(Reason::Http2Idle);
                break h2::Reason::NO_ERROR;
            }
        };
        match accepted {
            Ok(Some(H2Accept::Session(session))) => {
                let session = prepare(session, body, counters);
                let here = active.clone().enter();
                let (app, stop) = (app.clone(), stop.clone());
                tokio::spawn(async move {
                    let _here = here;
                    app.process_new_http(session, stop.as_pingora()).await;
                });
            }
            Ok(Some(H2Accept::Rejected)) => {
                counters.count(Reason::Malformed);
                if !malformed.spend(1, Instant::now()) {
                    counters.count(Reason::Http2Abuse);
                    stopped(&digest, "too many malformed requests");
                    break h2::Reason::ENHANCE_YOUR_CALM;
                }
            }
            Ok(None) => return,
            Err(error) => {
                let Some(error) = of_http2(&error) else {
                    return;
                };
                let farewell = farewell(error);
                if is_abuse(error) {
                    counters.count(Reason::Http2Abuse);
                }
                if is_abuse(error) || farewell.is_some() {
                    stopped(&digest, error);
                }
                match farewell {
                    Some(reason) => break reason,
                    None => return,
                }
            }
        }
        requests += 1;
        if options.requests > 0 && requests >= options.requests {
            if requests == options.requests {
                counters.count(Reason::Requests);
                connection.graceful_shutdown();
            }
            // Those that were on their way are served; who goes on has not listened.
            if requests - options.requests > options.http2.streams {
                counters.count(Reason::Http2Abuse);
                stopped(&digest, "requests after GOAWAY");
                break h2::Reason::ENHANCE_YOUR_CALM;
            }
        }
    };
    end(connection, farewell).await;
}

fn settings(options: &Http2) -> H2Options {
    let mut settings = default_h2_options();
    let pending = usize::try_from(options.frames.resets).unwrap_or(usize::MAX);
    let pending = pending.saturating_mul(2);
    let window = usize::try_from(options.connection_window).unwrap_or(usize::MAX);
    settings
        .max_concurrent_streams(options.streams)
        .max_header_list_size(options.header_list)
        .initial_window_size(options.stream_window)
        .initial_connection_window_size(options.connection_window)
        .max_send_buffer_size(SEND_BUFFER)
        // What small DATA may cost while nobody reads it. Calls of gRPC are made of it: half a window, as by default, is less than
        // one of them may have on its way.
        .data_frame_budget(window.saturating_mul(2))
        // The frames are bounded by time.
        .max_local_error_reset_streams(None)
        // Those that were reset before somebody looked at them: the frames are bounded before that.
        .max_pending_accept_reset_streams(pending);
    settings
}

/// Makes a request of a stream.
fn prepare(mut session: HttpSession, body: Rule, counters: &Arc<Counters>) -> ServerSession {
    cookies::join(session.req_header_mut());
    let bodiless = session.is_body_empty();
    let session = ServerSession::new_http2(session);
    match bodiless {
        true => session,
        false => {
            let paced = Paced::new(session, body, counters.clone());
            ServerSession::new_custom(Box::new(paced))
        }
    }
}

/// Whether the client broke the rules, rather than the connection.
fn is_abuse(error: &h2::Error) -> bool {
    !error.is_io() && error.is_library()
}

/// What to tell a client that the wire has cut off, where there is still somebody to tell.
fn farewell(error: &h2::Error) -> Option<h2::Reason> {
    match error.get_io()?.kind() {
        ErrorKind::QuotaExceeded => Some(h2::Reason::ENHANCE_YOUR_CALM),
        ErrorKind::InvalidData => Some(h2::Reason::PROTOCOL_ERROR),
        _ => None,
    }
}

fn of_http2(error: &pingora_core::Error) -> Option<&h2::Error> {
    error.cause.as_deref()?.downcast_ref()
}

/// One line for a connection that is ended for what its client did.
fn stopped(digest: &Digest, why: impl std::fmt::Display) {
    let socket = digest.socket_digest.as_ref();
    let client = socket.and_then(|socket| socket.peer_addr());
    match client {
        Some(client) => tracing::info!(%client, %why, "an HTTP/2 connection was ended"),
        None => tracing::info!(%why, "an HTTP/2 connection was ended"),
    }
}

/// Says why, and closes. What is in flight ends.
async fn end(mut connection: Connection<Stream, Bytes>, reason: h2::Reason) {
    connection.abrupt_shutdown(reason);
    let closed = poll_fn(|context| connection.poll_closed(context));
    if let Ok(Err(error)) = timeout(FAREWELL, closed).await {
        tracing::debug!(%error, "an HTTP/2 connection ended without a farewell");
    }
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
