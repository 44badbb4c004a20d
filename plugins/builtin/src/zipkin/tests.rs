use super::{
    Zipkin,
    b3::{Context, Invalid},
};
use crate::{logger::testing::*, testing::*};
use crossway_sdk::{definition::Definition, pingora_http::RequestHeader, testing::Scene};
use http::HeaderMap;
use serde_json::{Value, json};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

fn headers<const N: usize>(all: [(&'static str, &str); N]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in all {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

#[test]
fn several_headers_and_the_one_say_the_same() {
    let traced = Context {
        trace: Some(TRACE.into()),
        span: Some(SPAN.into()),
        sampled: Some(true),
        debug: false,
    };
    let many = headers([
        ("x-b3-traceid", TRACE),
        ("x-b3-spanid", SPAN),
        ("x-b3-sampled", "1"),
    ]);
    assert_eq!(Context::read(&many), Ok(traced.clone()));
    let single = |text: &str| Context::read(&headers([("b3", text)]));
    assert_eq!(
        single(&format!("{TRACE}-{SPAN}-1-{SPAN}")),
        Ok(traced.clone())
    );
    let debug = Context {
        debug: true,
        ..traced
    };
    assert_eq!(single(&format!("{TRACE}-{SPAN}-d")), Ok(debug));
    let not = Context {
        sampled: Some(false),
        ..Context::default()
    };
    assert_eq!(single("0"), Ok(not));
    assert_eq!(Context::read(&HeaderMap::new()), Ok(Context::default()));
    for wrong in [
        "",
        "x",
        "1-2",
        &format!("{TRACE}-{SPAN}-2"),
        &format!("{TRACE}-{SPAN}-1-x"),
        "a-b-c-d-e",
    ] {
        assert_eq!(single(wrong), Err(Invalid), "{wrong}");
    }
    for wrong in [
        headers([("x-b3-traceid", "short"), ("x-b3-spanid", SPAN)]),
        headers([("x-b3-traceid", TRACE), ("x-b3-spanid", "not hexadecimal!")]),
        headers([("x-b3-spanid", SPAN)]),
    ] {
        assert_eq!(Context::read(&wrong), Ok(Context::default()));
    }
}

/// What the upstream gets, and the spans.
async fn trace(config: Value, lines: &str) -> (HeaderMap, Vec<Value>) {
    let server = HttpServer::new([(202, "")]).await;
    let mut whole = json!({"endpoint": server.url("/api/v2/spans"), "sample_ratio": 0.00001});
    whole
        .as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    let logger = Logger::new::<Zipkin>(whole);
    let plugin = &*logger.plugin;
    let mut scene: Scene = scene(get("/a?b=c", lines)).await;
    assert!(goes_on(scene.rewrite(plugin).await));
    assert!(goes_on(scene.access(plugin).await));
    let mut head = RequestHeader::build("GET", b"/", None).unwrap();
    for (name, value) in &scene.session.req_header().headers {
        head.insert_header(name.clone(), value.clone()).unwrap();
    }
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    let mut answer = crossway_sdk::pingora_http::ResponseHeader::build(200, None).unwrap();
    scene.header_filter(plugin, &mut answer).unwrap();
    scene.request.response.status = 200;
    logger.log(&mut scene);
    logger.finish().await;
    let spans = server
        .received()
        .iter()
        .flat_map(|r| r.json().as_array().unwrap().clone())
        .collect();
    (head.headers.clone(), spans)
}

#[tokio::test]
async fn a_traced_request_is_three_spans_and_the_upstream_is_told() {
    let lines = format!("b3: {TRACE}-{SPAN}-1\r\n");
    let (sent, spans) = trace(json!({"server_addr": "10.1.2.3"}), &lines).await;
    let names: Vec<_> = spans.iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["apisix.request", "apisix.proxy", "apisix.response_span"]
    );
    assert!(
        spans.iter().all(|span| span["traceId"] == TRACE),
        "{spans:?}"
    );
    let (request, proxy) = (&spans[0], &spans[1]);
    assert_eq!(request["parentId"], SPAN);
    assert_eq!(request["kind"], "SERVER");
    assert_eq!(request["tags"]["http.url"], "/a?b=c");
    assert_eq!(request["tags"]["http.status_code"], "200");
    let here = json!({"serviceName": "APISIX", "ipv4": "10.1.2.3", "port": 9080});
    assert_eq!(request["localEndpoint"], here);
    assert_eq!(
        request["remoteEndpoint"],
        json!({"ipv4": "192.0.2.1", "port": 40000})
    );
    assert!(request["duration"].as_u64() >= proxy["duration"].as_u64());
    assert_eq!(proxy["parentId"], request["id"]);
    assert_eq!(sent["x-b3-traceid"], TRACE);
    assert_eq!(sent["x-b3-spanid"], proxy["id"].as_str().unwrap());
    assert_eq!(sent["x-b3-parentspanid"], request["id"].as_str().unwrap());
    assert_eq!(sent["x-b3-sampled"], "1");
    assert!(!sent.contains_key("b3"));
}

#[tokio::test]
async fn the_older_version_has_a_span_for_each_phase() {
    let (sent, spans) = trace(json!({"span_version": 1}), "X-B3-Flags: 1\r\n").await;
    let names: Vec<_> = spans.iter().map(|s| s["name"].as_str().unwrap()).collect();
    let expected = [
        "apisix.request",
        "apisix.rewrite",
        "apisix.access",
        "apisix.proxy",
        "apisix.body_filter",
    ];
    assert_eq!(names, expected);
    assert_eq!(spans[4]["parentId"], spans[3]["id"]);
    assert_eq!(
        (sent["x-b3-flags"].as_bytes(), sent.get("x-b3-sampled")),
        (&b"1"[..], None)
    );
    assert_eq!(sent["x-b3-traceid"].len(), 32);
    assert_eq!(spans[0].get("parentId"), None);
}

#[tokio::test]
async fn a_request_that_is_not_traced_leaves_no_span() {
    let (sent, spans) = trace(json!({"sample_ratio": 1}), "X-B3-Sampled: 0\r\n").await;
    assert!(spans.is_empty());
    assert_eq!(sent["x-b3-sampled"], "0");
    let (_, spans) = trace(json!({"sample_ratio": 1}), "").await;
    assert_eq!(spans.len(), 3);
}

#[tokio::test]
async fn a_broken_header_is_a_bad_request() {
    let plugin = built(
        &Definition::of::<Zipkin>(),
        json!({"endpoint": "http://a/", "sample_ratio": 1}),
    );
    for line in ["b3: nonsense\r\n", "b3: \u{ff}\r\n"] {
        let mut scene = scene(get("/", line)).await;
        assert_eq!(said(scene.rewrite(&*plugin).await).0, 400, "{line}");
    }
}

#[test]
fn what_cannot_work_is_refused() {
    let definition = Definition::of::<Zipkin>();
    let with = |name: &str, value: Value| {
        let mut config = json!({"endpoint": "http://a/", "sample_ratio": 1});
        config[name] = value;
        refused(&definition, config)
    };
    assert_eq!(with("sample_ratio", json!(0)).0, "/sample_ratio");
    assert_eq!(with("sample_ratio", json!(2)).0, "/sample_ratio");
    assert_eq!(with("endpoint", json!("a")).0, "/endpoint");
    assert_eq!(with("span_version", json!(3)).0, "/span_version");
    assert!(with("server_addr", json!("x")).1.contains("IPv4"));
    assert_eq!(
        refused(&definition, json!({"endpoint": "http://a/"})).1,
        "property \"sample_ratio\" is required"
    );
}
