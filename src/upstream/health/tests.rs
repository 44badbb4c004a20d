#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    Active, ActiveHealthy, ActiveUnhealthy, Change, Checks, Health, HealthState, Observation,
    ProbeKind, Statuses,
};
use crate::upstream::{
    Environment, NodeSpec, PassHost, Spec, Upstream,
    names::{Answer, Resolve, ResolveError},
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderValue, Method};
use pingora_core::{
    listeners::tls::TlsSettings,
    utils::tls::{WrappedX509, parse_x509},
};
use proptest::prelude::*;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::Handle,
};

use Health::{Healthy, MostlyHealthy, MostlyUnhealthy, Unhealthy};
use Observation::{HttpFailure, Success, TcpFailure, Timeout};

/// Two successes, three statuses, two connections, four timeouts.
fn limit(what: Observation) -> u8 {
    match what {
        Success => 2,
        HttpFailure => 3,
        TcpFailure => 2,
        Timeout => 4,
    }
}

fn after(observations: &[Observation]) -> HealthState {
    let state = HealthState::default();
    for &what in observations {
        let before = state.health();
        let change = state.observe(what, limit(what));
        let now = state.health();
        assert_eq!(
            change,
            (before != now).then_some(Change {
                from: before,
                to: now
            })
        );
    }
    state
}

#[test]
fn the_machine_goes_through_its_states() {
    let table: &[(&[Observation], Health)] = &[
        (&[], Healthy),
        (&[Success], Healthy),
        (&[TcpFailure], MostlyHealthy),
        (&[TcpFailure, TcpFailure], Unhealthy),
        // Kinds of failure count by themselves …
        (
            &[
                TcpFailure,
                HttpFailure,
                HttpFailure,
                Timeout,
                Timeout,
                Timeout,
            ],
            MostlyHealthy,
        ),
        (&[TcpFailure, HttpFailure, Timeout, TcpFailure], Unhealthy),
        // … and a success clears them all.
        (
            &[
                TcpFailure,
                HttpFailure,
                Success,
                TcpFailure,
                HttpFailure,
                HttpFailure,
            ],
            MostlyHealthy,
        ),
        (&[TcpFailure, Success], MostlyHealthy),
        (&[TcpFailure, Success, Success], Healthy),
        (&[TcpFailure, Success, TcpFailure, Success], MostlyHealthy),
        (&[TcpFailure, TcpFailure, Success], MostlyUnhealthy),
        (&[TcpFailure, TcpFailure, Success, Success], Healthy),
        (
            &[TcpFailure, TcpFailure, Success, Timeout, Success],
            MostlyUnhealthy,
        ),
        (
            &[TcpFailure, TcpFailure, Success, TcpFailure, TcpFailure],
            Unhealthy,
        ),
        (
            &[HttpFailure, HttpFailure, HttpFailure, Timeout, Timeout],
            Unhealthy,
        ),
    ];
    for (observations, expected) in table {
        assert_eq!(after(observations).health(), *expected, "{observations:?}");
    }
}

#[test]
fn counters_show_what_counts() {
    let (_, counters) = after(&[TcpFailure, HttpFailure, HttpFailure]).get();
    assert_eq!(
        (
            counters.tcp_failure,
            counters.http_failure,
            counters.success
        ),
        (1, 2, 0)
    );
    // What an unhealthy node is known for no longer counts.
    let (_, counters) = after(&[TcpFailure, TcpFailure, TcpFailure, Timeout]).get();
    assert_eq!((counters.tcp_failure, counters.timeout_failure), (2, 0));
    let (_, counters) = after(&[TcpFailure, TcpFailure, Success]).get();
    assert_eq!((counters.tcp_failure, counters.success), (0, 1));
}

#[test]
fn a_limit_of_zero_does_not_count() {
    let state = HealthState::default();
    for what in [TcpFailure, HttpFailure, Timeout] {
        assert!((0..300).all(|_| state.observe(what, 0).is_none()));
    }
    assert_eq!(state.health(), Healthy);
    state.observe(TcpFailure, 1);
    assert!((0..300).all(|_| state.observe(Success, 0).is_none()));
    assert_eq!(state.health(), Unhealthy);
}

proptest! {
    /// Only a run of one kind takes a node out, only a run of successes brings it back.
    #[test]
    fn in_use_and_out_of_use_change_by_runs_alone(
        observations in prop::collection::vec(
            prop::sample::select(vec![Success, HttpFailure, TcpFailure, Timeout]), 0..60),
    ) {
        let state = HealthState::default();
        let mut run = std::collections::HashMap::new();
        let mut in_use = true;
        for what in observations {
            let counts = (what == Success) != in_use || state.health() == MostlyHealthy
                || state.health() == MostlyUnhealthy;
            if counts {
                if what == Success {
                    run.retain(|kind, _| *kind == Success);
                } else {
                    run.remove(&Success);
                }
                *run.entry(what).or_insert(0u8) += 1;
                if run[&what] >= limit(what) {
                    in_use = what == Success;
                }
            }
            state.observe(what, limit(what));
            prop_assert_eq!(state.health().is_usable(), in_use);
        }
    }
}

