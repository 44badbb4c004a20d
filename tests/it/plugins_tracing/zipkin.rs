//! `zipkin`: B3 towards the upstream, spans as JSON to a collector.

use serde_json::{Value, json};

use super::{end, route};
use crate::support::{Gateway, PATIENCE, Port, Received, Upstream, eventually};

const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
const SPAN: &str = "e457b5a2e4d86bd1";

/// All spans that the collector was sent.
fn spans(collector: &Upstream) -> Vec<Value> {
    let posts = collector.requests();
    let posts = posts.iter().map(|post| {
        assert_eq!((&*post.method, &*post.target), ("POST", "/api/v2/spans"));
        assert_eq!(post.header("content-type"), Some("application/json"));
        serde_json::from_slice::<Vec<Value>>(&post.body).unwrap()
    });
    posts.flatten().collect()
}

/// The spans of one trace: of the request, until the response began, of the response.
fn trace(all: &[Value], id: &str) -> [Value; 3] {
    ["apisix.request", "apisix.proxy", "apisix.response_span"].map(|name| {
        let mut found = all
            .iter()
            .filter(|span| span["traceId"] == id && span["name"] == name);
        let span = found.next().cloned();
        assert!(found.next().is_none(), "{name} twice: {all:?}");
        span.unwrap_or_else(|| panic!("no {name} of {id}: {all:?}"))
    })
}

fn is_id(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn told(received: &Received, name: &str) -> String {
    let name = format!("x-b3-{name}");
    received.header(&name).unwrap_or_default().to_owned()
}

fn plugin(collector: &Upstream, ratio: f64) -> Value {
    json!({
        "endpoint": format!("http://{}/api/v2/spans", collector.addr()), "sample_ratio": ratio,
        "service_name": "gateway",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_traced_request_is_told_to_the_upstream_and_reported() {
    let (gateway, collector) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("ok").await;
    route(&gateway, &upstream, "zipkin", plugin(&collector, 1.0)).await;
    gateway.get("/a?b=c").await.expect_status(200);
    let new = upstream.last_request();
    assert!(is_id(&told(&new, "traceid"), 32), "{new:?}");
    assert_eq!(told(&new, "sampled"), "1");
    let again = gateway.get("/a").header("b3", format!("{TRACE}-{SPAN}-1"));
    again.await.expect_status(200);
    let joined = upstream.last_request();
    assert_eq!(told(&joined, "traceid"), TRACE);
    assert!(joined.header("b3").is_none(), "{joined:?}");
    let address = gateway.addr(crate::support::Interface::Http);
    end(gateway).await;
    let all = spans(&collector);
    assert_eq!(all.len(), 6, "{all:?}");
    for (received, url, parent) in [(&new, "/a?b=c", Value::Null), (&joined, "/a", json!(SPAN))] {
        let [request, proxy, response] = trace(&all, &told(received, "traceid"));
        assert_eq!(request["kind"], "SERVER");
        assert_eq!(request["parentId"], parent);
        let tags = json!({
            "component": "apisix", "http.method": "GET", "http.url": url, "http.status_code": "200",
        });
        assert_eq!(request["tags"], tags);
        let here = json!({"serviceName": "gateway", "ipv4": "127.0.0.1", "port": address.port()});
        assert_eq!(request["localEndpoint"], here);
        assert_eq!(request["remoteEndpoint"]["ipv4"], "127.0.0.1");
        // What the upstream knows as its parents is what the collector is told.
        assert_eq!(proxy["id"], told(received, "spanid"));
        assert_eq!(request["id"], told(received, "parentspanid"));
        for part in [&proxy, &response] {
            assert_eq!(part["parentId"], request["id"]);
            assert!(part["timestamp"].as_u64() >= request["timestamp"].as_u64());
            assert!(part["duration"].as_u64() <= request["duration"].as_u64());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_decides_before_chance_does_and_nonsense_is_refused() {
    let (gateway, collector) = (Gateway::start().await, Upstream::answering("").await);
    let upstream = Upstream::answering("ok").await;
    route(&gateway, &upstream, "zipkin", plugin(&collector, 1.0)).await;
    let no = gateway.get("/a").header("b3", "0").await;
    no.expect_status(200);
    assert_eq!(told(&upstream.last_request(), "sampled"), "0");
    assert!(upstream.last_request().header("b3").is_none());
    let no = gateway
        .get("/a")
        .header("x-b3-traceid", TRACE)
        .header("x-b3-spanid", SPAN)
        .header("x-b3-sampled", "0");
    no.await.expect_status(200);
    assert_eq!(told(&upstream.last_request(), "sampled"), "0");
    for wrong in ["", "x", "1-2-3-4-5", &format!("{TRACE}-{SPAN}-maybe")] {
        let answer = gateway.get("/a").header("b3", wrong).await;
        answer.expect_status(400);
    }
    let hits = upstream.hits();
    // Of several headers, those that are not valid are as good as none.
    let hostile = gateway
        .get("/a")
        .header("x-b3-traceid", "x".repeat(4000))
        .header("x-b3-spanid", b"\xff");
    hostile.await.expect_status(200);
    assert_eq!(upstream.hits(), hits + 1);
    let own = told(&upstream.last_request(), "traceid");
    assert!(is_id(&own, 32), "{own}");
    // The least part that can be configured: only who asks is traced.
    route(&gateway, &upstream, "zipkin", plugin(&collector, 0.00001)).await;
    let debug = gateway
        .get("/a")
        .header("x-b3-traceid", TRACE)
        .header("x-b3-spanid", SPAN)
        .header("x-b3-flags", "1");
    debug.await.expect_status(200);
    assert_eq!(told(&upstream.last_request(), "flags"), "1");
    end(gateway).await;
    let all = spans(&collector);
    trace(&all, &own);
    let [request, ..] = trace(&all, TRACE);
    assert_eq!(request["parentId"], SPAN);
    // The refused requests had no trace, and those that were not to be traced left no span.
    assert_eq!(all.len(), 6, "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_requests_nothing() {
    let (gateway, upstream) = (Gateway::start().await, Upstream::answering("ok").await);
    let nobody = Port::reserve();
    let zipkin = json!({ "endpoint": format!("http://{}/", nobody.addr()), "sample_ratio": 1 });
    route(&gateway, &upstream, "zipkin", zipkin).await;
    gateway.get("/a").await.expect_status(200);
    let failed = "name=\"zipkin_report\",reason=\"failed\",route_id=\"1\"";
    eventually("its spans are counted", PATIENCE, async || {
        let page = gateway.metrics().await;
        page.lines()
            .any(|line| line.contains(failed) && line.ends_with(" 3"))
    })
    .await;
}
