//! Where requests go: balancing, retries, what failures look like, the Host that nodes see.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Port, Reply, Upstream};

/// A gateway with one route on `/*` to an upstream made of this document.
async fn gateway_to(upstream: Value) -> Gateway {
    let gateway = Gateway::start().await;
    gateway
        .put("/routes/1", json!({ "uri": "/*", "upstream": upstream }))
        .await;
    gateway
}

/// Upstreams that answer with their name, and the map of their nodes with these weights.
async fn nodes<const N: usize>(weights: [(&str, u32); N]) -> (Vec<Upstream>, Value) {
    let mut upstreams = Vec::new();
    let mut map = serde_json::Map::new();
    for (name, weight) in weights {
        let upstream = Upstream::answering(name).await;
        map.insert(upstream.node(), json!(weight));
        upstreams.push(upstream);
    }
    (upstreams, Value::Object(map))
}

async fn tally(gateway: &Gateway, requests: usize) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for _ in 0..requests {
        *tally
            .entry(gateway.get("/").await.expect_status(200).text())
            .or_default() += 1;
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn round_robin_follows_the_weights_exactly() {
    let (_upstreams, nodes) = nodes([("a", 5), ("b", 3), ("c", 2)]).await;
    let gateway = gateway_to(json!({ "type": "roundrobin", "nodes": nodes })).await;
    let tally = tally(&gateway, 100).await;
    let expected = [("a", 50), ("b", 30), ("c", 20)].map(|(name, n)| (name.to_owned(), n));
    assert_eq!(tally, BTreeMap::from(expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_weight_0_gets_nothing() {
    let (upstreams, nodes) = nodes([("a", 1), ("b", 0)]).await;
    let gateway = gateway_to(json!({ "type": "roundrobin", "nodes": nodes })).await;
    assert_eq!(
        tally(&gateway, 10).await,
        BTreeMap::from([("a".to_owned(), 10)])
    );
    assert_eq!(upstreams[1].hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_may_be_written_as_a_list_and_lower_priority_waits() {
    let (first, second) = (
        Upstream::answering("first").await,
        Upstream::answering("second").await,
    );
    let node = |upstream: &Upstream, priority: i32| {
        let addr = upstream.addr();
        json!({ "host": addr.ip().to_string(), "port": addr.port(), "weight": 1, "priority": priority })
    };
    let nodes = json!([node(&first, 0), node(&second, -1)]);
    let mut first = first;
    let gateway = gateway_to(json!({ "nodes": nodes })).await;
    assert_eq!(
        tally(&gateway, 5).await,
        BTreeMap::from([("first".to_owned(), 5)])
    );
    first.stop().await;
    assert_eq!(gateway.get("/").await.expect_status(200).text(), "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn consistent_hashing_keeps_a_key_on_its_node() {
    let (_upstreams, nodes) = nodes([("a", 1), ("b", 1), ("c", 1)]).await;
    let gateway = gateway_to(json!({
        "type": "chash", "hash_on": "header", "key": "X-User", "nodes": nodes,
    }))
    .await;
    let ask = async |user: &str| {
        gateway
            .get("/")
            .header("X-User", user)
            .await
            .expect_status(200)
            .text()
    };
    let mut seen = BTreeMap::new();
    for user in 0..30 {
        let user = format!("user-{user}");
        let node = ask(&user).await;
        for _ in 0..3 {
            assert_eq!(ask(&user).await, node, "{user} stays");
        }
        *seen.entry(node).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 3, "thirty users on three nodes: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn consistent_hashing_moves_only_the_keys_of_a_node_that_goes() {
    let (upstreams, nodes) = nodes([("a", 1), ("b", 1), ("c", 1)]).await;
    let document = |nodes: Value| json!({ "type": "chash", "hash_on": "vars", "key": "arg_k", "nodes": nodes });
    let gateway = gateway_to(document(nodes.clone())).await;
    let ask = async |k: usize| {
        gateway
            .get(&format!("/?k={k}"))
            .await
            .expect_status(200)
            .text()
    };
    let mut before = Vec::new();
    for k in 0..40 {
        before.push(ask(k).await);
    }
    let mut fewer = nodes;
    fewer.as_object_mut().unwrap().remove(&upstreams[2].node());
    let route = json!({ "uri": "/*", "upstream": document(fewer) });
    gateway.put("/routes/1", route).await;
    for (k, node) in before.iter().enumerate() {
        let now = ask(k).await;
        assert!(
            node == "c" || now == *node,
            "key {k} was on {node}, is on {now}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_retried_elsewhere_and_nobody_notices() {
    let dead = Port::reserve();
    let alive = Upstream::answering("alive").await;
    let nodes = json!({ dead.addr().to_string(): 1, alive.node(): 1 });
    let gateway = gateway_to(json!({ "nodes": nodes })).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.expect_status(200).text(), "alive");
    }
    assert_eq!(alive.hits(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_0_means_one_try() {
    let (dead, alive) = (Port::reserve(), Upstream::answering("alive").await);
    let nodes = json!({ dead.addr().to_string(): 1, alive.node(): 1 });
    let gateway = gateway_to(json!({ "nodes": nodes, "retries": 0 })).await;
    let mut refused = 0;
    for _ in 0..10 {
        refused += usize::from(gateway.get("/").await.status == 502);
    }
    assert_eq!(refused, 5, "half of the tries meet the dead node");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_upstream_are_not_retried_whatever_their_status() {
    let upstream = Upstream::start().await;
    let second = Upstream::answering("never asked").await;
    upstream.answer(Answer::status(503));
    second.answer(Answer::status(503));
    let nodes = json!({ upstream.node(): 1, second.node(): 1 });
    let gateway = gateway_to(json!({ "nodes": nodes, "retries": 3 })).await;
    gateway.get("/").await.expect_status(503);
    assert_eq!(upstream.hits() + second.hits(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_an_upstream_may_have_seen_is_never_sent_again() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    first.answer(Answer::Reset);
    second.answer(Answer::Reset);
    let nodes = json!({ first.node(): 1, second.node(): 1 });
    let gateway = gateway_to(json!({ "nodes": nodes, "retries": 3 })).await;
    gateway
        .request("POST", "/")
        .body("pay 5")
        .await
        .expect_status(502);
    assert_eq!(first.hits() + second.hits(), 1);

    first.clear();
    second.clear();
    gateway.get("/").await.expect_status(502);
    assert!(first.hits() + second.hits() >= 2, "a GET may be");
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_have_the_status_that_says_who_failed() {
    let dead = Port::reserve();
    let hangs = Upstream::start().await;
    hangs.answer(Answer::Hang);
    let closes = Upstream::start().await;
    closes.answer(Answer::Close);
    let lies = Upstream::start().await;
    lies.answer(Answer::Raw(b"this is not HTTP\r\n\r\n".to_vec()));
    let short = json!({ "connect": 1, "send": 1, "read": 0.3 });
    let gateway = Gateway::start().await;
    gateway
        .put_all([
            (
                "/routes/1",
                json!({ "uri": "/dead", "upstream": { "nodes": { dead.addr().to_string(): 1 } } }),
            ),
            (
                "/routes/2",
                json!({ "uri": "/hangs", "timeout": short, "upstream": hangs.document() }),
            ),
            (
                "/routes/3",
                json!({ "uri": "/closes", "upstream": closes.document() }),
            ),
            (
                "/routes/4",
                json!({ "uri": "/lies", "upstream": lies.document() }),
            ),
            (
                "/routes/5",
                json!({ "uri": "/none", "plugins": { "request-id": {} } }),
            ),
            (
                "/routes/6",
                json!({ "uri": "/empty", "upstream": { "nodes": {} } }),
            ),
        ])
        .await;
    for (path, status) in [
        ("/dead", 502),
        ("/hangs", 504),
        ("/closes", 502),
        ("/lies", 502),
        ("/none", 503),
        ("/empty", 503),
    ] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(!answer.body.is_empty(), "{path} explains itself");
        assert!(answer.header("content-type").is_some(), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_timeout_is_kept_and_the_routes_beats_the_upstreams() {
    let upstream = Upstream::start().await;
    upstream.answer(Answer::Hang);
    let mut document = upstream.document();
    document["timeout"] = json!({ "connect": 5, "send": 5, "read": 30 });
    document["retries"] = json!(0);
    let gateway = Gateway::start().await;
    let timeout = json!({ "connect": 5, "send": 5, "read": 0.5 });
    gateway
        .put(
            "/routes/1",
            json!({ "uri": "/a", "timeout": timeout, "upstream": document }),
        )
        .await;
    let started = Instant::now();
    gateway.get("/a").await.expect_status(504);
    let took = started.elapsed();
    assert!(
        took >= Duration::from_millis(450) && took < Duration::from_secs(10),
        "{took:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_within_the_timeout_is_an_answer() {
    let upstream = Upstream::start().await;
    upstream.answer(Answer::text("slow").after(Duration::from_millis(300)));
    let gateway = gateway_to(upstream.document()).await;
    assert_eq!(gateway.get("/").await.expect_status(200).text(), "slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn pass_host_decides_which_host_the_node_sees() {
    let upstream = Upstream::start().await;
    let with = |extra: Value| {
        let mut document = upstream.document();
        document
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        document
    };
    let gateway = Gateway::start().await;
    gateway
        .put_all([
            ("/routes/1", json!({ "uri": "/pass", "upstream": with(json!({})) })),
            ("/routes/2", json!({ "uri": "/node", "upstream": with(json!({ "pass_host": "node" })) })),
            (
                "/routes/3",
                json!({
                    "uri": "/rewrite",
                    "upstream": with(json!({ "pass_host": "rewrite", "upstream_host": "inner.test" })),
                }),
            ),
        ])
        .await;
    for (path, expected) in [
        ("/pass", "shop.example:8080".to_owned()),
        ("/node", upstream.node()),
        ("/rewrite", "inner.test".to_owned()),
    ] {
        let answer = gateway
            .get(path)
            .host("shop.example:8080")
            .await
            .expect_status(200);
        assert_eq!(answer.echoed_headers("host"), [expected], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_learns_who_asked_and_the_client_cannot_pretend() {
    let upstream = Upstream::start().await;
    let gateway = gateway_to(upstream.document()).await;
    let answer = gateway
        .get("/")
        .host("shop.example")
        .header("X-Real-IP", "6.6.6.6")
        .header("X-Forwarded-Proto", "https")
        .header("X-Forwarded-Host", "evil.example")
        .header("Forwarded", "for=6.6.6.6")
        .await
        .expect_status(200);
    assert_eq!(answer.echoed_headers("x-real-ip"), ["127.0.0.1"]);
    assert_eq!(answer.echoed_headers("x-forwarded-proto"), ["http"]);
    assert_eq!(answer.echoed_headers("x-forwarded-host"), ["shop.example"]);
    assert_eq!(
        answer.echoed_headers("x-forwarded-for").last().unwrap(),
        "127.0.0.1"
    );
    assert!(answer.echoed_headers("forwarded").is_empty());
    assert!(answer.echoed_header("x-forwarded-port").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_and_end_to_end_fields_pass_unchanged_both_ways() {
    let upstream = Upstream::start().await;
    upstream.script(|received| {
        Answer::Reply(
            Reply::new(201, received.body.clone())
                .header("Set-Cookie", "a=1")
                .header("Set-Cookie", "b=2")
                .header("X-Upstream", "yes"),
        )
    });
    let gateway = gateway_to(upstream.document()).await;
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let answer = gateway
        .request("POST", "/p?q=1")
        .header("X-A", "b")
        .body(body.clone())
        .await;
    let answer = answer.expect_status(201);
    assert!(
        answer.body == body,
        "{} bytes came back of {}",
        answer.body.len(),
        body.len()
    );
    assert_eq!(answer.headers.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.header("x-upstream"), Some("yes"));
    let received = upstream.last_request();
    assert_eq!(
        (received.method.as_str(), received.target.as_str()),
        ("POST", "/p?q=1")
    );
    assert_eq!(received.header("x-a"), Some("b"));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_to_a_node_are_used_again() {
    let upstream = Upstream::start().await;
    let gateway = gateway_to(upstream.document()).await;
    for _ in 0..20 {
        gateway.get("/").await.expect_status(200);
    }
    assert!(
        upstream.connections() <= 4,
        "{} connections for 20 requests",
        upstream.connections()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_object_is_shared_and_wins_over_the_inline_one() {
    let (shared, inline) = (
        Upstream::answering("shared").await,
        Upstream::answering("inline").await,
    );
    let gateway = Gateway::start().await;
    gateway
        .put_all([
            ("/upstreams/1", shared.document()),
            (
                "/routes/1",
                json!({ "uri": "/a", "upstream_id": "1", "upstream": inline.document() }),
            ),
            ("/routes/2", json!({ "uri": "/b", "upstream_id": "1" })),
        ])
        .await;
    assert_eq!(gateway.get("/a").await.text(), "shared");
    assert_eq!(gateway.get("/b").await.text(), "shared");
    gateway.put("/upstreams/1", inline.document()).await;
    assert_eq!(gateway.get("/b").await.text(), "inline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_connection_leaves_the_retries_for_other_nodes() {
    let (sick, sound) = (Upstream::start().await, Upstream::answering("sound").await);
    let nodes = json!({ sick.node(): 1000, sound.node(): 1 });
    let gateway = gateway_to(json!({ "nodes": nodes })).await;
    for _ in 0..5 {
        gateway.get("/").await.expect_status(200);
    }
    // The connection that is kept breaks off, and so does a new one: the other node has not been asked yet.
    sick.answer(Answer::Close);
    let answer = gateway.get("/").await.expect_status(200);
    assert_eq!(answer.text(), "sound");
}
