//! How much may come: the limit plugins and the address list.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, Upstream, eventually, wait_until};

async fn world(plugins: Value) -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let route = json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    (gateway, upstream)
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_count_counts_down_and_says_so() {
    let plugins = json!({ "limit-count": { "count": 2, "time_window": 600 } });
    let (gateway, upstream) = world(plugins).await;
    for remaining in ["1", "0"] {
        let answer = gateway.get("/a").await.expect_status(200);
        assert_eq!(answer.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(answer.header("x-ratelimit-remaining"), Some(remaining));
        let reset: f64 = answer.header("x-ratelimit-reset").unwrap().parse().unwrap();
        assert!((1.0..=600.0).contains(&reset), "{reset}");
    }
    let refused = gateway.get("/a").await.expect_status(503);
    assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
    assert_eq!(upstream.hits(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_count_refuses_in_its_own_words_and_forgets_after_the_window() {
    let plugins = json!({ "limit-count": {
        "count": 1, "time_window": 1, "rejected_code": 429, "rejected_msg": "slow down",
        "show_limit_quota_header": false,
    } });
    let (gateway, _upstream) = world(plugins).await;
    let answer = gateway.get("/a").await.expect_status(200);
    assert!(!answer.headers.has("x-ratelimit-limit"));
    eventually("a request is refused", PATIENCE, async || {
        let answer = gateway.get("/a").await;
        answer.status == 429 && answer.json() == json!({ "error_msg": "slow down" })
    })
    .await;
    eventually("the window is over", PATIENCE, async || {
        gateway.get("/a").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_count_counts_for_each_value_of_its_key() {
    let plugins = json!({ "limit-count": {
        "count": 1, "time_window": 600, "key": "http_x_tenant", "key_type": "var",
    } });
    let (gateway, _upstream) = world(plugins).await;
    let ask = |tenant: &str| gateway.get("/a").header("X-Tenant", tenant);
    ask("one").await.expect_status(200);
    ask("one").await.expect_status(503);
    ask("two").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_over_its_quota_gets_503_and_the_others_do_not() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let consumer = |name: &str, count: u32| {
        json!({ "username": name, "plugins": {
            "key-auth": { "key": format!("{name}-key") },
            "limit-count": { "count": count, "time_window": 600 },
        } })
    };
    let route = json!({
        "uri": "/a", "plugins": { "key-auth": {} }, "upstream": upstream.document(),
    });
    gateway
        .put_all([
            ("/consumers/jack", consumer("jack", 1)),
            ("/consumers/jill", consumer("jill", 3)),
            ("/routes/1", route),
        ])
        .await;
    let ask = |name: &str| gateway.get("/a").header("apikey", format!("{name}-key"));
    ask("jack").await.expect_status(200);
    ask("jack").await.expect_status(503);
    for _ in 0..3 {
        ask("jill").await.expect_status(200);
    }
    ask("jill").await.expect_status(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_count_is_exact_under_concurrency() {
    let plugins = json!({ "limit-count": { "count": 25, "time_window": 600 } });
    let (gateway, upstream) = world(plugins).await;
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let request = gateway.get("/a");
        clients.spawn(async move { request.await.status });
    }
    let statuses = clients.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 25);
    assert_eq!(statuses.iter().filter(|status| **status == 503).count(), 35);
    assert_eq!(upstream.hits(), 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_req_refuses_what_exceeds_the_burst() {
    let plugins = json!({ "limit-req": {
        "rate": 0.1, "burst": 1, "key": "remote_addr", "nodelay": true, "rejected_code": 429,
    } });
    let (gateway, _upstream) = world(plugins).await;
    gateway.get("/a").await.expect_status(200);
    gateway.get("/a").await.expect_status(200);
    gateway.get("/a").await.expect_status(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_req_delays_what_is_within_the_burst() {
    let plugins = json!({ "limit-req": { "rate": 2, "burst": 5, "key": "remote_addr" } });
    let (gateway, _upstream) = world(plugins).await;
    let started = Instant::now();
    for _ in 0..3 {
        gateway.get("/a").await.expect_status(200);
    }
    assert!(
        started.elapsed() > Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn limit_conn_refuses_while_too_many_are_in_flight() {
    let plugins = json!({ "limit-conn": {
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr",
        "rejected_code": 429,
    } });
    let (gateway, upstream) = world(plugins).await;
    upstream.answer(Answer::text("slow").after(Duration::from_millis(1500)));
    let first = tokio::spawn(gateway.get("/a").send());
    wait_until("the first is at the upstream", PATIENCE, || {
        upstream.hits() == 1
    })
    .await;
    gateway.get("/a").await.expect_status(429);
    assert_eq!(first.await.unwrap().unwrap().status, 200);
    upstream.answer(Answer::text("fast"));
    eventually("the place is free again", PATIENCE, async || {
        gateway.get("/a").await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ip_restriction_lists_who_may_and_who_may_not() {
    let (gateway, upstream) =
        world(json!({ "ip-restriction": { "blacklist": ["127.0.0.0/8"] } })).await;
    let refused = gateway.get("/a").await.expect_status(403);
    assert_eq!(
        refused.json(),
        json!({ "message": "Your IP address is not allowed" })
    );
    let forged = gateway.get("/a").header("X-Forwarded-For", "10.0.0.1");
    forged
        .header("X-Real-IP", "10.0.0.1")
        .await
        .expect_status(403);
    assert_eq!(upstream.hits(), 0);

    let route = |plugin: Value| json!({ "uri": "/a", "plugins": { "ip-restriction": plugin }, "upstream": upstream.document() });
    let only_others = json!({ "whitelist": ["10.0.0.0/8"], "message": "go away" });
    gateway.put("/routes/1", route(only_others)).await;
    let refused = gateway.get("/a").await.expect_status(403);
    assert_eq!(refused.json(), json!({ "message": "go away" }));
    gateway
        .put(
            "/routes/1",
            route(json!({ "whitelist": ["10.0.0.0/8", "127.0.0.1"] })),
        )
        .await;
    gateway.get("/a").await.expect_status(200);
}
