#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::{
    BuildError, Environment, NodeSpec, OnAllUnhealthy, PassHost, PickError, Scheme, Spec, Tried,
    Upstream,
    health::{Active, Checks, Health, Passive, ProbeKind},
    names::{Answer, Resolve, ResolveError},
};
use async_trait::async_trait;
use crossway_sdk::balance::{Balance, Outcome, Pick};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, _name: &str) -> Result<Answer, ResolveError> {
        Err(ResolveError::new("no such name"))
    }
}

/// An environment whose runtime runs nothing.
fn environment() -> Arc<Environment> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    Arc::new(Environment::new(
        runtime.handle().clone(),
        Arc::new(NoNames),
        None,
    ))
}

fn nodes(nodes: &[(&str, u32, i32)]) -> Vec<NodeSpec> {
    let node = |&(host, weight, priority): &(&str, u32, i32)| NodeSpec {
        priority,
        ..NodeSpec::new(host, 80, weight)
    };
    nodes.iter().map(node).collect()
}

fn spec(list: &[(&str, u32, i32)]) -> Spec {
    Spec::new("upstreams/1", nodes(list))
}

fn checked(list: &[(&str, u32, i32)]) -> Spec {
    let passive = Passive {
        http_failures: 1,
        successes: 1,
        ..Passive::default()
    };
    Spec {
        checks: Some(Checks {
            active: None,
            passive: Some(passive),
        }),
        ..spec(list)
    }
}

fn build(spec: Spec) -> Arc<Upstream> {
    Upstream::build(spec, None, &environment()).unwrap()
}

fn rebuild(spec: Spec, previous: &Arc<Upstream>) -> Arc<Upstream> {
    Upstream::build(spec, Some(previous), &previous.environment).unwrap()
}

/// The hosts of picks that all fail, in order, and why there was no further one.
fn exhaust(upstream: &Upstream) -> (Vec<String>, PickError) {
    let (mut tried, mut hosts) = (Tried::default(), Vec::new());
    loop {
        match upstream.pick(0, &tried) {
            Ok(picked) => {
                tried.insert(picked.index());
                hosts.push(picked.node().host().to_string());
            }
            Err(error) => return (hosts, error),
        }
    }
}

fn node<'a>(upstream: &'a Upstream, host: &str) -> &'a super::Node {
    upstream
        .nodes()
        .iter()
        .find(|node| &**node.host() == host)
        .unwrap()
}

fn fail(upstream: &Upstream, host: &str) {
    node(upstream, host).report_http(500);
    assert_eq!(node(upstream, host).health(), Health::Unhealthy);
}

const A: &str = "10.0.0.1";
const B: &str = "10.0.0.2";
const C: &str = "10.0.0.3";

#[test]
fn lower_priorities_wait_until_the_higher_ones_are_tried() {
    let upstream = build(spec(&[(C, 1, -1), (A, 1, 5), (B, 1, 5)]));
    let (hosts, error) = exhaust(&upstream);
    assert!(hosts == [A, B, C] || hosts == [B, A, C], "{hosts:?}");
    assert_eq!(error, PickError::AllTried("upstreams/1".into()));
    assert_eq!(error.status(), 502);
}

#[test]
fn lower_priorities_serve_when_the_higher_ones_are_unhealthy() {
    let upstream = build(checked(&[(A, 1, 1), (B, 1, 0), (C, 1, 0)]));
    fail(&upstream, A);
    for _ in 0..20 {
        assert_ne!(
            &**upstream.pick(0, &Tried::default()).unwrap().node().host(),
            A
        );
    }
    assert_eq!(
        exhaust(&upstream).0.len(),
        2,
        "the unhealthy one is no last resort"
    );
}

