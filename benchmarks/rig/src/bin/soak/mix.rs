//! The mix: who asks for what, how often and over what.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Bytes;
use rustls::ClientConfig;

use crate::client::Over;
use crate::gateway::Addresses;
use crate::origin::Events;
use crate::payload::Payload;
use crate::sessions::{By, Session};
use crate::traffic::Kind;

const MILLISECOND: Duration = Duration::from_millis(1);

/// TLS clients by what they offer.
pub(crate) struct Trusts {
    pub(crate) nothing: Arc<ClientConfig>,
    pub(crate) http1: Arc<ClientConfig>,
    pub(crate) http2: Arc<ClientConfig>,
}

/// The clients that ask over HTTP.
pub(crate) fn kinds(at: &Addresses, trusts: &Trusts) -> Vec<Kind> {
    let plain = (at.http, Over::Plain);
    let tls = (at.https, Over::Tls(trusts.http1.clone()));
    let http2 = (at.https, Over::Http2(trusts.http2.clone()));
    let small = Bytes::from_static(&[b'p'; 700]);
    let large = Bytes::from(vec![b'l'; 64 << 10]);
    let one = Payload::sized(small.clone(), 1);
    let chunked = Payload::chunked(small, 20);
    // They outlive the drain timeout, as some sessions below do.
    let long = Events {
        count: 75,
        pause: 200,
    };
    let short = Events {
        count: 30,
        pause: 50,
    };
    vec![
        get("get", &plain).kept_for(500),
        get("get", &plain).kept_for(500),
        get("get, new connections", &plain).kept_for(1),
        get("get, idle connections", &plain).every(3000 * MILLISECOND),
        post("post", &plain, &one),
        post("post", &plain, &one),
        post("post chunked", &plain, &chunked),
        post("post 1 MiB", &plain, &Payload::sized(large.clone(), 16)).every(100 * MILLISECOND),
        post("post 8 MiB", &plain, &Payload::sized(large, 128)).every(500 * MILLISECOND),
        download("get 16 MiB", &plain, 16).every(700 * MILLISECOND),
        get("tls get", &tls).kept_for(50),
        post("tls post", &tls, &one),
        get("http/2 get", &http2).kept_for(50),
        post("http/2 post", &http2, &one),
        post("http/2 chunked", &http2, &chunked),
        download("http/2 get 4 MiB", &http2, 4).every(500 * MILLISECOND),
        call("grpc", &http2),
        events("sse", &plain, short),
        events("sse over http/2", &http2, short),
        events("sse, long", &plain, long),
    ]
}

/// Those that hold sessions.
pub(crate) fn sessions(at: &Addresses, trusts: &Trusts) -> Vec<Session> {
    let tls = By::Tls(trusts.nothing.clone());
    vec![
        short("websocket", at.http, By::WebSocket),
        short("websocket", at.http, By::WebSocket),
        long("websocket, long", at.http, By::WebSocket),
        short("tcp", at.tcp, By::Tcp),
        short("tcp over tls", at.tls, tls),
        long("tcp, long", at.tcp, By::Tcp),
    ]
}

fn get(name: &'static str, (to, over): &(SocketAddr, Over)) -> Kind {
    Kind {
        name,
        to: *to,
        over: over.clone(),
        method: "GET",
        path: "/echo".to_owned(),
        headers: &[],
        body: Payload::empty(),
        expected: Vec::new(),
        is_call: false,
        is_session: false,
        per_connection: 100,
        pause: None,
    }
}

fn post(name: &'static str, to: &(SocketAddr, Over), body: &Payload) -> Kind {
    Kind {
        method: "POST",
        expected: body.bytes(),
        body: body.clone(),
        ..get(name, to)
    }
}

fn download(name: &'static str, to: &(SocketAddr, Over), mebibytes: usize) -> Kind {
    Kind {
        path: format!("/bytes/{mebibytes}"),
        expected: vec![b'b'; mebibytes << 20],
        ..get(name, to)
    }
}

fn events(name: &'static str, to: &(SocketAddr, Over), events: Events) -> Kind {
    Kind {
        path: events.path(),
        expected: events.bytes(),
        is_session: true,
        ..get(name, to)
    }
}

fn call(name: &'static str, to: &(SocketAddr, Over)) -> Kind {
    // A message: not compressed, its length, its bytes.
    let mut message = vec![0, 0, 0, 2, 188];
    message.extend_from_slice(&[b'g'; 700]);
    let body = Payload::chunked(Bytes::from(message), 5);
    Kind {
        path: "/soak.Echo/Talk".to_owned(),
        headers: &[("content-type", "application/grpc"), ("te", "trailers")],
        is_call: true,
        ..post(name, to, &body)
    }
}

fn short(name: &'static str, to: SocketAddr, by: By) -> Session {
    Session {
        name,
        to,
        by,
        messages: 40,
        pause: 20 * MILLISECOND,
    }
}

fn long(name: &'static str, to: SocketAddr, by: By) -> Session {
    Session {
        messages: 75,
        pause: 200 * MILLISECOND,
        ..short(name, to, by)
    }
}

impl Kind {
    fn kept_for(self, per_connection: usize) -> Self {
        Self {
            per_connection,
            ..self
        }
    }

    fn every(self, pause: Duration) -> Self {
        Self {
            pause: Some(pause),
            ..self
        }
    }
}
