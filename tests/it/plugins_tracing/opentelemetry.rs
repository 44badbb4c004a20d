//! `opentelemetry`: `traceparent` towards the upstream, spans by OTLP over HTTP to a collector.

use prost::Message as _;
use serde_json::{Value, json};

use super::otlp::{Export, Span, attributes, hex};
use super::{end, route};
use crate::support::{Answer, Gateway, PATIENCE, Port, Received, Upstream, eventually};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

const SERVER: i32 = 2;
const CLIENT: i32 = 3;

fn parent(sampled: bool) -> String {
    format!("00-{TRACE}-{SPAN}-0{}", u8::from(sampled))
}

/// A gateway that reports to this collector.
async fn gateway(collector: &Upstream) -> Gateway {
    let gateway = Gateway::start().await;
    let metadata = json!({
        "collector": {"address": collector.addr().to_string(), "request_headers": {"x-key": "k"}},
        "resource": {"service.name": "gateway", "stage": "test"},
    });
    gateway
        .put("/plugin_metadata/opentelemetry", metadata)
        .await;
    gateway
}

/// All spans that the collector was sent.
fn spans(collector: &Upstream) -> Vec<Span> {
    let exports = collector.requests();
    let spans = exports.iter().flat_map(|post| {
        assert_eq!((&*post.method, &*post.target), ("POST", "/v1/traces"));
        assert_eq!(post.header("content-type"), Some("application/x-protobuf"));
        assert_eq!(post.header("x-key"), Some("k"));
        let export = Export::decode(&*post.body).unwrap();
        export.resource_spans.into_iter().flat_map(|group| {
            let resource = group.resource.unwrap();
            let resource = attributes(&resource.attributes);
            assert_eq!(resource["service.name"], "gateway");
            assert_eq!(resource["stage"], "test");
            assert!(resource.contains_key("hostname"));
            group.scope_spans.into_iter().flat_map(|scope| {
                assert_eq!(scope.scope.unwrap().name, "crossway");
                scope.spans
            })
        })
    });
    spans.collect()
}

/// Trace, span and flags that an upstream is told.
fn told(received: &Received) -> [String; 3] {
    let header = received.header("traceparent").unwrap();
    let parts: Vec<_> = header.split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = <[String; 4]>::try_from(parts).unwrap();
    assert_eq!(version, "00");
    [trace, span, flags]
}

fn of<'a>(all: &'a [Span], trace: &str, kind: i32) -> &'a Span {
    let mut found = all
        .iter()
        .filter(|span| hex(&span.trace_id) == trace && span.kind == kind);
    let span = found.next();
    assert!(found.next().is_none(), "two of kind {kind}: {all:?}");
    span.unwrap_or_else(|| panic!("none of kind {kind} and {trace}: {all:?}"))
}