#[test]
fn all_unhealthy_means_all_are_used_or_none() {
    let list = [(A, 1, 1), (B, 1, 0)];
    for (mode, expected) in [(OnAllUnhealthy::UseAll, 2), (OnAllUnhealthy::Fail, 0)] {
        let upstream = build(Spec {
            on_all_unhealthy: mode,
            ..checked(&list)
        });
        fail(&upstream, A);
        fail(&upstream, B);
        let (hosts, error) = exhaust(&upstream);
        assert_eq!(hosts.len(), expected);
        match mode {
            OnAllUnhealthy::UseAll => assert_eq!(error.status(), 502),
            OnAllUnhealthy::Fail => {
                assert_eq!(error, PickError::AllUnhealthy("upstreams/1".into()));
                assert_eq!(error.status(), 503);
            }
        }
        node(&upstream, B).report_http(200);
        assert_eq!(exhaust(&upstream).0, [B]);
    }
}

#[test]
fn a_lone_node_serves_whatever_its_weight_and_health() {
    let upstream = build(checked(&[(A, 0, 0)]));
    fail(&upstream, A);
    assert!(upstream.pick(0, &Tried::default()).is_ok());
    let closed = build(Spec {
        on_all_unhealthy: OnAllUnhealthy::Fail,
        ..checked(&[(A, 0, 0)])
    });
    fail(&closed, A);
    assert!(closed.pick(0, &Tried::default()).is_err());
}

#[test]
fn a_lone_node_is_tried_again() {
    let mut tried = Tried::default();
    tried.insert(0);
    let lone = build(Spec {
        retries: Some(2),
        ..spec(&[(A, 1, 0)])
    });
    assert_eq!(lone.attempts(), 3);
    assert_eq!(lone.pick(0, &tried).unwrap().index(), 0);
    // One of a priority is not alone.
    let upstream = build(spec(&[(A, 1, 1), (B, 1, 0)]));
    assert_eq!(upstream.pick(0, &tried).unwrap().index(), 1);
}

#[test]
fn no_nodes_are_503() {
    let error = build(spec(&[])).pick(0, &Tried::default()).unwrap_err();
    assert_eq!(error.status(), 503);
    assert_eq!(
        error.to_string(),
        "no valid upstream node: upstream upstreams/1 has no nodes"
    );
}

#[test]
fn names_that_are_not_resolved_are_503() {
    let error = build(spec(&[("a.test", 1, 0)]))
        .pick(0, &Tried::default())
        .unwrap_err();
    assert_eq!(error, PickError::Unresolved("upstreams/1".into()));
    assert_eq!(error.status(), 503);
    // Beside a node with an address, one without is left out.
    let upstream = build(spec(&[("a.test", 1, 0), (A, 1, 0)]));
    assert_eq!(exhaust(&upstream).0, [A]);
}

#[test]
fn of_a_node_that_is_listed_twice_the_last_weight_counts() {
    let upstream = build(spec(&[(A, 1, 0), (B, 1, 0), (A, 7, 0), (A, 3, 1)]));
    let list: Vec<_> = upstream
        .nodes()
        .iter()
        .map(|n| (&**n.host(), n.weight(), n.priority()))
        .collect();
    assert_eq!(list, [(A, 3, 1), (A, 7, 0), (B, 1, 0)]);
    // In two priorities it is one node all the same.
    let picked = upstream.pick(0, &Tried::default()).unwrap();
    assert!(
        upstream
            .nodes()
            .iter()
            .all(|n| n.inflight() == u32::from(&**n.host() == A))
    );
    drop(picked);
    assert!(upstream.nodes().iter().all(|n| n.inflight() == 0));
}

#[test]
fn attempts_are_retries_and_one() {
    let attempts = |list: &[(&str, u32, i32)], retries| {
        build(Spec {
            retries,
            ..spec(list)
        })
        .attempts()
    };
    let three = [(A, 1, 0), (B, 1, 0), (C, 1, 1)];
    assert_eq!(attempts(&three, None), 3);
    assert_eq!(attempts(&three, Some(0)), 1);
    assert_eq!(attempts(&three, Some(9)), 10);
    assert_eq!(attempts(&[], None), 1);
}

