//! Picking a node, for each balancer, with 3 and with 100 nodes; with and without health checks.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use crossway::upstream::{
    Environment, NodeSpec, Spec, Tried, Upstream,
    health::{Checks, Passive},
    names::{Answer, Resolve, ResolveError},
};
use crossway_sdk::async_trait::async_trait;
use std::{hint::black_box, sync::Arc};

struct NoNames;

#[async_trait]
impl Resolve for NoNames {
    async fn resolve(&self, _name: &str) -> Result<Answer, ResolveError> {
        Err(ResolveError::new("no such name"))
    }
}

fn upstream(balance: &str, count: u8, weight: fn(u8) -> u32, checks: bool) -> Arc<Upstream> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let environment = Environment::new(runtime.handle().clone(), Arc::new(NoNames), None);
    let nodes = (0..count)
        .map(|n| NodeSpec::new(format!("10.0.0.{n}"), 80, weight(n)))
        .collect();
    let mut spec = Spec::new("upstreams/1", nodes);
    spec.balance = balance.into();
    spec.checks = checks.then(|| Checks {
        active: None,
        passive: Some(Passive::default()),
    });
    Upstream::build(spec, None, &Arc::new(environment)).unwrap()
}

fn pick(c: &mut Criterion) {
    for balance in ["roundrobin", "chash", "least_conn", "ewma"] {
        for count in [3, 100] {
            let upstream = upstream(balance, count, |_| 1, true);
            let mut key = 0u64;
            c.bench_function(&format!("pick/{balance}/{count}"), |b| {
                b.iter(|| {
                    key = key.wrapping_add(0x9e37_79b9) & 0xffff_ffff;
                    black_box(upstream.pick(key, &Tried::default()))
                        .unwrap()
                        .index()
                });
            });
        }
    }
    let lone = upstream("roundrobin", 1, |_| 1, false);
    c.bench_function("pick/lone", |b| {
        b.iter(|| black_box(lone.pick(0, &Tried::default())).unwrap().index());
    });
    let long = upstream("roundrobin", 100, |n| 1000 + u32::from(n), false);
    c.bench_function("pick/roundrobin/long cycle", |b| {
        b.iter(|| black_box(long.pick(0, &Tried::default())).unwrap().index());
    });
    let half = upstream("roundrobin", 100, |_| 1, true);
    for node in half.nodes().iter().take(50) {
        (0..2).for_each(|_| node.report_tcp_failure());
    }
    c.bench_function("pick/roundrobin/half unhealthy", |b| {
        b.iter(|| black_box(half.pick(0, &Tried::default())).unwrap().index());
    });
    let picked = lone.pick(0, &Tried::default()).unwrap();
    c.bench_function("peer", |b| b.iter(|| black_box(picked.peer(None))));
}

criterion_group!(benches, pick);
criterion_main!(benches);
