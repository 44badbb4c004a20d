#![allow(clippy::unwrap_used)]
//! Sessions over pipes and over sockets of this machine.

use super::{
    Options, StreamProxy, hello,
    relay::{End, Meters, relay},
    tcp::{Accepted, TcpSessions},
};
use crate::{
    chain::Chain,
    matcher::{Matcher, Mode, SessionMatcher, SessionSpec},
    observe::Metrics,
    snapshot::{Consumers, Current, Snapshot, Standing, StreamRoute, Target},
    upstream::{
        Environment, NodeSpec, Scheme, Spec, Upstream,
        names::{Answer, Resolve, ResolveError},
    },
};
use async_trait::async_trait;
use crossway_sdk::{
    route::RouteInfo,
    slots::ChainOf,
    stream::{SessionBytes, StreamSession},
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpListener,
};

const LONG: Duration = Duration::from_secs(600);

#[derive(Default)]
struct Counters([AtomicU64; 4]);

impl Counters {
    fn meters(&self) -> Meters<'_> {
        let [received, sent, upstream_received, upstream_sent] = &self.0;
        Meters {
            received,
            sent,
            upstream_received,
            upstream_sent,
        }
    }
}

/// A relay between two pipes: the client's and the node's ends of them, and what becomes of it.
fn carried(
    first: &[u8],
    buffer: usize,
    idle: Duration,
) -> (
    DuplexStream,
    DuplexStream,
    tokio::task::JoinHandle<(End, SessionBytes)>,
) {
    let (client, mut inner_client) = duplex(64);
    let (node, mut inner_node) = duplex(64);
    let first = first.to_vec();
    let task = tokio::spawn(async move {
        let counters = Counters::default();
        let mut bytes = SessionBytes::default();
        let meters = counters.meters();
        let (a, b) = (&mut inner_client, &mut inner_node);
        let end = relay(a, b, first, buffer, idle, meters, &mut bytes).await;
        (end, bytes)
    });
    (client, node, task)
}

