//! What a chain costs: to dispatch a phase over it, to compile one, and to let a consumer's plugins join it.
#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use crossway::chain::{Chain, Entry, Level, Outcome};
use crossway_sdk::{
    build::{BuildCx, BuildError},
    exchange::Exchange,
    flow::{Error, Flow, Step},
    phases,
    plugin::{Phases, Plugin},
    slots::ChainOf,
    testing::Scene,
};
use futures::FutureExt;
use pingora_http::ResponseHeader;
use serde_json::Value;

/// Looks at the request and goes on, at once or as a future that is ready when it is asked.
struct Passer {
    waits: bool,
}

#[phases]
impl Plugin for Passer {
    const NAME: &'static str = "passer";
    const PRIORITY: i32 = 0;
    type Config = Value;

    fn build(_: Value, cx: &BuildCx<'_>) -> Result<Self, BuildError> {
        Err(cx.error("", "made by the benchmark itself"))
    }

    fn access<'a>(&'a self, ex: &'a mut Exchange<'_>) -> Step<'a> {
        black_box(ex.request.host.len());
        match self.waits {
            true => Step::wait(async move {
                black_box(ex.request.host.len());
                Ok(Flow::Next)
            }),
            false => Step::next(),
        }
    }

    fn header_filter(&self, _: &mut Exchange<'_>, head: &mut ResponseHeader) -> Result<(), Error> {
        black_box(head.status);
        Ok(())
    }
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

fn entry(number: usize, phases: Phases, waits: bool) -> Entry {
    Entry {
        name: NAMES[number % NAMES.len()],
        priority: i32::try_from(number * 7919 % 101).expect("a small number"),
        phases,
        auth: false,
        prefer_route: false,
        level: Level::Route,
        origin: "routes/1".into(),
        instance: Arc::new(Passer { waits }),
        meta: None,
    }
}

/// Five plugins, of which two take part in access and in the header filter; the others have work in `log`.
fn five(waits: bool) -> Vec<Entry> {
    let phases = |number| match number {
        1 | 3 => Phases::ACCESS | Phases::HEADER_FILTER,
        _ => Phases::LOG,
    };
    (0..5)
        .map(|number| entry(number, phases(number), waits))
        .collect()
}

fn scene() -> Scene {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let request = b"GET /things/42 HTTP/1.1\r\nHost: api.example.com\r\n\r\n";
    runtime
        .block_on(Scene::new(request))
        .expect("a request that can be read")
}

fn dispatch(c: &mut Criterion) {
    let mut group = c.benchmark_group("dispatch");
    let mut scene = scene();
    let chains = [
        ("access, no plugins", Vec::new()),
        ("access, 2 of 5", five(false)),
        ("access, 2 of 5, both wait", five(true)),
    ];
    for (name, entries) in chains {
        let chain = Chain::compile(ChainOf::Route, entries);
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut exchange = scene.exchange();
                let outcome = black_box(&chain).access(&mut exchange).now_or_never();
                assert!(matches!(outcome, Some(Outcome::Continue)));
            });
        });
    }
    let mut head = ResponseHeader::build(200, None).expect("a head");
    for (name, entries) in [
        ("header_filter, no plugins", Vec::new()),
        ("header_filter, 2 of 5", five(false)),
    ] {
        let chain = Chain::compile(ChainOf::Route, entries);
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut exchange = scene.exchange();
                let done = black_box(&chain).header_filter(&mut exchange, &mut head);
                done.expect("no plugin fails");
            });
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("build");
    let entries = five(false);
    group.bench_function("compile 5", |b| {
        b.iter(|| Chain::compile(ChainOf::Route, black_box(entries.clone())));
    });
    let chain = Chain::compile(ChainOf::Route, entries);
    // One takes the place of the route's, one is new.
    let joining = [4, 5].map(|number| Entry {
        level: Level::Consumer,
        ..entry(number, Phases::ACCESS, false)
    });
    group.bench_function("2 of a consumer join 5", |b| {
        b.iter(|| black_box(&chain).with(black_box(joining.to_vec())));
    });
    group.finish();
}

criterion_group!(benches, dispatch, build);
criterion_main!(benches);
