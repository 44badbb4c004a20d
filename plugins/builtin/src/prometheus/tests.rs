use super::Prometheus;
use crate::testing::*;
use crossway_sdk::{
    consumer::{Consumer, Identity},
    definition::{Definition, Instance},
    request::{ResponseSource, Try},
    route::{Matched, RouteInfo},
    testing::{Bench, Scene},
};
use prometheus::{Encoder, Registry, TextEncoder};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

fn definition() -> Definition {
    Definition::of::<Prometheus>()
}

fn bench(attributes: Value, metadata: Value) -> Bench {
    let mut bench = Bench::default();
    if !attributes.is_null() {
        bench.attributes.insert("prometheus".to_owned(), attributes);
    }
    bench.metadata = Some(metadata).filter(|m| !m.is_null());
    bench
}

fn text(registry: &Registry) -> String {
    let mut out = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut out)
        .unwrap();
    String::from_utf8(out).unwrap()
}

/// Value of the series whose labels include all of these.
fn value(registry: &Registry, name: &str, labels: &[&str]) -> Option<f64> {
    let text = text(registry);
    let mut found = text.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let value = found.next()?.rsplit_once(' ')?.1.parse().ok();
    assert!(found.next().is_none(), "several series of {name}:\n{text}");
    value
}

async fn finished() -> Scene {
    let mut scene = scene(get("/a?q=1", "X-Tenant: t1\r\n")).await;
    let request = &mut scene.request;
    request.route = Some(Arc::new(RouteInfo {
        id: "1".into(),
        name: Some("shop".into()),
        service_id: Some("2".into()),
        service_name: Some("backend".into()),
        ..RouteInfo::default()
    }));
    request.matched = Some(Matched {
        path: "/a*".into(),
        host: Some("a.example".into()),
    });
    let consumer = Consumer {
        serial: 1,
        username: "jack".into(),
        group_id: None,
        labels: Default::default(),
        username_header: "jack".parse().unwrap(),
        custom_id: None,
    };
    request.identity = Some(Identity {
        consumer: Arc::new(consumer),
        credential: None,
    });
    let now = Instant::now();
    request.started = now - Duration::from_millis(300);
    request.tries.push(Try {
        address: Some(([10, 0, 0, 1], 80).into()),
        host: "node.example".into(),
        port: 80,
        scheme: "http",
        status: Some(200),
        stale: false,
        began: now - Duration::from_millis(270),
        connected: None,
        ended: None,
        answered: None,
    });
    request.response.status = 200;
    request.response.source = ResponseSource::Upstream;
    request.response.bytes_in = 70;
    request.response.bytes_out = 700;
    scene
}

fn log(plugin: &Arc<dyn Instance>, scene: &mut Scene) {
    plugin.log(&mut scene.exchange());
}

#[tokio::test]
async fn a_request_counts_under_the_names_and_labels_of_apisix() {
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    let mut scene = finished().await;
    log(&plugin, &mut scene);
    log(&plugin, &mut scene);
    let text = text(&bench.metrics);
    let status = "apisix_http_status{code=\"200\",route=\"1\",matched_uri=\"/a*\",matched_host=\"a.example\",\
                  service=\"2\",consumer=\"jack\",node=\"10.0.0.1\",request_type=\"traditional_http\",\
                  request_llm_model=\"\",llm_model=\"\",response_source=\"upstream\"} 2\n";
    assert!(text.contains(status), "{text}");
    let common = "route=\"1\",service=\"2\",consumer=\"jack\",node=\"10.0.0.1\",\
                  request_type=\"traditional_http\",request_llm_model=\"\",llm_model=\"\"";
    for line in [
        format!("apisix_bandwidth{{type=\"ingress\",{common}}} 140\n"),
        format!("apisix_bandwidth{{type=\"egress\",{common}}} 1400\n"),
        format!("apisix_http_latency_count{{type=\"request\",{common}}} 2\n"),
        format!("apisix_http_latency_bucket{{type=\"request\",{common},le=\"200\"}} 0\n"),
        format!("apisix_http_latency_bucket{{type=\"request\",{common},le=\"60000\"}} 2\n"),
        format!("apisix_http_latency_bucket{{type=\"upstream\",{common},le=\"200\"}} 0\n"),
        format!("apisix_http_latency_bucket{{type=\"apisix\",{common},le=\"20\"}} 0\n"),
        format!("apisix_http_latency_bucket{{type=\"apisix\",{common},le=\"50\"}} 2\n"),
    ] {
        assert!(text.contains(&line), "no {line}in\n{text}");
    }
    assert!(text.contains("# TYPE apisix_http_status counter\n"));
    assert!(text.contains("# TYPE apisix_http_latency histogram\n"));
    let sum = value(
        &bench.metrics,
        "apisix_http_latency_sum",
        &["type=\"apisix\""],
    )
    .unwrap();
    assert!((59.0..61.0).contains(&sum), "{sum}");
}

