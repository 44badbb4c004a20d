//! Health: who is asked, who is left out, who comes back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, Upstream, eventually};

/// Answers `name` on `/`, and on `/health` whatever `well` says.
fn behave(upstream: &Upstream, name: &'static str, well: bool) {
    upstream.script(move |received| {
        if received.target == "/health" && !well {
            return Answer::status(500);
        }
        Answer::text(name)
    });
}

fn active_checks() -> Value {
    json!({
        "active": {
            "http_path": "/health",
            "healthy": { "interval": 1, "successes": 1 },
            "unhealthy": { "interval": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1 },
        },
    })
}

async fn who_answers(gateway: &Gateway) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for _ in 0..8 {
        let answer = gateway.get("/").await;
        names.insert(if answer.status == 200 {
            answer.text()
        } else {
            answer.status.to_string()
        });
    }
    names
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_active_check_takes_a_sick_node_out_and_brings_it_back() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", true);
    behave(&b, "b", true);
    let gateway = Gateway::start().await;
    let nodes = json!({ a.node(): 1, b.node(): 1 });
    let upstream = json!({ "nodes": nodes, "checks": active_checks() });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    assert_eq!(who_answers(&gateway).await, names(&["a", "b"]));

    behave(&b, "b", false);
    eventually("the sick node is left out", PATIENCE, async || {
        who_answers(&gateway).await == names(&["a"])
    })
    .await;
    behave(&b, "b", true);
    eventually("the node is back", PATIENCE, async || {
        who_answers(&gateway).await == names(&["a", "b"])
    })
    .await;
    let probed = a
        .requests()
        .into_iter()
        .find(|r| r.target == "/health")
        .expect("a probe");
    assert_eq!(probed.method, "GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_api_shows_which_nodes_are_healthy() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", true);
    behave(&b, "b", false);
    let gateway = Gateway::start().await;
    let document = json!({ "nodes": { a.node(): 1, b.node(): 1 }, "checks": active_checks() });
    gateway
        .put_all([
            ("/upstreams/1", document),
            ("/routes/1", json!({ "uri": "/*", "upstream_id": "1" })),
        ])
        .await;
    gateway.get("/").await;
    eventually(
        "one node is shown as healthy, the other not",
        PATIENCE,
        async || {
            let answer = gateway.control("/v1/healthcheck/upstreams/1").await;
            if answer.status != 200 {
                return false;
            }
            let checker = answer.json();
            let status = |upstream: &Upstream| {
                let port = upstream.addr().port();
                let nodes = checker["nodes"].as_array().cloned().unwrap_or_default();
                let node = nodes.into_iter().find(|node| node["port"] == port);
                node.and_then(|node| node["status"].as_str().map(str::to_owned))
                    .unwrap_or_default()
            };
            status(&a).contains("healthy") && status(&b) == "unhealthy"
        },
    )
    .await;
    let unknown = gateway.control("/v1/healthcheck/upstreams/none").await;
    unknown.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn passive_checks_learn_from_real_answers() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", true);
    b.script(|received| {
        if received.target == "/health" {
            Answer::text("fine")
        } else {
            Answer::status(500)
        }
    });
    let gateway = Gateway::start().await;
    let checks = json!({
        "active": {
            "http_path": "/health",
            "healthy": { "interval": 60, "successes": 1 },
            "unhealthy": { "interval": 60, "http_failures": 1 },
        },
        "passive": {
            "healthy": { "successes": 1 },
            "unhealthy": { "http_statuses": [500], "http_failures": 2, "tcp_failures": 1 },
        },
    });
    let upstream = json!({ "nodes": { a.node(): 1, b.node(): 1 }, "checks": checks });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    eventually("the failing node is left out", PATIENCE, async || {
        who_answers(&gateway).await == names(&["a"])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_nodes_are_unhealthy_all_are_used() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", false);
    behave(&b, "b", false);
    let gateway = Gateway::start().await;
    let nodes = json!({ a.node(): 1, b.node(): 1 });
    let upstream = json!({ "nodes": nodes, "checks": active_checks() });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    gateway.get("/").await.expect_status(200);
    let probes = |u: &Upstream| {
        u.requests()
            .iter()
            .filter(|r| r.target == "/health")
            .count()
    };
    eventually("both nodes have been found sick", PATIENCE, async || {
        probes(&a) >= 3 && probes(&b) >= 3
    })
    .await;
    assert_eq!(who_answers(&gateway).await, names(&["a", "b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn health_survives_an_edit_elsewhere() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", true);
    behave(&b, "b", false);
    let gateway = Gateway::start().await;
    let nodes = json!({ a.node(): 1, b.node(): 1 });
    let upstream = json!({ "nodes": nodes, "checks": active_checks() });
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    eventually("the sick node is left out", PATIENCE, async || {
        who_answers(&gateway).await == names(&["a"])
    })
    .await;
    for number in 0..5 {
        let other = json!({ "uri": format!("/other/{number}"), "upstream": a.document() });
        gateway.put("/routes/2", other).await;
        assert_eq!(
            who_answers(&gateway).await,
            names(&["a"]),
            "after edit {number}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_and_the_control_api_call_an_upstream_by_one_name() {
    let (a, b) = (Upstream::start().await, Upstream::start().await);
    behave(&a, "a", true);
    behave(&b, "b", false);
    let gateway = Gateway::start().await;
    let nodes = json!({ a.node(): 1, b.node(): 1 });
    let upstream = json!({ "nodes": nodes, "checks": active_checks() });
    gateway.put("/upstreams/u", upstream).await;
    let line = |node: &Upstream, healthy: u8| {
        let port = node.addr().port();
        format!(
            r#"apisix_upstream_status{{name="/apisix/upstreams/u",ip="127.0.0.1",port="{port}"}} {healthy}"#
        )
    };
    eventually("the metrics tell who is sick", PATIENCE, async || {
        let page = gateway.metrics().await;
        page.contains(&line(&a, 1)) && page.contains(&line(&b, 0))
    })
    .await;
    let report = gateway.control("/v1/healthcheck/upstreams/u").await.json();
    assert_eq!(report["name"], "/apisix/upstreams/u");
}
