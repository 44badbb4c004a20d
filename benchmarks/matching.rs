//! What matching costs: `find` with 1, 1,000 and 100,000 routes, and the edit of one route among 100,000.
//!
//! Two shapes, the two extremes: one host with all the paths, and a host for every path.
#![allow(missing_docs, clippy::expect_used)]

use std::{collections::HashMap, hint::black_box, net::IpAddr};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crossway::matcher::{HostPattern, Matcher, MethodSet, Mode, PathPattern, Query, Spec, target};
use http::Method;

const MODE: Mode = Mode::HostThenPath;

#[derive(Clone, Copy)]
enum Shape {
    OneHost,
    HostEach,
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::OneHost => "one host",
            Self::HostEach => "a host each",
        }
    }

    fn host(self, number: usize) -> String {
        match self {
            Self::OneHost => "api.example.com".to_owned(),
            Self::HostEach => format!("tenant-{number}.example.com"),
        }
    }

    fn spec(self, number: usize) -> Spec<u64> {
        Spec {
            key: format!("{number:020}").into(),
            hosts: vec![HostPattern::parse(&self.host(number)).expect("a host")],
            paths: vec![PathPattern::new(format!("/v1/things-{number}/*"), MODE)],
            methods: MethodSet::new(["GET", "POST"]).expect("methods"),
            remote: None,
            vars: None,
            priority: 0,
            value: number as u64,
        }
    }

    fn matcher(self, routes: usize) -> Matcher<u64> {
        Matcher::new(MODE, (0..routes).map(|number| self.spec(number)))
    }
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("find");
    let nothing: HashMap<String, String> = HashMap::new();
    for shape in [Shape::OneHost, Shape::HostEach] {
        for routes in [1usize, 1_000, 100_000] {
            let matcher = shape.matcher(routes);
            // Spread over the routes, so that the caches see what a busy gateway's see.
            let asked: Vec<_> = (0..4096usize)
                .map(|step| (step * 7919) % routes)
                .map(|number| (shape.host(number), format!("/v1/things-{number}/items/42")))
                .collect();
            let mut next = asked.iter().cycle();
            group.bench_function(BenchmarkId::new(shape.name(), routes), |b| {
                b.iter(|| {
                    let (host, path) = next.next().expect("an endless iterator");
                    let query = Query {
                        host,
                        authority: host,
                        path,
                        method: &Method::GET,
                        remote: IpAddr::from([127, 0, 0, 1]),
                        vars: &nothing,
                        body_read: false,
                    };
                    let found = matcher.find(black_box(&query)).found();
                    *found.expect("every question has an answer").value
                });
            });
        }
    }
    group.finish();
}

fn edit(c: &mut Criterion) {
    let mut group = c.benchmark_group("edit one of 100000");
    for shape in [Shape::OneHost, Shape::HostEach] {
        let mut matcher = shape.matcher(100_000);
        let mut number = 0;
        group.bench_function(shape.name(), |b| {
            b.iter(|| {
                number = (number + 7919) % 100_000;
                matcher = matcher.edit([""; 0], [shape.spec(number)]);
            });
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build 100000");
    group.sample_size(10);
    for shape in [Shape::OneHost, Shape::HostEach] {
        group.bench_function(shape.name(), |b| b.iter(|| shape.matcher(100_000).len()));
    }
    group.finish();
}

fn normalise(c: &mut Criterion) {
    let mut group = c.benchmark_group("normalise");
    for (name, path) in [
        ("normal", "/v1/things-12345/items/42?page=2&size=50"),
        (
            "encoded",
            "/v1//things%2D12345/./items/x/../42?page=2&size=50",
        ),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| target::normalise(black_box(path.as_bytes()), target::Options::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, find, edit, build, normalise);
criterion_main!(benches);