#[tokio::test]
async fn a_request_without_route_and_node_has_empty_labels_and_no_upstream_latency() {
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench
        .build(&definition(), json!({"prefer_name": true}))
        .unwrap();
    let mut scene = scene(get("/", "")).await;
    log(&plugin, &mut scene);
    let labels = [
        "code=\"499\"",
        "route=\"\"",
        "node=\"\"",
        "response_source=\"apisix\"",
    ];
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &labels),
        Some(1.0)
    );
    assert!(!text(&bench.metrics).contains("type=\"upstream\""));
}

#[tokio::test]
async fn names_are_preferred_where_there_are_any() {
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench
        .build(&definition(), json!({"prefer_name": true}))
        .unwrap();
    let mut scene = finished().await;
    log(&plugin, &mut scene);
    let labels = ["route=\"shop\"", "service=\"backend\""];
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &labels),
        Some(1.0)
    );
    scene.request.route = Some(Arc::new(RouteInfo {
        id: "7".into(),
        ..RouteInfo::default()
    }));
    log(&plugin, &mut scene);
    let labels = ["route=\"7\"", "service=\"\""];
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &labels),
        Some(1.0)
    );
}

#[tokio::test]
async fn labels_that_would_run_into_each_other_are_told_apart() {
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    let mut scene = finished().await;
    for (route, service) in [("1", "23"), ("12", "3")] {
        scene.request.matched = None;
        scene.request.route = Some(Arc::new(RouteInfo {
            id: route.into(),
            service_id: Some(service.into()),
            ..RouteInfo::default()
        }));
        log(&plugin, &mut scene);
    }
    for labels in [
        ["route=\"1\"", "service=\"23\""],
        ["route=\"12\"", "service=\"3\""],
    ] {
        assert_eq!(
            value(&bench.metrics, "apisix_http_status", &labels),
            Some(1.0)
        );
        let ingress = [labels[0], labels[1], "type=\"ingress\""];
        assert_eq!(
            value(&bench.metrics, "apisix_bandwidth", &ingress),
            Some(70.0)
        );
    }
}

#[tokio::test]
async fn places_of_use_share_the_metrics_which_go_with_the_last_of_them() {
    let bench = bench(Value::Null, Value::Null);
    let mut scene = finished().await;
    let first = bench.build(&definition(), json!({})).unwrap();
    let second = bench.build(&definition(), json!({})).unwrap();
    log(&first, &mut scene);
    log(&second, &mut scene);
    assert_eq!(value(&bench.metrics, "apisix_http_status", &[]), Some(2.0));
    drop(first);
    assert_eq!(value(&bench.metrics, "apisix_http_status", &[]), Some(2.0));
    drop(second);
    assert_eq!(text(&bench.metrics), "");
    let again = bench.build(&definition(), json!({})).unwrap();
    log(&again, &mut scene);
    assert_eq!(value(&bench.metrics, "apisix_http_status", &[]), Some(1.0));
}