#[test]
fn statuses_are_a_set() {
    let statuses = Statuses::new([503, 200, 503]);
    assert!(statuses.contains(200) && statuses.contains(503));
    assert!(!statuses.contains(0) && !statuses.contains(201));
}

struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        match name {
            "node.test" => Ok(Answer {
                addresses: vec![[127, 0, 0, 1].into()],
                ttl: Duration::from_secs(60),
            }),
            _ => Err(ResolveError::new("no such name")),
        }
    }
}

/// A node that answers each request with the status that is set; 0: not at all.
struct Server {
    address: SocketAddr,
    status: AtomicU16,
    requests: Mutex<Vec<String>>,
}

impl Server {
    async fn start() -> Arc<Self> {
        Self::start_with(None).await
    }

    async fn start_with(tls: Option<pingora_core::listeners::tls::Acceptor>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            status: AtomicU16::new(200),
            requests: Mutex::default(),
        });
        let this = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = pingora_core::protocols::l4::stream::Stream::from(stream);
                match &tls {
                    None => drop(tokio::spawn(this.clone().answer(stream))),
                    Some(tls) => {
                        if let Ok(stream) = tls.tls_handshake(stream).await {
                            drop(tokio::spawn(this.clone().answer(stream)));
                        }
                    }
                }
            }
        });
        server
    }

    async fn answer(self: Arc<Self>, mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
        let mut request = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            request.extend_from_slice(&chunk[..count]);
            let text = String::from_utf8_lossy(&request).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else {
                continue;
            };
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() < length.map_or(0, |length| length.parse().unwrap()) {
                continue;
            }
            self.requests.lock().unwrap().push(text);
            break;
        }
        match self.status.load(Ordering::Relaxed) {
            0 => std::future::pending().await,
            status => {
                // An endless body: nobody may wait for it.
                let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 1000000\r\n\r\nabc");
                drop(stream.write_all(head.as_bytes()).await);
                drop(stream.flush().await);
                drop(stream.read(&mut chunk).await);
            }
        }
    }

    fn set(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn environment() -> Arc<Environment> {
    Arc::new(Environment::new(Handle::current(), Arc::new(NoNames), None))
}

fn quick() -> Active {
    let interval = Duration::from_millis(5);
    Active {
        timeout: Duration::from_secs(5),
        healthy: ActiveHealthy {
            interval,
            ..ActiveHealthy::default()
        },
        unhealthy: ActiveUnhealthy {
            interval,
            ..ActiveUnhealthy::default()
        },
        ..Active::default()
    }
}

fn spec(host: &str, port: u16, active: Active) -> Spec {
    Spec {
        checks: Some(Checks {
            active: Some(active),
            passive: None,
        }),
        ..Spec::new("upstreams/1", vec![NodeSpec::new(host, port, 1)])
    }
}

fn started(spec: Spec) -> Arc<Upstream> {
    let upstream = Upstream::build(spec, None, &environment()).unwrap();
    upstream.start();
    upstream
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until_health(upstream: &Upstream, health: Health) {
    let node = &upstream.nodes()[0];
    until(&format!("{health}, but it is {node:?}"), || {
        node.health() == health
    })
    .await;
}

#[tokio::test]
async fn http_probes_take_nodes_out_and_bring_them_back() {
    let server = Server::start().await;
    let upstream = started(spec("127.0.0.1", server.address.port(), quick()));
    until("three probes", || server.requests().len() > 2).await;
    assert_eq!(upstream.nodes()[0].health(), Healthy);
    server.set(503);
    until_health(&upstream, Unhealthy).await;
    assert_eq!(upstream.nodes()[0].health_and_counters().1.http_failure, 5);
    // A status of neither list says nothing.
    server.set(418);
    let seen = server.requests().len();
    until("three probes", || server.requests().len() > seen + 3).await;
    assert_eq!(upstream.nodes()[0].health(), Unhealthy);
    server.set(302);
    until_health(&upstream, Healthy).await;
}

#[tokio::test]
async fn a_refused_connection_is_a_tcp_failure() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for kind in [ProbeKind::Http, ProbeKind::Tcp] {
        let upstream = started(spec("127.0.0.1", free, Active { kind, ..quick() }));
        until_health(&upstream, Unhealthy).await;
        assert_eq!(upstream.nodes()[0].health_and_counters().1.tcp_failure, 2);
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let server = Server::start().await;
    server.set(0);
    let active = Active {
        timeout: Duration::from_millis(20),
        ..quick()
    };
    let upstream = started(spec("127.0.0.1", server.address.port(), active));
    until_health(&upstream, Unhealthy).await;
    assert_eq!(
        upstream.nodes()[0].health_and_counters().1.timeout_failure,
        3
    );
}

#[tokio::test]
async fn tcp_probes_ask_for_no_more_than_a_connection() {
    let server = Server::start().await;
    server.set(500);
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let port = Some(server.address.port());
    let upstream = started(spec(
        "127.0.0.1",
        free,
        Active {
            kind: ProbeKind::Tcp,
            port,
            ..quick()
        },
    ));
    let node = &upstream.nodes()[0];
    node.report_tcp_failure();
    node.report_tcp_failure();
    until_health(&upstream, Healthy).await;
}

#[tokio::test]
async fn the_request_is_as_configured() {
    let server = Server::start().await;
    let active = Active {
        method: Method::POST,
        path: "/healthz?deep=1".into(),
        body: Bytes::from_static(b"ping"),
        headers: vec![("x-probe".parse().unwrap(), HeaderValue::from_static("yes"))],
        host: Some("checked.test".into()),
        ..quick()
    };
    let spec = spec("127.0.0.1", server.address.port(), active);
    let _upstream = started(spec.clone());
    until("a probe", || !server.requests().is_empty()).await;
    let request = server.requests().remove(0);
    assert!(
        request.starts_with("POST /healthz?deep=1 HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(request.ends_with("\r\n\r\nping"), "{request}");
    let lines: Vec<String> = request.lines().map(str::to_ascii_lowercase).collect();
    for line in [
        "host: checked.test",
        "x-probe: yes",
        "connection: close",
        "content-length: 4",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} in {request}");
    }
    server.requests.lock().unwrap().clear();
    let pass_host = PassHost::Rewrite(HeaderValue::from_static("rewritten.test"));
    let _upstream = started(Spec { pass_host, ..spec });
    let rewritten = || {
        server
            .requests()
            .iter()
            .any(|r| r.contains("Host: rewritten.test\r\n"))
    };
    until("the upstream's own host", rewritten).await;
}

#[tokio::test]
async fn a_node_given_by_name_is_probed_by_its_name() {
    let server = Server::start().await;
    let upstream = started(spec("node.test", server.address.port(), quick()));
    until("a probe", || {
        server
            .requests()
            .iter()
            .any(|r| r.contains("Host: node.test\r\n"))
    })
    .await;
    let report = upstream.report().unwrap();
    assert_eq!(
        (&*report.nodes[0].ip, &*report.nodes[0].hostname),
        ("127.0.0.1", "node.test")
    );
}

#[tokio::test]
async fn https_probes_verify_certificates_when_they_are_to() {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/upstream/health/testdata/node.test"
    );
    let settings = TlsSettings::intermediate(&format!("{data}.crt"), &format!("{data}.key"));
    let server = Server::start_with(Some(settings.unwrap().build())).await;
    let https = |verify| {
        let active = Active {
            kind: ProbeKind::Https,
            verify,
            ..quick()
        };
        spec("node.test", server.address.port(), active)
    };
    // Nobody known signed it.
    let upstream = started(https(true));
    until_health(&upstream, Unhealthy).await;
    assert_eq!(upstream.nodes()[0].health_and_counters().1.tcp_failure, 2);
    assert_eq!(server.requests().len(), 0);
    // The authority of the upstream did.
    let mut trusting = https(true);
    let pem = std::fs::read_to_string(format!("{data}.crt")).unwrap();
    let base64: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, base64).unwrap();
    trusting.tls.ca = Some(Arc::from(vec![WrappedX509::new(der, parse_x509)]));
    let upstream = started(trusting.clone());
    until("a probe", || !server.requests().is_empty()).await;
    assert_eq!(upstream.nodes()[0].health(), Healthy);
    // It did, for another name.
    trusting.pass_host = PassHost::Rewrite(HeaderValue::from_static("other.test"));
    until_health(&started(trusting), Unhealthy).await;
    // It does not matter who did.
    let seen = server.requests().len();
    let _upstream = started(https(false));
    until("a probe", || server.requests().len() > seen).await;
}

#[tokio::test]
async fn an_interval_of_zero_probes_no_such_nodes() {
    let server = Server::start().await;
    server.set(500);
    let mut active = quick();
    active.unhealthy.interval = Duration::ZERO;
    let upstream = started(spec("127.0.0.1", server.address.port(), active));
    until_health(&upstream, Unhealthy).await;
    server.set(200);
    // No probe will find out, so only traffic can.
    let seen = server.requests().len();
    let deadline = Instant::now() + Duration::from_millis(100);
    until("the wait", || Instant::now() > deadline).await;
    assert_eq!(server.requests().len(), seen);
}

#[tokio::test]
async fn probes_end_with_their_upstream_and_with_its_successor() {
    let server = Server::start().await;
    let environment = environment();
    let spec = spec("127.0.0.1", server.address.port(), quick());
    let first = Upstream::build(spec.clone(), None, &environment).unwrap();
    first.start();
    first.start();
    until("a probe", || !server.requests().is_empty()).await;
    let second = Upstream::build(spec, Some(&first), &environment).unwrap();
    let probing = |upstream: &Upstream| Arc::strong_count(&upstream.nodes()[0]) > 1;
    assert!(
        probing(&first) && !probing(&second),
        "a build is not felt outside"
    );
    second.start();
    until("the end of the first", || !probing(&first)).await;
    assert!(probing(&second));
    let node = second.nodes()[0].clone();
    drop(second);
    until("the end of the second", || Arc::strong_count(&node) == 1).await;
}
