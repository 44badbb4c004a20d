#![allow(clippy::string_slice)]

use super::{
    OpenTelemetry,
    config::{RootOptions, RootSampler, Sampler, SamplerName, SamplerOptions},
    context::{Context, trace_of},
    otlp::{ExportTraceServiceRequest, KeyValue, Span, SpanKind, Value as Any},
};
use crate::{logger::testing::*, testing::*};
use crossway_sdk::{definition::Definition, pingora_http::RequestHeader, testing::Scene};
use http::HeaderMap;
use prost::Message as _;
use serde_json::{Value, json};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn read(text: &str) -> Option<Context> {
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", text.parse().unwrap());
    Context::read(&headers)
}

#[test]
fn a_traceparent_is_read_as_the_recommendation_says() {
    let context = Context {
        trace: 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c,
        span: 0xb7ad_6b71_6920_3331,
        sampled: true,
    };
    assert_eq!(read(PARENT), Some(context));
    assert_eq!(context.header().unwrap(), PARENT);
    let future = format!("cc-{}-what-comes-later", &PARENT[3..]);
    assert_eq!(read(&future), Some(context));
    let not = PARENT.replace("-01", "-00");
    assert_eq!(read(&not).map(|c| c.sampled), Some(false));
    for wrong in [
        String::new(),
        PARENT[..54].to_owned(),
        format!("{PARENT}-more"),
        format!("ff{}", &PARENT[2..]),
        PARENT.to_uppercase(),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned(),
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01".to_owned(),
    ] {
        assert_eq!(read(&wrong), None, "{wrong}");
    }
    let mut twice = HeaderMap::new();
    twice.append("traceparent", PARENT.parse().unwrap());
    twice.append("traceparent", PARENT.parse().unwrap());
    assert_eq!(Context::read(&twice), None);
}

#[test]
fn an_id_of_a_request_is_one_of_a_trace_when_it_fits() {
    assert_eq!(
        trace_of(b"0AF7651916CD43DD8448EB211C80319C"),
        read(PARENT).map(|c| c.trace)
    );
    assert!(trace_of(b"0af76519-16cd-43dd-8448-eb211c80319c").is_some());
    for wrong in [&b"x"[..], b"", b"\xff", &[b'0'; 32]] {
        assert_eq!(trace_of(wrong), None);
    }
}

#[test]
fn samplers_choose() {
    let sampler = |name, fraction, root| Sampler {
        name,
        options: SamplerOptions {
            fraction,
            root: RootSampler {
                name: root,
                options: RootOptions { fraction },
            },
        },
    };
    let (yes, no) = (read(PARENT), read(&PARENT.replace("-01", "-00")));
    let (off, on, ratio) = (
        SamplerName::AlwaysOff,
        SamplerName::AlwaysOn,
        SamplerName::TraceIdRatio,
    );
    assert!(!sampler(off, 1.0, on).samples(yes, 1));
    assert!(sampler(on, 0.0, off).samples(no, 1));
    let half = sampler(ratio, 0.5, off);
    assert!(half.samples(None, 1) && !half.samples(yes, u128::MAX));
    assert!(!sampler(ratio, 0.0, off).samples(None, 0));
    assert!(sampler(ratio, 1.0, off).samples(None, u128::MAX));
    let parent = |root| sampler(SamplerName::ParentBase, 0.5, root);
    assert!(parent(off).samples(yes, 1) && !parent(on).samples(no, 1));
    assert!(parent(on).samples(None, 1) && !parent(off).samples(None, 1));
    assert!(parent(ratio).samples(None, 1) && !parent(ratio).samples(None, u128::MAX));
}

/// What the upstream gets, and the export if there was one.
async fn trace(config: Value, lines: &str) -> (HeaderMap, Option<ExportTraceServiceRequest>) {
    let server = BinaryServer::new().await;
    let metadata = json!({
        "collector": {"address": server.address.to_string(), "request_headers": {"X-Key": "k"}},
        "resource": {"deployment": "test", "n": 7, "flag": true},
    });
    let logger = Logger::with::<OpenTelemetry>(config, Some(metadata));
    let plugin = &*logger.plugin;
    let mut scene = finished().await;
    let more: Scene = scene_of(lines).await;
    for (name, value) in &more.session.req_header().headers {
        let head = scene.session.req_header_mut();
        head.append_header(name.clone(), value.clone()).unwrap();
    }
    assert!(goes_on(scene.rewrite(plugin).await));
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    scene.request.response.status = 502;
    logger.log(&mut scene);
    logger.finish().await;
    let received = server.received();
    assert!(received.len() < 2);
    let export = received.first().map(|(head, body)| {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("x-key: k\r\n"), "{head}");
        assert!(
            head.contains("content-type: application/x-protobuf\r\n"),
            "{head}"
        );
        ExportTraceServiceRequest::decode(&**body).unwrap()
    });
    (head.headers.clone(), export)
}

async fn scene_of(lines: &str) -> Scene {
    Scene::new(format!("GET / HTTP/1.1\r\n{lines}\r\n").as_bytes())
        .await
        .unwrap()
}

fn attribute<'a>(of: &'a [KeyValue], key: &str) -> Option<&'a Any> {
    of.iter()
        .find(|a| a.key == key)?
        .value
        .as_ref()?
        .value
        .as_ref()
}

