//! What a node answers, by path: the body, events, many bytes, a gRPC stream, a WebSocket.

use std::convert::Infallible;
use std::time::Duration;

use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{
    CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use hyper::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::echo;
use crate::payload::{Payload, Reply, collect, next};

/// The trailer of a call that succeeded.
pub(crate) const GRPC_OK: (&str, &str) = ("grpc-status", "0");

/// A stream of server-sent events.
#[derive(Clone, Copy)]
pub(crate) struct Events {
    pub(crate) count: u64,
    /// Between two of them, in milliseconds.
    pub(crate) pause: u64,
}

impl Events {
    /// Where a node sends them.
    pub(crate) fn path(self) -> String {
        format!("/events/{}/{}", self.count, self.pause)
    }

    /// All of them.
    pub(crate) fn bytes(self) -> Vec<u8> {
        (0..self.count).flat_map(event).collect()
    }

    fn named_by(path: &str) -> Option<Self> {
        let (count, pause) = path.strip_prefix("/events/")?.split_once('/')?;
        let (count, pause) = (count.parse().ok()?, pause.parse().ok()?);
        Some(Self { count, pause })
    }
}

fn event(number: u64) -> Vec<u8> {
    format!("id: {number}\ndata: tick\n\n").into_bytes()
}

pub(super) async fn to(
    mut request: Request<Incoming>,
    ending: watch::Receiver<()>,
) -> Result<Response<Reply>, Infallible> {
    let key = request.headers().get(SEC_WEBSOCKET_KEY);
    if let Some(accept) = key.map(|key| derive_accept_key(key.as_bytes())) {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(echo::messages(upgrade, ending));
        return Ok(switched(&accept));
    }
    let path = request.uri().path();
    if let Some(events) = Events::named_by(path) {
        return Ok(coming("text/event-stream", |to| send(events, to)));
    }
    let mebibytes = path.strip_prefix("/bytes/").map(str::parse::<usize>);
    if let Some(Ok(mebibytes)) = mebibytes {
        let piece = Bytes::from_static(&[b'b'; 64 << 10]);
        let body = Payload::sized(piece, mebibytes << 4);
        return Ok(Response::new(Reply::Whole(body)));
    }
    if path.starts_with("/soak.Echo/") {
        let body = request.into_body();
        return Ok(coming("application/grpc", |to| call(body, to)));
    }
    let collected = collect(request.into_body()).await;
    let body = collected.map(|(body, _)| body).unwrap_or_default();
    let body = Payload::sized(Bytes::from(body), 1);
    Ok(Response::new(Reply::Whole(body)))
}

/// An answer whose body `sender` sends, in a task of its own that ends when nobody listens.
fn coming<F>(
    kind: &'static str,
    sender: impl FnOnce(mpsc::Sender<Frame<Bytes>>) -> F,
) -> Response<Reply>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (to, from) = mpsc::channel(1);
    tokio::spawn(sender(to));
    let mut response = Response::new(Reply::Coming(from));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

async fn send(events: Events, to: mpsc::Sender<Frame<Bytes>>) {
    for number in 0..events.count {
        if to.send(Frame::data(event(number).into())).await.is_err() {
            return;
        }
        sleep(Duration::from_millis(events.pause)).await;
    }
}

/// Sends a call's messages back as they come, then says that it was in order.
async fn call(mut body: Incoming, to: mpsc::Sender<Frame<Bytes>>) {
    while let Some(frame) = next(&mut body).await {
        // Without trailers, the call counts as failed.
        let Ok(frame) = frame else { return };
        if frame.is_data() && to.send(frame).await.is_err() {
            return;
        }
    }
    let (name, value) = GRPC_OK;
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static(value));
    to.send(Frame::trailers(trailers)).await.ok();
}

fn switched(accept: &str) -> Response<Reply> {
    let mut response = Response::new(Reply::Whole(Payload::empty()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.parse() {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::Events;

    #[test]
    fn a_path_names_its_events() {
        let events = Events {
            count: 3,
            pause: 50,
        };
        let named = Events::named_by(&events.path()).unwrap();
        assert_eq!((named.count, named.pause), (3, 50));
        assert!(Events::named_by("/events/x/1").is_none());
    }
}