#[tokio::test]
async fn disabled_labels_stay_empty() {
    let metadata = json!({"disabled_labels": {
        "http_status": ["consumer", "node", "matched_uri"], "http_latency": ["node"],
    }});
    definition().check_metadata(&metadata).unwrap();
    let bench = bench(Value::Null, metadata);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    let mut scene = finished().await;
    log(&plugin, &mut scene);
    scene.request.tries[0].address = Some(([10, 0, 0, 2], 80).into());
    log(&plugin, &mut scene);
    let labels = [
        "consumer=\"\"",
        "node=\"\"",
        "matched_uri=\"\"",
        "matched_host=\"a.example\"",
    ];
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &labels),
        Some(2.0)
    );
    let labels = ["type=\"request\"", "consumer=\"jack\"", "node=\"\""];
    assert_eq!(
        value(&bench.metrics, "apisix_http_latency_count", &labels),
        Some(2.0)
    );
    let labels = ["type=\"egress\"", "node=\"10.0.0.2\""];
    assert_eq!(
        value(&bench.metrics, "apisix_bandwidth", &labels),
        Some(700.0)
    );
    for metadata in [
        json!({"disabled_labels": {"http_status": ["code"]}}),
        json!({"disabled_labels": {"bandwidth": ["matched_uri"]}}),
        json!({"disabled_labels": {"llm_latency": []}}),
    ] {
        assert!(
            definition().check_metadata(&metadata).is_err(),
            "{metadata}"
        );
    }
}

#[tokio::test]
async fn prefix_buckets_and_further_labels_come_from_the_settings() {
    let attributes = json!({
        "metric_prefix": "gw_", "default_buckets": [1000, 100], "export_uri": "/m",
        "metrics": {
            "http_status": {"extra_labels": [{"tenant": "$http_x_tenant"}, {"q": "<$arg_q>"}]},
            "bandwidth": {"extra_labels": [{"missing": "$http_x_missing"}]},
        },
    });
    let bench = bench(attributes, Value::Null);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    let mut scene = finished().await;
    log(&plugin, &mut scene);
    log(&plugin, &mut scene);
    let labels = ["tenant=\"t1\"", "q=\"<1>\"", "code=\"200\""];
    assert_eq!(value(&bench.metrics, "gw_http_status", &labels), Some(2.0));
    let labels = ["missing=\"\"", "type=\"ingress\""];
    assert_eq!(value(&bench.metrics, "gw_bandwidth", &labels), Some(140.0));
    let buckets = text(&bench.metrics);
    let buckets = buckets
        .lines()
        .filter(|l| l.contains("le=") && l.contains("\"request\""));
    assert_eq!(buckets.count(), 3);
}

#[tokio::test]
async fn too_many_series_are_counted_together() {
    let attributes = json!({
        "max_series": 6, "metrics": {"http_status": {"extra_labels": [{"q": "$arg_q"}]}},
    });
    let bench = bench(attributes, Value::Null);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    for n in 0..10 {
        let mut scene = scene(get(&format!("/?q={n}"), "")).await;
        scene.request.response.status = 200;
        log(&plugin, &mut scene);
    }
    let overflow = ["code=\"200\"", "route=\"__overflow__\"", "q=\"\""];
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &overflow),
        Some(4.0)
    );
    assert_eq!(
        value(&bench.metrics, "apisix_http_status", &["q=\"5\""]),
        Some(1.0)
    );
    assert_eq!(
        value(&bench.metrics, "apisix_nginx_metric_errors_total", &[]),
        Some(4.0)
    );
}