fn text(span: &Span, key: &str) -> Option<String> {
    match attribute(&span.attributes, key)? {
        Any::String(text) => Some(text.clone()),
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn a_traced_request_is_a_span_of_the_server_and_one_of_the_client() {
    let config = json!({
        "sampler": {"name": "parent_base"}, "additional_attributes": ["remote_addr", "arg_absent"],
        "additional_header_prefix_attributes": ["x-m*", "X-One"],
    });
    let (sent, export) = trace(config, &format!("traceparent: {PARENT}\r\n")).await;
    let export = export.expect("an export").resource_spans.remove(0);
    let resource = export.resource.unwrap().attributes;
    assert_eq!(
        attribute(&resource, "service.name"),
        Some(&Any::String("APISIX".into()))
    );
    assert_eq!(
        attribute(&resource, "deployment"),
        Some(&Any::String("test".into()))
    );
    assert_eq!(attribute(&resource, "n"), Some(&Any::Double(7.0)));
    assert_eq!(attribute(&resource, "flag"), Some(&Any::Bool(true)));
    let [server, client] = &*export.scope_spans[0].spans else {
        panic!("two spans");
    };
    assert_eq!(
        (server.kind(), client.kind()),
        (SpanKind::Server, SpanKind::Client)
    );
    let parent = read(PARENT).unwrap();
    assert_eq!(server.trace_id, parent.trace.to_be_bytes());
    assert_eq!(client.trace_id, server.trace_id);
    assert_eq!(server.parent_span_id, parent.span.to_be_bytes());
    assert_eq!(client.parent_span_id, server.span_id);
    let told = read(sent["traceparent"].to_str().unwrap()).unwrap();
    assert_eq!(told.span.to_be_bytes(), *client.span_id);
    assert_eq!((told.trace, told.sampled), (parent.trace, true));
    assert_eq!(server.name, "POST");
    assert_eq!(text(server, "http.method").unwrap(), "POST");
    assert_eq!(
        text(server, "http.target").unwrap(),
        "/a%20b?q=1&q=2&flag&e=%C3%A4"
    );
    assert_eq!(text(server, "net.host.name").unwrap(), "a.example");
    assert_eq!(text(server, "apisix.route_id").unwrap(), "1");
    assert_eq!(text(server, "apisix.route_name").unwrap(), "shop");
    assert_eq!(text(server, "remote_addr").unwrap(), "192.0.2.1");
    assert_eq!(text(server, "x-one").unwrap(), "1");
    assert_eq!(
        server
            .attributes
            .iter()
            .filter(|a| a.key == "x-many")
            .count(),
        2
    );
    assert_eq!(
        attribute(&server.attributes, "http.status_code"),
        Some(&Any::Int(502))
    );
    let status = server.status.clone().unwrap();
    assert_eq!(
        (status.code, &*status.message),
        (2, "upstream response status: 502")
    );
    assert_eq!(
        attribute(&client.attributes, "http.status_code"),
        Some(&Any::Int(200))
    );
    assert_eq!(client.status, None);
    assert_eq!(text(client, "net.peer.ip").unwrap(), "10.0.0.1");
    assert!(server.start_time_unix_nano <= client.start_time_unix_nano);
    assert!(client.end_time_unix_nano <= server.end_time_unix_nano);
    assert_eq!(server.start_time_unix_nano, 1_795_230_245_012_000_000);
}

#[tokio::test]
async fn a_request_that_is_not_traced_leaves_no_span_and_the_upstream_is_told() {
    let (sent, export) = trace(json!({}), &format!("traceparent: {PARENT}\r\n")).await;
    assert_eq!(export, None);
    let told = read(sent["traceparent"].to_str().unwrap()).unwrap();
    assert!(!told.sampled);
    let (sent, export) = trace(json!({"sampler": {"name": "always_on"}}), "").await;
    assert_eq!(
        export.unwrap().resource_spans[0].scope_spans[0].spans.len(),
        2
    );
    assert!(read(sent["traceparent"].to_str().unwrap()).unwrap().sampled);
}

#[tokio::test]
async fn without_metadata_nothing_is_traced() {
    let plugin = built(
        &Definition::of::<OpenTelemetry>(),
        json!({"sampler": {"name": "always_on"}}),
    );
    let mut scene = finished().await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    assert!(!head.headers.contains_key("traceparent"));
    plugin.log(&mut scene.exchange());
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<OpenTelemetry>();
    let refused = |config| refused(&definition, config).0;
    assert_eq!(
        refused(json!({"additional_attributes": ["nope"]})),
        "/additional_attributes/0"
    );
    assert_eq!(
        refused(json!({"additional_attributes": [""]})),
        "/additional_attributes/0"
    );
    assert_eq!(
        refused(json!({"sampler": {"options": {"fraction": 2}}})),
        "/sampler/options/fraction"
    );
    for metadata in [
        json!({"set_ngx_var": true}),
        json!({"batch_span_processor": {"drop_on_queue_full": false}}),
        json!({"collector": {"request_timeout": 0}}),
        json!({"trace_id_source": "other"}),
    ] {
        assert!(definition.check_metadata(&metadata).is_err(), "{metadata}");
    }
    assert!(definition.check_metadata(&json!({})).is_ok());
}
