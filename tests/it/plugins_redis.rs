//! Limits whose counters live in Redis, with real Redis servers.

mod deployments;
pub(crate) mod server;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use server::Server;

use crate::support::{Answer, Gateway, PATIENCE, Upstream, eventually, wait_until};

async fn serve(gateway: &Gateway, upstream: &Upstream, plugin: &str, config: Value) {
    let route = json!({
        "uri": "/a", "plugins": { plugin: config }, "upstream": upstream.document(),
    });
    gateway.put("/routes/1", route).await;
}

/// A limit-count of two requests in ten minutes.
fn count_in(redis: &Server) -> Value {
    json!({
        "count": 2, "time_window": 600, "rejected_code": 429, "policy": "redis",
        "redis_host": "127.0.0.1", "redis_port": redis.port(), "redis_timeout": 5000,
    })
}

fn with(mut config: Value, more: Value) -> Value {
    let (Some(config_fields), Value::Object(more)) = (config.as_object_mut(), more) else {
        panic!("objects were expected");
    };
    config_fields.extend(more);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_share_one_quota() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    for kind in ["fixed", "sliding"] {
        let config = with(count_in(&redis), json!({ "window_type": kind }));
        serve(&one, &upstream, "limit-count", config.clone()).await;
        serve(&two, &upstream, "limit-count", config).await;
        let first = one.get("/a").await.expect_status(200);
        assert_eq!(first.header("x-ratelimit-limit"), Some("2"));
        assert_eq!(first.header("x-ratelimit-remaining"), Some("1"));
        let second = two.get("/a").await.expect_status(200);
        assert_eq!(second.header("x-ratelimit-remaining"), Some("0"));
        for gateway in [&one, &two] {
            let refused = gateway.get("/a").await.expect_status(429);
            assert_eq!(refused.header("x-ratelimit-remaining"), Some("0"));
            let reset: f64 = refused
                .header("x-ratelimit-reset")
                .unwrap()
                .parse()
                .unwrap();
            assert!((1.0..=600.0).contains(&reset), "{reset}");
        }
    }
    // Of a group the keys and values are those of APISIX.
    let config = with(count_in(&redis), json!({ "group": "g" }));
    serve(&one, &upstream, "limit-count", config).await;
    one.get("/a").await.expect_status(200);
    assert_eq!(redis.ask::<u64>("GET plugin-limit-countg:127.0.0.1"), 1);
    assert!(redis.ask::<i64>("TTL plugin-limit-countg:127.0.0.1") > 590);
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_count_passes_through_two_gateways_at_once() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let gateways = [Gateway::start().await, Gateway::start().await];
    for gateway in &gateways {
        let config = with(count_in(&redis), json!({ "count": 25 }));
        serve(gateway, &upstream, "limit-count", config).await;
    }
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..60 {
        let request = gateways[number % 2].get("/a");
        clients.spawn(async move { request.await.status });
    }
    let statuses = clients.join_all().await;
    assert_eq!(statuses.iter().filter(|s| **s == 200).count(), 25);
    assert_eq!(statuses.iter().filter(|s| **s == 429).count(), 35);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_requests_fail_or_pass_by_choice_and_its_return_is_noticed() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::start().await;
    let strict = count_in(&redis);
    let lenient = with(strict.clone(), json!({ "allow_degradation": true }));
    let route = |uri: &str, plugin: &str, config: &Value| json!({ "uri": uri, "plugins": { plugin: config }, "upstream": upstream.document() });
    let of = |name: &str, more: Value| {
        let base = json!({
            "key": "remote_addr", "policy": "redis", "redis_host": "127.0.0.1",
            "redis_port": redis.port(), "redis_timeout": 5000, "rejected_code": 429,
        });
        let own = match name {
            "limit-req" => json!({ "rate": 1000, "burst": 1000 }),
            _ => json!({ "conn": 100, "burst": 0, "default_conn_delay": 0.1 }),
        };
        with(with(base, own), more)
    };
    let degrade = json!({ "allow_degradation": true });
    gateway
        .put_all([
            ("/routes/1", route("/strict", "limit-count", &strict)),
            ("/routes/2", route("/lenient", "limit-count", &lenient)),
            (
                "/routes/3",
                route("/req", "limit-req", &of("limit-req", json!({}))),
            ),
            (
                "/routes/4",
                route(
                    "/req-lenient",
                    "limit-req",
                    &of("limit-req", degrade.clone()),
                ),
            ),
            (
                "/routes/5",
                route("/conn", "limit-conn", &of("limit-conn", json!({}))),
            ),
            (
                "/routes/6",
                route("/conn-lenient", "limit-conn", &of("limit-conn", degrade)),
            ),
        ])
        .await;
    let all = [
        "/strict",
        "/lenient",
        "/req",
        "/req-lenient",
        "/conn",
        "/conn-lenient",
    ];
    for uri in all {
        gateway.get(uri).await.expect_status(200);
    }
    let port = redis.stop();
    let refused = gateway.get("/strict").await.expect_status(500);
    assert_eq!(
        refused.json(),
        json!({ "error_msg": "failed to limit count" })
    );
    gateway.get("/req").await.expect_status(500);
    gateway.get("/conn").await.expect_status(500);
    for uri in ["/lenient", "/req-lenient", "/conn-lenient"] {
        for _ in 0..3 {
            gateway.get(uri).await.expect_status(200);
        }
    }
    let _redis = Server::again(port).await;
    eventually("Redis' return is noticed", PATIENCE, async || {
        gateway.get("/strict").await.status == 200
    })
    .await;
    gateway.get("/lenient").await.expect_status(200);
    gateway.get("/lenient").await.expect_status(200);
    gateway.get("/lenient").await.expect_status(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_costs_no_more_than_its_timeout() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let gateway = Gateway::start().await;
    let config = with(
        count_in(&redis),
        json!({ "redis_timeout": 300, "count": 1000 }),
    );
    serve(&gateway, &upstream, "limit-count", config).await;
    gateway.get("/a").await.expect_status(200);
    redis.freeze();
    let started = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let request = gateway.get("/a");
        clients.spawn(async move { request.await.status });
    }
    assert!(clients.join_all().await.iter().all(|status| *status == 500));
    // Connecting and an answer, each within its timeout, on a busy machine.
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
    redis.thaw();
    eventually("Redis' return is noticed", PATIENCE, async || {
        gateway.get("/a").await.status == 200
    })
    .await;
    // Many requests, few connections.
    let seen: String = redis.ask("INFO stats");
    let made = seen
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"))
        .and_then(|number| number.trim().parse::<u64>().ok())
        .unwrap();
    assert!(made < 15, "{made} connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_progress_are_counted_over_both_gateways() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    let config = json!({
        "conn": 1, "burst": 0, "default_conn_delay": 0.1, "key": "remote_addr", "rejected_code": 429,
        "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port(), "redis_timeout": 5000,
    });
    for gateway in [&one, &two] {
        serve(gateway, &upstream, "limit-conn", config.clone()).await;
    }
    upstream.answer(Answer::text("slow").after(Duration::from_millis(1500)));
    let first = tokio::spawn(one.get("/a").send());
    wait_until("the first is at the upstream", PATIENCE, || {
        upstream.hits() == 1
    })
    .await;
    two.get("/a").await.expect_status(429);
    assert_eq!(first.await.unwrap().unwrap().status, 200);
    upstream.answer(Answer::text("fast"));
    eventually("the place is free again", PATIENCE, async || {
        two.get("/a").await.status == 200
    })
    .await;
    wait_until("nothing is held", PATIENCE, || {
        redis.ask::<u64>("DBSIZE") == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_rate_holds_for_both_gateways() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    let config = |burst: u32, rate: f64| {
        json!({
            "rate": rate, "burst": burst, "key": "remote_addr", "rejected_code": 429, "nodelay": burst == 1,
            "policy": "redis", "redis_host": "127.0.0.1", "redis_port": redis.port(), "redis_timeout": 5000,
        })
    };
    for gateway in [&one, &two] {
        serve(gateway, &upstream, "limit-req", config(1, 0.01)).await;
    }
    one.get("/a").await.expect_status(200);
    two.get("/a").await.expect_status(200);
    one.get("/a").await.expect_status(429);
    two.get("/a").await.expect_status(429);
    // Within the burst requests wait for their turn.
    for gateway in [&one, &two] {
        serve(gateway, &upstream, "limit-req", config(5, 2.0)).await;
    }
    let started = Instant::now();
    one.get("/a").await.expect_status(200);
    two.get("/a").await.expect_status(200);
    one.get("/a").await.expect_status(200);
    assert!(
        started.elapsed() > Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_delayed_synchronisation_gateways_learn_of_each_other_in_time() {
    if !server::installed() {
        return;
    }
    let redis = Server::start(&[]).await;
    let upstream = Upstream::answering("ok").await;
    let (one, two) = (Gateway::start().await, Gateway::start().await);
    let config = with(
        count_in(&redis),
        json!({ "count": 6, "sync_interval": 0.2, "group": "g" }),
    );
    for gateway in [&one, &two] {
        serve(gateway, &upstream, "limit-count", config.clone()).await;
    }
    two.get("/a").await.expect_status(200);
    for left in ["5", "4", "3", "2"] {
        let answer = one.get("/a").await.expect_status(200);
        let told: u64 = answer
            .header("x-ratelimit-remaining")
            .unwrap()
            .parse()
            .unwrap();
        assert!(told <= left.parse().unwrap(), "{told}");
    }
    wait_until("Redis was told of all five", PATIENCE, || {
        redis.ask::<Option<u64>>("GET plugin-limit-countg:127.0.0.1") == Some(5)
    })
    .await;
    eventually("both are refused in the end", PATIENCE, async || {
        let statuses = [one.get("/a").await.status, two.get("/a").await.status];
        statuses == [429, 429]
    })
    .await;
    // Without Redis counting goes on here.
    let port = redis.stop();
    one.get("/a").await.expect_status(429);
    drop(port);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_may_be_changed_as_a_whole_in_a_file() {
    let upstream = Upstream::answering("ok").await;
    let file = |first: u32, second: u32| {
        let route = |id: &str, count: u32| {
            json!({
                "id": id, "uri": format!("/{id}"), "upstream": upstream.document(),
                "plugins": { "limit-count": { "count": count, "time_window": 600, "group": "g" } },
            })
        };
        format!(
            "{}\n#END\n",
            json!({ "routes": [route("one", first), route("two", second)] })
        )
    };
    let gateway = Gateway::builder().with_file(&file(1, 1)).start().await;
    gateway.get("/one").await.expect_status(200);
    gateway.get("/two").await.expect_status(503);
    gateway.write_file(&file(5, 5));
    eventually("the new quota is live", PATIENCE, async || {
        gateway.get("/two").await.header("x-ratelimit-limit") == Some("5")
    })
    .await;
    gateway.write_file(&file(5, 6));
    eventually("the mismatch is told", PATIENCE, async || {
        gateway.log().contains("group conf mismatched")
    })
    .await;
    let answer = gateway.get("/two").await;
    assert_eq!(answer.header("x-ratelimit-limit"), Some("5"));
}