#[test]
fn a_series_without_requests_expires_and_starts_anew() {
    let attributes = super::config::Attributes::read(Some(&json!({
        "metrics": {"http_status": {"expire": 10}},
    })))
    .unwrap();
    let families = super::families::Families::new(&attributes);
    let values = || vec!["200".into(); 11];
    let series = families.status.find(values(), 5).unwrap();
    series.measure.add(3);
    series.touch(20);
    assert!(!families.status.expire(30));
    assert!(families.status.expire(31));
    assert_eq!(families.status.find(values(), 31).unwrap().measure.get(), 0);
    // Without `expire` a series stays.
    families
        .bandwidth
        .find(vec!["ingress".into(); 8], 0)
        .unwrap();
    assert!(!families.bandwidth.expire(u64::MAX / 2));
}

#[test]
fn refused_settings_say_why() {
    let message = |attributes: Value| {
        let bench = bench(attributes, Value::Null);
        bench.build(&definition(), json!({})).err().unwrap().message
    };
    let labels = |labels| json!({"metrics": {"http_status": {"extra_labels": [labels]}}});
    assert!(message(labels(json!({"a-b": "$uri"}))).contains("a-b cannot be the name of a label"));
    assert!(message(labels(json!({"__a": "$uri"}))).contains("__a"));
    assert!(message(labels(json!({"a": "$nope"}))).contains("unknown variable `nope`"));
    assert!(message(json!({"metric_prefix": "1"})).contains("metric_prefix"));
    assert!(message(json!({"default_buckets": [0]})).contains("default_buckets"));
    assert!(message(labels(json!({"code": "$uri"}))).contains("code"));
    assert_eq!(refused(&definition(), json!({"x": 1})).0, "/x");
}

#[test]
fn a_metric_of_somebody_else_is_not_replaced() {
    let bench = bench(Value::Null, Value::Null);
    let theirs = prometheus::IntCounter::new("apisix_bandwidth", "theirs").unwrap();
    bench.metrics.register(Box::new(theirs)).unwrap();
    let error = bench.build(&definition(), json!({})).err().unwrap();
    assert!(error.message.contains("cannot register metrics"), "{error}");
    assert!(text(&bench.metrics).contains("theirs"));
}

#[test]
fn counting_from_many_threads_loses_nothing() {
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench.build(&definition(), json!({})).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let mut scene = runtime.block_on(finished());
                for code in 0..1000 {
                    scene.request.response.status = 200 + code % 5;
                    log(&plugin, &mut scene);
                }
            });
        }
    });
    for code in 200..205 {
        let label = format!("code=\"{code}\"");
        assert_eq!(
            value(&bench.metrics, "apisix_http_status", &[&label]),
            Some(800.0)
        );
    }
    let count = value(
        &bench.metrics,
        "apisix_http_latency_count",
        &["type=\"request\""],
    );
    assert_eq!(count, Some(4000.0));
}

#[tokio::test]
async fn sessions_are_counted_by_route_and_by_how_they_ended() {
    use crossway_sdk::testing::StreamScene;
    let bench = bench(Value::Null, Value::Null);
    let plugin = bench
        .build(&definition(), json!({"prefer_name": true}))
        .unwrap();
    for (name, status) in [(Some("shop"), 200), (Some("shop"), 502), (None, 200)] {
        let mut scene = StreamScene::default();
        scene.session.status = status;
        scene.session.route = Some(Arc::new(RouteInfo {
            id: "1".into(),
            name: name.map(Into::into),
            ..RouteInfo::default()
        }));
        scene.log(&*plugin);
    }
    let registry = &bench.metrics;
    let total = |route| value(registry, "apisix_stream_connection_total", &[route]);
    assert_eq!(total("route=\"shop\""), Some(2.0));
    assert_eq!(total("route=\"1\""), Some(1.0));
    let labels = [
        "code=\"200\"",
        "listen_addr=\"192.0.2.2:9100\"",
        "node=\"\"",
    ];
    assert_eq!(value(registry, "apisix_stream_status", &labels), Some(2.0));
}