fn sampler(name: &str, options: Value) -> Value {
    json!({ "sampler": {"name": name, "options": options} })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_of_the_server_and_one_of_the_client() {
    let collector = Upstream::answering("").await;
    let (gateway, upstream) = (gateway(&collector).await, Upstream::answering("ok").await);
    let mut config = sampler("parent_base", json!({}));
    config["additional_attributes"] = json!(["remote_addr", "arg_b"]);
    config["additional_header_prefix_attributes"] = json!(["x-my-*"]);
    route(&gateway, &upstream, "opentelemetry", config).await;
    let asked = gateway
        .get("/a?b=c")
        .host("a.example")
        .header("traceparent", parent(true))
        .header("tracestate", "vendor=1")
        .header("x-my-one", "1");
    asked.await.expect_status(200);
    let received = upstream.last_request();
    let [trace, span, flags] = told(&received);
    assert_eq!((&*trace, &*flags), (TRACE, "01"));
    assert_eq!(received.header("tracestate"), Some("vendor=1"));
    upstream.answer(Answer::status(503));
    let failed = gateway
        .get("/a")
        .header("traceparent", parent(true).replace("319c", "319d"));
    failed.await.expect_status(503);
    end(gateway).await;
    let all = spans(&collector);
    assert_eq!(all.len(), 4, "{all:?}");
    let (server, client) = (of(&all, TRACE, SERVER), of(&all, TRACE, CLIENT));
    assert_eq!(hex(&server.parent_span_id), SPAN);
    assert_eq!(client.parent_span_id, server.span_id);
    assert_eq!(hex(&client.span_id), span);
    assert_ne!(client.span_id, server.span_id);
    assert_eq!((&*server.name, &*client.name), ("GET /a", "GET"));
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.start_time_unix_nano <= client.end_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    let said = attributes(&server.attributes);
    for (name, value) in [
        ("net.host.name", "a.example"),
        ("http.method", "GET"),
        ("http.scheme", "http"),
        ("http.target", "/a?b=c"),
        ("http.route", "/a"),
        ("http.status_code", "200"),
        ("apisix.route_id", "1"),
        ("apisix.route_name", "shop"),
        ("remote_addr", "127.0.0.1"),
        ("arg_b", "c"),
        ("x-my-one", "1"),
    ] {
        assert_eq!(
            said.get(name).map(|v| &**v),
            Some(value),
            "{name}: {said:?}"
        );
    }
    let said = attributes(&client.attributes);
    assert_eq!(said["net.peer.ip"], "127.0.0.1");
    assert_eq!(said["net.peer.port"], upstream.addr().port().to_string());
    assert_eq!(said["http.status_code"], "200");
    assert!(server.status.is_none() && client.status.is_none());
    let other = TRACE.replace("319c", "319d");
    for kind in [SERVER, CLIENT] {
        let status = of(&all, &other, kind).status.clone().unwrap();
        assert_eq!(status.code, 2);
        assert_eq!(status.message, "upstream response status: 503");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samplers_choose_and_the_upstream_is_told_what_they_chose() {
    let collector = Upstream::answering("").await;
    let (gateway, upstream) = (gateway(&collector).await, Upstream::answering("ok").await);
    let root = |name: &str| json!({ "root": {"name": name} });
    let half = json!({ "fraction": 0.5 });
    // The last 14 digits of an id are what a part is taken of.
    let (low, high) = (TRACE, "0af7651916cd43dd84ffffffffffffff");
    let low = &low.replace("48eb211c80319c", "00eb211c80319c");
    let header = |trace: &str, flags: &str| Some(format!("00-{trace}-{SPAN}-{flags}"));
    let mut expected = 0;
    for (config, client, traced) in [
        (sampler("always_off", json!({})), header(TRACE, "01"), false),
        (sampler("always_on", json!({})), header(TRACE, "00"), true),
        (sampler("always_on", json!({})), None, true),
        (
            sampler("trace_id_ratio", half.clone()),
            header(low, "00"),
            true,
        ),
        (sampler("trace_id_ratio", half), header(high, "01"), false),
        (
            sampler("parent_base", root("always_on")),
            header(TRACE, "00"),
            false,
        ),
        (
            sampler("parent_base", root("always_off")),
            header(TRACE, "01"),
            true,
        ),
        (sampler("parent_base", root("always_on")), None, true),
        (sampler("parent_base", root("always_off")), None, false),
    ] {
        route(&gateway, &upstream, "opentelemetry", config.clone()).await;
        let mut asked = gateway.get("/a");
        if let Some(header) = &client {
            asked = asked.header("traceparent", header);
        }
        asked.await.expect_status(200);
        let [trace, _, flags] = told(&upstream.last_request());
        let wanted = if traced { "01" } else { "00" };
        assert_eq!(flags, wanted, "{config} {client:?}");
        if let Some(header) = &client {
            assert!(header.contains(&trace), "{header}: {trace}");
        }
        expected += if traced { 2 } else { 0 };
    }
    end(gateway).await;
    assert_eq!(spans(&collector).len(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_valid_begins_a_new_trace() {
    let collector = Upstream::answering("").await;
    let (gateway, upstream) = (gateway(&collector).await, Upstream::answering("ok").await);
    let config = sampler("always_on", json!({}));
    route(&gateway, &upstream, "opentelemetry", config).await;
    let wrong = [
        String::new(),
        "nonsense".to_owned(),
        parent(true).to_uppercase(),
        format!("{}-more", parent(true)),
        format!("00-{}-{SPAN}-01", "0".repeat(32)),
        "0".repeat(4000),
    ];
    let mut traces = std::collections::BTreeSet::new();
    for header in &wrong {
        let asked = gateway.get("/a").header("traceparent", header);
        asked.await.expect_status(200);
        traces.insert(told(&upstream.last_request())[0].clone());
    }
    let twice = gateway
        .get("/a")
        .header("traceparent", parent(true))
        .header("traceparent", parent(false));
    twice.await.expect_status(200);
    let all = upstream.last_request().headers.all("traceparent");
    assert_eq!(all.len(), 1, "{all:?}");
    traces.insert(told(&upstream.last_request())[0].clone());
    assert_eq!(traces.len(), wrong.len() + 1, "{traces:?}");
    assert!(!traces.contains(TRACE));
    end(gateway).await;
    let all = spans(&collector);
    assert_eq!(all.len(), 2 * traces.len());
    for trace in &traces {
        assert!(of(&all, trace, SERVER).parent_span_id.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_metadata_nothing_is_traced_and_a_collector_that_is_away_costs_nothing() {
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    let config = sampler("always_on", json!({}));
    route(&gateway, &upstream, "opentelemetry", config).await;
    let asked = gateway.get("/a").header("traceparent", parent(false));
    asked.await.expect_status(200);
    // The client's own word passes.
    let header = upstream
        .last_request()
        .header("traceparent")
        .map(str::to_owned);
    assert_eq!(header, Some(parent(false)));
    let nobody = Port::reserve();
    let metadata = json!({
        "collector": {"address": nobody.addr().to_string()}, "batch_span_processor": {"inactive_timeout": 1},
    });
    gateway
        .put("/plugin_metadata/opentelemetry", metadata)
        .await;
    gateway.get("/a").await.expect_status(200);
    let failed = "name=\"opentelemetry\",reason=\"failed\",route_id=\"1\"";
    eventually("its spans are counted", PATIENCE, async || {
        let page = gateway.metrics().await;
        page.lines()
            .any(|line| line.contains(failed) && line.ends_with(" 2"))
    })
    .await;
}