#[tokio::test]
async fn bytes_go_both_ways_and_the_end_of_one_side_does_not_end_the_other() {
    let (mut client, mut node, task) = carried(b"first ", 16, LONG);
    client.write_all(b"question").await.unwrap();
    client.shutdown().await.unwrap();
    let mut question = Vec::new();
    node.read_to_end(&mut question).await.unwrap();
    assert_eq!(question, b"first question");
    // The client has ended; the node has not.
    let answer = vec![7; 10_000];
    let mut heard = Vec::new();
    let (told, listened) = tokio::join!(
        async {
            node.write_all(&answer).await?;
            node.shutdown().await
        },
        client.read_to_end(&mut heard)
    );
    told.and(listened.map(drop)).unwrap();
    assert_eq!(heard, answer);
    let (end, bytes) = task.await.unwrap();
    assert!(matches!(end, End::Closed), "{end}");
    let expected = SessionBytes {
        received: 8,
        sent: 10_000,
        upstream_received: 10_000,
        upstream_sent: 14,
    };
    assert_eq!(bytes, expected);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_session_and_a_word_from_either_side_is_none() {
    let idle = Duration::from_secs(10);
    let (mut client, mut node, task) = carried(b"", 16, idle);
    let started = tokio::time::Instant::now();
    for turn in 0..6 {
        tokio::time::sleep(Duration::from_secs(8)).await;
        let (from, to) = match turn % 2 {
            0 => (&mut client, &mut node),
            _ => (&mut node, &mut client),
        };
        from.write_all(b"x").await.unwrap();
        assert_eq!(to.read_u8().await.unwrap(), b'x');
    }
    let (end, _) = task.await.unwrap();
    assert!(matches!(end, End::Idle), "{end}");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(57) && took < Duration::from_secs(60),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_side_that_takes_nothing_stops_the_other_one_and_not_the_clock() {
    let (mut client, _node, task) = carried(b"", 16, Duration::from_secs(5));
    // 64 bytes in each pipe and 16 in the buffer: more does not go in.
    let written = tokio::time::timeout(Duration::from_secs(60), client.write_all(&[0; 1000]));
    assert!(
        written.await.unwrap().is_err(),
        "the session is gone by then"
    );
    let (end, bytes) = task.await.unwrap();
    assert!(matches!(end, End::Idle), "{end}");
    assert!(bytes.received <= 80, "{bytes:?}");
}

#[tokio::test]
async fn a_node_that_breaks_is_told_from_a_client_that_does() {
    let (mut client, node, task) = carried(b"", 16, LONG);
    drop(node);
    client.write_all(b"to nobody").await.unwrap();
    let (end, _) = task.await.unwrap();
    assert!(matches!(end, End::Node(_)), "{end}");
    let (client, mut node, task) = carried(b"", 16, LONG);
    drop(client);
    node.write_all(b"to nobody").await.unwrap();
    let (end, _) = task.await.unwrap();
    assert!(matches!(end, End::Client(_)), "{end}");
}

/// A hello for this name, as rustls writes it.
fn client_hello(name: &str) -> Vec<u8> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let name = name.to_owned().try_into().unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

async fn read_hello(pieces: &[&[u8]]) -> io::Result<hello::Hello> {
    let mut stream = tokio_test::io::Builder::new();
    for piece in pieces {
        stream.read(piece);
    }
    hello::read(&mut stream.build(), LONG).await
}

#[tokio::test]
async fn a_hello_tells_the_name_in_whatever_pieces_it_comes() {
    let bytes = client_hello("A.Test");
    let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
    for pieces in [&[&bytes[..]][..], &pieces] {
        let hello = read_hello(pieces).await.unwrap();
        assert_eq!(hello.sni.as_deref(), Some("a.test"));
        assert_eq!(hello.bytes, bytes);
    }
}

#[tokio::test]
async fn what_is_no_hello_has_no_name_and_is_kept() {
    let broken = [0x16, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff];
    let without_name = client_hello("127.0.0.1");
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &broken,
        &without_name,
        b"\x16",
        b"\0",
    ] {
        let hello = read_hello(&[bytes]).await.unwrap();
        assert_eq!((hello.sni, &*hello.bytes), (None, bytes));
    }
    assert!(read_hello(&[]).await.is_err(), "nothing at all");
    // Records that never end are read up to a bound.
    let mut endless = vec![0x16, 3, 1, 0x40, 0, 1, 0, 0x7f, 0xff];
    endless.resize(40_000, 0);
    let hello = read_hello(&[&endless[..16_384]]).await.unwrap();
    assert_eq!((hello.sni, hello.bytes.len()), (None, 16_384));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_no_hello_is_given_up() {
    let (mut far, mut near) = duplex(64);
    far.write_all(&[0x16, 3, 1]).await.unwrap();
    let error = hello::read(&mut near, Duration::from_secs(3))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, _: &str) -> Result<Answer, ResolveError> {
        Err(ResolveError::new("no such name"))
    }
}

fn upstream(nodes: &[SocketAddr], scheme: Scheme) -> Arc<Upstream> {
    let runtime = tokio::runtime::Handle::current();
    let environment = Arc::new(Environment::new(runtime, Arc::new(NoNames), None));
    let node = |at: &SocketAddr| NodeSpec::new(at.ip().to_string(), at.port(), 1);
    let spec = Spec {
        scheme,
        ..Spec::new("upstreams/1", nodes.iter().map(node).collect())
    };
    Upstream::build(spec, None, &environment).unwrap()
}

/// One listener, and one route that takes every session.
fn sessions(target: Target, passthrough: bool, proxy_protocol: bool) -> TcpSessions {
    let spec = SessionSpec {
        key: "1".into(),
        remote: None,
        server: None,
        port: None,
        sni: None,
    };
    let route = StreamRoute {
        info: Arc::new(RouteInfo {
            id: "1".into(),
            ..RouteInfo::default()
        }),
        chain: Arc::new(Chain::compile(ChainOf::Route, Vec::new())),
        target,
        standing: Standing::Complete,
    };
    let snapshot = Snapshot {
        revision: 0,
        routes: Arc::new(Matcher::new(Mode::HostThenPath, [])),
        streams: Arc::new(SessionMatcher::new([(spec, Arc::new(route))])),
        global: Arc::new(Chain::compile(ChainOf::Global, Vec::new())),
        consumers: Arc::new(Consumers::default()),
        certificates: Arc::default(),
        documents: Default::default(),
        metadata: Default::default(),
    };
    let options = Options {
        idle: LONG,
        udp_idle: LONG,
        udp_sessions: 8,
        hello: LONG,
        buffer: 1024,
        proxy_protocol,
    };
    let metrics = Arc::new(Metrics::new("").unwrap());
    let current = Arc::new(Current::new(Arc::new(snapshot)));
    let proxy = StreamProxy::new(current, options, metrics);
    let listener = proxy.listener("127.0.0.1:9100", true);
    TcpSessions::new(proxy, listener, passthrough)
}

fn accepted(stream: DuplexStream) -> Accepted<DuplexStream> {
    Accepted {
        stream,
        client: "192.0.2.1:4000".parse().unwrap(),
        proxied: false,
        server: "127.0.0.1:9100".parse().unwrap(),
        tls: None,
    }
}

/// A node that takes one connection, reads it to its end and says what it heard.
async fn listening() -> (SocketAddr, tokio::task::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heard = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await.unwrap();
        heard
    });
    (address, heard)
}

