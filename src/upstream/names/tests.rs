#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{Answer, Lifetimes, Names, Resolve, ResolveError, SystemResolver};
use crate::upstream::{Environment, NodeSpec, PickError, Spec, Tried, Upstream};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

/// Names as a test sets them, and how often each was asked for.
#[derive(Default)]
struct Zone {
    addresses: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: Mutex<HashMap<String, usize>>,
}

impl Zone {
    fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        self.addresses
            .lock()
            .unwrap()
            .insert(name.to_owned(), addresses);
    }

    fn remove(&self, name: &str) {
        self.addresses.lock().unwrap().remove(name);
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

#[async_trait]
impl Resolve for Zone {
    async fn resolve(&self, name: &str) -> Result<Answer, ResolveError> {
        *self
            .asked
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default() += 1;
        if name == "never.test" {
            std::future::pending::<()>().await;
        }
        match self.addresses.lock().unwrap().get(name) {
            Some(addresses) => Ok(Answer {
                addresses: addresses.clone(),
                ttl: Duration::ZERO,
            }),
            None => Err(ResolveError::new("no such name")),
        }
    }
}

fn zone() -> (Arc<Zone>, Arc<Environment>) {
    let zone = Arc::new(Zone::default());
    let mut environment = Environment::new(Handle::current(), zone.clone(), None);
    let short = Duration::from_millis(2);
    let lifetimes = Lifetimes {
        min: short,
        max: short,
        max_retry: short,
    };
    environment.names = Names::new(zone.clone(), lifetimes);
    (zone, Arc::new(environment))
}

fn upstream(names: &[&str], environment: &Arc<Environment>) -> Arc<Upstream> {
    let nodes = names
        .iter()
        .map(|name| NodeSpec::new(*name, 80, 1))
        .collect();
    Upstream::build(Spec::new("upstreams/1", nodes), None, environment).unwrap()
}

fn picked(upstream: &Upstream) -> Result<String, PickError> {
    upstream
        .pick(0, &Tried::default())
        .map(|picked| picked.address().inet().unwrap().ip().to_string())
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn names_are_resolved_before_and_while_they_serve() {
    let (zone, environment) = zone();
    zone.set("a.test", &["10.0.0.1"]);
    let upstream = upstream(&["a.test"], &environment);
    assert_eq!(zone.asked("a.test"), 0, "a build is not felt outside");
    assert!(picked(&upstream).is_err());
    upstream.resolve_first(Duration::from_secs(10)).await;
    assert_eq!(picked(&upstream).unwrap(), "10.0.0.1");
    zone.set("a.test", &["10.0.0.2"]);
    until("the new address", || {
        picked(&upstream).unwrap() == "10.0.0.2"
    })
    .await;
    let node = &upstream.nodes()[0];
    let address = node.address().unwrap();
    assert_eq!(
        node.peer(&address, None)._address.to_string(),
        "10.0.0.2:80"
    );
}

#[tokio::test]
async fn the_last_good_answer_is_kept() {
    let (zone, environment) = zone();
    zone.set("a.test", &["10.0.0.1"]);
    let upstream = upstream(&["a.test"], &environment);
    upstream.resolve_first(Duration::from_secs(10)).await;
    zone.remove("a.test");
    let asked = zone.asked("a.test");
    until("two failures", || zone.asked("a.test") > asked + 2).await;
    assert_eq!(picked(&upstream).unwrap(), "10.0.0.1");
    zone.set("a.test", &[]);
    let asked = zone.asked("a.test");
    until("two empty answers", || zone.asked("a.test") > asked + 2).await;
    assert_eq!(picked(&upstream).unwrap(), "10.0.0.1");
}

#[tokio::test]
async fn addresses_take_turns() {
    let (zone, environment) = zone();
    zone.set("a.test", &["10.0.0.1", "10.0.0.2", "::1"]);
    let upstream = upstream(&["a.test"], &environment);
    upstream.resolve_first(Duration::from_secs(10)).await;
    let mut seen: Vec<String> = (0..6).map(|_| picked(&upstream).unwrap()).collect();
    assert_eq!(seen[..3], seen[3..]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen, ["10.0.0.1", "10.0.0.2", "::1"]);
}

#[tokio::test]
async fn waiting_for_names_has_an_end_and_a_late_name_serves_when_it_comes() {
    let (zone, environment) = zone();
    let late = upstream(&["late.test", "never.test"], &environment);
    let limit = Duration::from_millis(30);
    tokio::time::timeout(Duration::from_secs(10), late.resolve_first(limit))
        .await
        .unwrap();
    assert!(matches!(picked(&late), Err(PickError::Unresolved(_))));
    zone.set("late.test", &["10.0.0.9"]);
    until("the name", || picked(&late).is_ok()).await;
    // A name that fails is answered too: nobody waits for it to the end.
    let gone = upstream(&["gone.test"], &environment);
    let wait = gone.resolve_first(Duration::from_secs(600));
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap();
}

#[tokio::test]
async fn upstreams_share_a_name_and_the_last_one_ends_it() {
    let (zone, environment) = zone();
    zone.set("a.test", &["10.0.0.1"]);
    let one = upstream(&["a.test"], &environment);
    one.resolve_first(Duration::from_secs(10)).await;
    let other = upstream(&["a.test", "10.0.0.7"], &environment);
    assert_eq!(environment.names.count(), 1);
    assert!(other.nodes()[0].address().is_some(), "known from the start");
    drop(one);
    other.start();
    let asked = zone.asked("a.test");
    until("it goes on", || zone.asked("a.test") > asked + 2).await;
    drop(other);
    assert_eq!(environment.names.count(), 0);
    // The task ends: nobody but the environment and this test holds the zone's names.
    let names = &environment.names;
    until("the task's end", || Arc::strong_count(names) == 1).await;
}

/// A name server that knows `a.test`: 10.0.0.5 for 70 seconds.
async fn name_server() -> std::net::SocketAddr {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut packet = [0; 1024];
        while let Ok((_, client)) = socket.recv_from(&mut packet).await {
            // RFC 1035 §4.1: a header of 12 bytes, labels up to an empty one, type and class.
            let labels = packet[12..].iter().position(|byte| *byte == 0).unwrap();
            let question = &packet[12..12 + labels + 5];
            let known = question.starts_with(b"\x01a\x04test\0\0\x01");
            let flags: [u8; 2] = if known { [0x81, 0x80] } else { [0x81, 0x83] };
            let counts = [0, 1, 0, u8::from(known), 0, 0, 0, 0];
            let mut answer = [&packet[..2], &flags, &counts, question].concat();
            if known {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 70, 0, 4, 10, 0, 0, 5]);
            }
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn the_resolver_asks_the_servers_of_the_settings() {
    let resolver = SystemResolver::with_servers(&[name_server().await]).unwrap();
    let answer = resolver.resolve("a.test").await.unwrap();
    assert_eq!(answer.addresses, ["10.0.0.5".parse::<IpAddr>().unwrap()]);
    assert!(
        (60..=70).contains(&answer.ttl.as_secs()),
        "{:?}",
        answer.ttl
    );
    assert!(resolver.resolve("b.test").await.is_err());
    // `/etc/hosts` goes first, and IPv4 before IPv6.
    let local = resolver.resolve("localhost").await.unwrap();
    assert!(
        local
            .addresses
            .iter()
            .all(|address| address.is_loopback() && address.is_ipv4())
    );
}

#[tokio::test]
async fn probes_leave_the_turns_of_requests_alone() {
    let (zone, environment) = zone();
    zone.set("a.test", &["10.0.0.1", "10.0.0.2"]);
    let upstream = upstream(&["a.test"], &environment);
    upstream.resolve_first(Duration::from_secs(10)).await;
    let first = picked(&upstream).unwrap();
    assert!(upstream.nodes()[0].address_to_probe().is_some());
    assert_ne!(picked(&upstream).unwrap(), first);
}
