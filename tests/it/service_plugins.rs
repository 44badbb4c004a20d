//! What services are for: one place that regulates all routes of a backend.

use serde_json::json;

use crate::support::{Gateway, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn limit_count_on_a_service_is_one_quota_for_both_of_its_routes() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let quota = json!({ "count": 3, "time_window": 600, "rejected_code": 429 });
    gateway
        .put_all([
            (
                "/services/1",
                json!({ "upstream": upstream.document(), "plugins": { "limit-count": quota } }),
            ),
            (
                "/routes/orders",
                json!({ "uri": "/orders", "service_id": "1" }),
            ),
            (
                "/routes/users",
                json!({ "uri": "/users", "service_id": "1" }),
            ),
        ])
        .await;

    let mut remaining = Vec::new();
    for path in ["/orders", "/users", "/orders"] {
        let answer = gateway.get(path).await.expect_status(200);
        remaining.push(
            answer
                .header("x-ratelimit-remaining")
                .unwrap_or("none")
                .to_owned(),
        );
    }
    assert_eq!(
        remaining,
        ["2", "1", "0"],
        "both routes draw on the same quota"
    );
    gateway.get("/users").await.expect_status(429);
    gateway.get("/orders").await.expect_status(429);
    assert_eq!(upstream.hits(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_plugin_on_each_route_is_a_quota_for_each_route() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let route = |uri: &str| {
        json!({
            "uri": uri,
            "upstream": upstream.document(),
            "plugins": { "limit-count": { "count": 1, "time_window": 600 } },
        })
    };
    gateway
        .put_all([("/routes/a", route("/a")), ("/routes/b", route("/b"))])
        .await;
    gateway.get("/a").await.expect_status(200);
    gateway.get("/a").await.expect_status(503);
    gateway.get("/b").await.expect_status(200);
    gateway.get("/b").await.expect_status(503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_its_own_mind_replaces_the_services_plugin_whole() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    gateway
        .put_all([
            (
                "/services/1",
                json!({
                    "upstream": upstream.document(),
                    "plugins": { "limit-count": { "count": 1, "time_window": 600 } },
                }),
            ),
            (
                "/routes/vip",
                json!({
                    "uri": "/vip",
                    "service_id": "1",
                    "plugins": { "limit-count": { "count": 2, "time_window": 600, "rejected_code": 429 } },
                }),
            ),
            ("/routes/plain", json!({ "uri": "/plain", "service_id": "1" })),
        ])
        .await;
    gateway.get("/plain").await.expect_status(200);
    gateway.get("/plain").await.expect_status(503);
    gateway.get("/vip").await.expect_status(200);
    gateway.get("/vip").await.expect_status(200);
    gateway.get("/vip").await.expect_status(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_survive_edits_elsewhere_and_start_anew_when_their_own_configuration_changes() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let service = |count: u32| {
        json!({
            "upstream": upstream.document(),
            "plugins": { "limit-count": { "count": count, "time_window": 600 } },
        })
    };
    gateway
        .put_all([
            ("/services/1", service(1)),
            ("/routes/1", json!({ "uri": "/a", "service_id": "1" })),
        ])
        .await;
    gateway.get("/a").await.expect_status(200);
    gateway.get("/a").await.expect_status(503);

    let other = json!({ "uri": "/other", "upstream": upstream.document() });
    gateway.put("/routes/2", other).await;
    gateway
        .patch("/routes/1", json!({ "desc": "edited" }))
        .await;
    gateway.get("/a").await.expect_status(503);

    gateway.put("/services/1", service(2)).await;
    gateway.get("/a").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_services_upstream_reaches_its_routes() {
    let gateway = Gateway::start().await;
    let (blue, green) = (
        Upstream::answering("blue").await,
        Upstream::answering("green").await,
    );
    gateway
        .put_all([
            ("/services/1", json!({ "upstream": blue.document() })),
            ("/routes/a", json!({ "uri": "/a", "service_id": "1" })),
            ("/routes/b", json!({ "uri": "/b", "service_id": "1" })),
        ])
        .await;
    assert_eq!(gateway.get("/a").await.text(), "blue");
    gateway
        .put("/services/1", json!({ "upstream": green.document() }))
        .await;
    assert_eq!(gateway.get("/a").await.text(), "green");
    assert_eq!(gateway.get("/b").await.text(), "green");
}