async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn one_session(sessions: &TcpSessions, says: &[u8]) -> StreamSession {
    let (mut client, near) = duplex(1024);
    client.write_all(says).await.unwrap();
    client.shutdown().await.unwrap();
    sessions.run(accepted(near)).await.unwrap()
}

#[tokio::test]
async fn a_node_that_is_down_makes_way_for_the_next_and_no_byte_is_lost() {
    let (node, heard) = listening().await;
    let down = nobody().await;
    let target = Target::Upstream(upstream(&[down, node], Scheme::Tcp));
    let session = one_session(&sessions(target, false, false), b"hello").await;
    assert_eq!(session.status, 200);
    assert_eq!(session.last_try().unwrap().address, Some(node));
    assert_eq!(heard.await.unwrap(), b"hello");
    assert_eq!(
        (session.bytes.received, session.bytes.upstream_sent),
        (5, 5)
    );
}

#[tokio::test]
async fn when_no_node_takes_it_the_session_ends() {
    let (one, two) = (nobody().await, nobody().await);
    let target = Target::Upstream(upstream(&[one, two], Scheme::Tcp));
    let session = one_session(&sessions(target, false, false), b"hello").await;
    assert_eq!((session.status, session.tries.len()), (502, 2));
    for (target, status) in [(Target::None, 503), (Target::Missing, 502)] {
        let session = one_session(&sessions(target, false, false), b"hello").await;
        assert_eq!((session.status, session.tries.len()), (status, 0));
    }
    let empty = Target::Upstream(upstream(&[], Scheme::Tcp));
    let session = one_session(&sessions(empty, false, false), b"hello").await;
    assert_eq!(session.status, 503);
}

#[tokio::test]
async fn a_node_may_be_told_who_the_client_is() {
    let (node, heard) = listening().await;
    let target = Target::Upstream(upstream(&[node], Scheme::Tcp));
    one_session(&sessions(target, false, true), b"hello").await;
    let expected = b"PROXY TCP4 192.0.2.1 127.0.0.1 4000 9100\r\nhello";
    assert_eq!(heard.await.unwrap(), expected);
}

#[tokio::test]
async fn a_hello_that_was_read_is_passed_on() {
    let (node, heard) = listening().await;
    let target = Target::Upstream(upstream(&[node], Scheme::Tcp));
    let hello = client_hello("a.test");
    let session = one_session(&sessions(target, true, false), &hello).await;
    assert_eq!(session.sni.as_deref(), Some("a.test"));
    assert_eq!(heard.await.unwrap(), hello);
    assert_eq!(session.bytes.received, hello.len() as u64);
}

#[tokio::test]
async fn tls_is_never_wrapped_in_tls() {
    let target = Target::Upstream(upstream(&[nobody().await], Scheme::Tls));
    let session = one_session(&sessions(target, true, false), &client_hello("a.test")).await;
    assert_eq!((session.status, session.tries.len()), (500, 0));
}
