//! What the plugins cost that stand on most routes: one phase of one plugin, over a request that was read.
#![allow(missing_docs, clippy::expect_used)]

use std::{hint::black_box, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use criterion::{Criterion, criterion_group, criterion_main};
use crossway_sdk::{
    bytes::Bytes,
    definition::{Instance, Registry},
    flow::Flow,
    testing::{Bench, Consumers, Scene},
};
use futures::FutureExt;
use pingora_http::ResponseHeader;
use serde_json::{Value, json};

/// Which phase is measured.
#[derive(Clone, Copy)]
enum Phase {
    Rewrite,
    Access,
    HeaderFilter,
    Log,
}

fn registry() -> Registry {
    crossway_plugins::registry().expect("the list of plugins")
}

fn built(registry: &Registry, name: &str, config: Value) -> Arc<dyn Instance> {
    let definition = registry.get(name).expect("a plugin of that name");
    let bench = Bench::default();
    bench
        .build(definition, config)
        .expect("a configuration that is taken")
}

/// A scene among consumers; `lines` are header lines, each ended by CR LF.
fn scene(consumers: Consumers, lines: &str) -> Scene {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let raw = format!("GET /things/42?a=1 HTTP/1.1\r\nHost: api.example.com\r\n{lines}\r\n");
    runtime
        .block_on(Scene::with(raw.as_bytes(), Arc::new(consumers)))
        .expect("a request that can be read")
}

/// A token of an hour of the year 2100, signed with HMAC and SHA-256.
fn token(key: &str, secret: &str) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({ "alg": "HS256", "typ": "JWT" }));
    let payload = part(json!({ "key": key, "exp": 4_102_444_800u64 }));
    let signed = format!("{head}.{payload}");
    let secret = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let signature = ring::hmac::sign(&secret, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn measure(c: &mut Criterion, name: &str, plugin: &dyn Instance, scene: &mut Scene, phase: Phase) {
    let mut head = ResponseHeader::build(200, None).expect("a head");
    c.bench_function(name, |b| {
        b.iter(|| {
            scene.request.response_headers.clear();
            let flow = match phase {
                Phase::Rewrite => scene.rewrite(black_box(plugin)).now_or_never(),
                Phase::Access => scene.access(black_box(plugin)).now_or_never(),
                Phase::HeaderFilter => {
                    let mut exchange = scene.exchange();
                    Some(
                        plugin
                            .header_filter(&mut exchange, &mut head)
                            .map(|()| Flow::Next),
                    )
                }
                Phase::Log => {
                    plugin.log(&mut scene.exchange());
                    Some(Ok(Flow::Next))
                }
            };
            black_box(flow.expect("nothing waits").expect("nothing fails"));
        });
    });
}

fn authenticators(c: &mut Criterion) {
    let registry = registry();
    let mut consumers = Consumers::default();
    for number in 0..1000 {
        let key = registry.get("key-auth").expect("key-auth");
        let credential = json!({ "key": format!("key-{number}") });
        consumers = consumers
            .with(&format!("jack{number}"), key, credential)
            .expect("a consumer");
    }
    let plugin = built(&registry, "key-auth", json!({}));
    let mut scene_of_key = scene(consumers, "apikey: key-500\r\n");
    measure(
        c,
        "key-auth, 1,000 consumers",
        &*plugin,
        &mut scene_of_key,
        Phase::Rewrite,
    );

    let jwt = registry.get("jwt-auth").expect("jwt-auth");
    let secret = "a-secret-of-thirty-two-characters";
    let consumers = Consumers::default()
        .with("jack", jwt, json!({ "key": "jack-key", "secret": secret }))
        .expect("a consumer");
    let plugin = built(&registry, "jwt-auth", json!({}));
    let lines = format!("Authorization: Bearer {}\r\n", token("jack-key", secret));
    let mut scene_of_token = scene(consumers, &lines);
    measure(
        c,
        "jwt-auth, HS256",
        &*plugin,
        &mut scene_of_token,
        Phase::Rewrite,
    );
}

fn deciders(c: &mut Criterion) {
    let registry = registry();
    let networks: Vec<String> = (0..10_000u32)
        .map(|n| format!("10.{}.{}.0/25", n / 256, n % 256))
        .collect();
    for (name, plugin, config, phase) in [
        (
            "limit-count, local",
            "limit-count",
            json!({ "count": 1_000_000_000_000u64, "time_window": 3600 }),
            Phase::Access,
        ),
        (
            "ip-restriction, 10,000 networks",
            "ip-restriction",
            json!({ "blacklist": networks }),
            Phase::Access,
        ),
        (
            "proxy-rewrite, a regex",
            "proxy-rewrite",
            json!({ "regex_uri": ["^/things/(.*)", "/items/$1"] }),
            Phase::Rewrite,
        ),
        ("cors", "cors", json!({}), Phase::HeaderFilter),
        ("prometheus", "prometheus", json!({}), Phase::Log),
    ] {
        let plugin = built(&registry, plugin, config);
        let mut scene = scene(Consumers::default(), "Origin: http://a.test\r\n");
        measure(c, name, &*plugin, &mut scene, phase);
    }
}

fn cache(c: &mut Criterion) {
    let config = json!({ "cache_strategy": "memory", "cache_zone": "memory_cache" });
    let plugin = built(&registry(), "proxy-cache", config);
    let mut first = scene(Consumers::default(), "");
    let missed = first.access(&*plugin).now_or_never();
    assert!(matches!(missed, Some(Ok(Flow::Next))));
    let mut head = ResponseHeader::build(200, None).expect("a head");
    first.request.upstream_head = Some(Box::new(head.clone()));
    first
        .header_filter(&*plugin, &mut head)
        .expect("no plugin fails");
    let mut body = Some(Bytes::from_static(&[b'x'; 1024]));
    plugin
        .body_filter(&mut first.exchange(), &mut body, true)
        .expect("no plugin fails");
    let mut again = scene(Consumers::default(), "");
    measure(
        c,
        "proxy-cache, a hit in memory",
        &*plugin,
        &mut again,
        Phase::Access,
    );
}

criterion_group!(benches, authenticators, deciders, cache);
criterion_main!(benches);