#[test]
fn what_cannot_be_is_refused() {
    let refuse = |spec| Upstream::build(spec, None, &environment()).unwrap_err();
    let error = refuse(Spec {
        balance: "p2c".into(),
        ..spec(&[(A, 1, 0)])
    });
    assert!(matches!(error, BuildError::Balancer(_)), "{error}");
    for host in ["", "a b", "a/b", "[::1", "1:2", "a:80"] {
        let error = refuse(spec(&[(host, 1, 0)]));
        assert_eq!(
            error.to_string(),
            format!("`{host}` is neither a host name nor an address")
        );
    }
}

#[test]
fn hosts_of_nodes_name_ports_that_are_not_the_scheme_s() {
    let header = |scheme, host: &str, port| {
        let nodes = vec![NodeSpec::new(host, port, 1)];
        let upstream = build(Spec {
            scheme,
            ..Spec::new("a", nodes)
        });
        upstream.nodes()[0]
            .host_header()
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(header(Scheme::Http, "a.test", 80), "a.test");
    assert_eq!(header(Scheme::Grpcs, "a.test", 80), "a.test:80");
    assert_eq!(header(Scheme::Https, "a.test", 443), "a.test");
    assert_eq!(header(Scheme::Http, "[::1]", 8080), "[::1]:8080");
}

#[test]
fn the_name_asked_for_in_tls_follows_the_client() {
    let upstream = build(Spec {
        scheme: Scheme::Https,
        ..spec(&[(A, 1, 0)])
    });
    let picked = upstream.pick(0, &Tried::default()).unwrap();
    assert_eq!(picked.peer(Some("api.test:8443")).sni, "api.test");
    assert_eq!(picked.peer(Some("b\u{f6}se")).sni, A);
    assert_eq!(picked.peer(None).sni, A);
    let fixed = Spec {
        pass_host: PassHost::Node,
        scheme: Scheme::Https,
        ..spec(&[(A, 1, 0)])
    };
    let picked = build(fixed).pick(0, &Tried::default()).unwrap();
    assert_eq!(picked.peer(Some("api.test")).sni, A);
}

#[test]
fn chash_is_by_the_client_when_no_key_is_given() {
    let request = HashMap::from([("remote_addr".to_owned(), "10.1.1.1".to_owned())]);
    let list = [(A, 1, 0), (B, 1, 0)];
    let chash = build(Spec {
        balance: "chash".into(),
        ..spec(&list)
    });
    assert_eq!(
        chash.hash_key(&request),
        u64::from(crc32fast::hash(b"10.1.1.1"))
    );
    assert_eq!(build(spec(&list)).hash_key(&request), 0);
}

#[test]
fn health_and_load_survive_edits() {
    let before = build(checked(&[(A, 1, 0), (B, 1, 0)]));
    fail(&before, A);
    let _under_way = before.pick(0, &Tried::default()).unwrap();
    // Another node, other weights, another priority, another balancer, another threshold.
    let mut edited = checked(&[(C, 9, 3), (A, 5, 2), (B, 1, 0)]);
    edited.balance = "least_conn".into();
    edited.checks = Some(Checks {
        active: None,
        passive: Some(Passive::default()),
    });
    let after = rebuild(edited, &before);
    assert_eq!(node(&after, A).health(), Health::Unhealthy);
    assert_eq!(node(&after, B).health(), Health::Healthy);
    assert_eq!(node(&after, B).inflight(), 1);
    // What the old one learns the new one knows: requests that are under way still report.
    node(&before, A).report_http(200);
    assert_eq!(node(&after, A).health(), Health::Healthy);
}

#[test]
fn another_key_or_port_is_another_node() {
    let before = build(checked(&[(A, 1, 0)]));
    fail(&before, A);
    let other_key = rebuild(
        Spec {
            key: "upstreams/2".into(),
            ..checked(&[(A, 1, 0)])
        },
        &before,
    );
    assert_eq!(node(&other_key, A).health(), Health::Healthy);
    let mut moved = checked(&[(A, 1, 0)]);
    moved.nodes[0].port = 81;
    assert_eq!(node(&rebuild(moved, &before), A).health(), Health::Healthy);
}

#[test]
fn health_starts_anew_when_probes_ask_something_else() {
    let with = |active| {
        let checks = checked(&[]).checks.unwrap();
        Spec {
            checks: Some(Checks {
                active: Some(active),
                ..checks
            }),
            ..checked(&[(A, 1, 0)])
        }
    };
    let before = build(with(Active::default()));
    fail(&before, A);
    let slower = Active {
        timeout: Duration::from_secs(9),
        ..Active::default()
    };
    assert_eq!(
        node(&rebuild(with(slower), &before), A).health(),
        Health::Unhealthy
    );
    let others = [
        Active {
            path: "/healthz".into(),
            ..Active::default()
        },
        Active {
            kind: ProbeKind::Tcp,
            ..Active::default()
        },
        Active {
            port: Some(9000),
            ..Active::default()
        },
    ];
    for other in others {
        assert_eq!(
            node(&rebuild(with(other), &before), A).health(),
            Health::Healthy
        );
    }
}

#[test]
fn without_checks_reports_do_not_count() {
    let upstream = build(spec(&[(A, 1, 0)]));
    for _ in 0..20 {
        upstream.nodes()[0].report_http(500);
        upstream.nodes()[0].report_tcp_failure();
        upstream.nodes()[0].report_timeout();
    }
    assert_eq!(upstream.nodes()[0].health(), Health::Healthy);
    assert_eq!(upstream.report(), None);
    let mut disabled = Arc::into_inner(environment()).unwrap();
    disabled.checks_enabled = false;
    let upstream = Upstream::build(checked(&[(A, 1, 0)]), None, &Arc::new(disabled)).unwrap();
    upstream.nodes()[0].report_http(500);
    assert_eq!(upstream.nodes()[0].health(), Health::Healthy);
}

#[test]
fn failures_of_traffic_count_when_there_are_checks() {
    let active_only = || Spec {
        checks: Some(Checks::default()),
        ..spec(&[(A, 1, 0), (B, 1, 0)])
    };
    let upstream = build(active_only());
    let a = node(&upstream, A);
    (0..9).for_each(|_| a.report_http(500));
    assert_eq!(a.health(), Health::Healthy, "statuses need passive checks");
    a.report_tcp_failure();
    assert_eq!(a.health(), Health::MostlyHealthy);
    a.report_tcp_failure();
    assert_eq!(a.health(), Health::Unhealthy);
    let b = node(&upstream, B);
    (0..6).for_each(|_| b.report_timeout());
    assert_eq!(b.health(), Health::MostlyHealthy);
    b.report_timeout();
    assert_eq!(b.health(), Health::Unhealthy);
}

#[test]
fn the_report_has_the_shape_of_the_status_api() {
    let upstream = build(checked(&[(A, 1, 0)]));
    fail(&upstream, A);
    let report = serde_json::to_value(upstream.report().unwrap()).unwrap();
    let expected = serde_json::json!({
        "name": "upstreams/1", "type": "http",
        "nodes": [{
            "ip": A, "port": 80, "hostname": A, "status": "unhealthy",
            "counter": {"success": 0, "tcp_failure": 0, "http_failure": 1, "timeout_failure": 0},
        }],
    });
    assert_eq!(report, expected);
}

#[derive(Default)]
struct Calls(Mutex<Vec<String>>);

/// A third party's balancer that notes what it hears.
struct Noting(Arc<Calls>, usize);

impl Balance for Noting {
    fn pick(&self, pick: &Pick<'_>) -> Option<usize> {
        (0..self.1).find(|&node| pick.is_usable(node))
    }
    fn started(&self, node: usize) {
        self.0.0.lock().unwrap().push(format!("started {node}"));
    }
    fn finished(&self, node: usize, outcome: &Outcome) {
        self.0
            .0
            .lock()
            .unwrap()
            .push(format!("finished {node} failed={}", outcome.failed));
    }
}

fn noting() -> (Arc<Calls>, Arc<Environment>) {
    let calls = Arc::new(Calls::default());
    let mut environment = Arc::into_inner(environment()).unwrap();
    let heard = calls.clone();
    environment.balancers = environment
        .balancers
        .with("noting", move |nodes| {
            Box::new(Noting(heard.clone(), nodes.len()))
        })
        .with("mad", |_| Box::new(Mad));
    (calls, Arc::new(environment))
}

struct Mad;

impl Balance for Mad {
    fn pick(&self, _pick: &Pick<'_>) -> Option<usize> {
        Some(1)
    }
}

#[test]
fn a_balancer_hears_of_each_request_once() {
    let (calls, environment) = noting();
    let spec = Spec {
        balance: "noting".into(),
        ..spec(&[(A, 1, 0), (B, 1, 0)])
    };
    let upstream = Upstream::build(spec, None, &environment).unwrap();
    let mut tried = Tried::default();
    let mut picked = upstream.pick(0, &tried).unwrap();
    assert_eq!(picked.node().inflight(), 1);
    tried.insert(picked.index());
    picked.report(Outcome {
        failed: true,
        ..Outcome::default()
    });
    drop(picked);
    drop(upstream.pick(0, &tried).unwrap());
    assert!(upstream.nodes().iter().all(|node| node.inflight() == 0));
    let expected = [
        "started 0",
        "finished 0 failed=true",
        "started 1",
        "finished 1 failed=false",
    ];
    assert_eq!(*calls.0.lock().unwrap(), expected);
}

#[test]
fn a_balancer_that_picks_a_tried_or_absent_node_is_named() {
    let (_, environment) = noting();
    let mad = |list: &[(&str, u32, i32)]| {
        let spec = Spec {
            balance: "mad".into(),
            ..spec(list)
        };
        Upstream::build(spec, None, &environment).unwrap()
    };
    let upstream = mad(&[(A, 1, 0), (B, 1, 0), (C, 1, 1)]);
    let mut tried = Tried::default();
    assert_eq!(
        upstream.pick(0, &tried).unwrap().index(),
        0,
        "a lone node is not asked for"
    );
    tried.insert(0);
    assert_eq!(upstream.pick(0, &tried).unwrap().index(), 2);
    tried.insert(2);
    let error = upstream.pick(0, &tried).unwrap_err();
    assert_eq!(
        error.to_string(),
        "balancer `mad` of upstream upstreams/1 picked a node that may not be used"
    );
}

#[test]
fn a_balancer_lives_on_when_its_nodes_stay() {
    let list = [(A, 1, 0), (B, 2, 0), (C, 1, 1)];
    let before = build(spec(&list));
    let balance = |upstream: &Upstream, group: usize| {
        upstream.groups[group]
            .balance
            .clone()
            .map(|b| Arc::as_ptr(&b).cast::<()>())
    };
    let same = rebuild(
        Spec {
            retries: Some(3),
            ..spec(&list)
        },
        &before,
    );
    assert_eq!(balance(&before, 1), balance(&same, 1));
    assert!(balance(&before, 1).is_some());
    let weights = rebuild(spec(&[(A, 1, 0), (B, 3, 0)]), &before);
    assert_ne!(balance(&before, 1), balance(&weights, 0));
    let other = rebuild(
        Spec {
            balance: "ewma".into(),
            ..spec(&list)
        },
        &before,
    );
    assert_ne!(balance(&before, 1), balance(&other, 1));
}
