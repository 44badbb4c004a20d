//! Which configuration of a plugin applies, in which order plugins run, what `_meta` does.

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Upstream, eventually};

/// `response-rewrite` that names the level where it was configured.
fn mark(level: &str) -> Value {
    json!({ "response-rewrite": { "headers": { "set": { "X-Level": level } } } })
}

/// `mark` together with key-auth, which a route needs to know its consumer.
fn with_auth(mut plugins: Value) -> Value {
    plugins["key-auth"] = json!({});
    plugins
}

#[tokio::test(flavor = "multi_thread")]
async fn consumer_beats_group_beats_route_beats_plugin_config_beats_service() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let key = |name: &str| json!({ "key-auth": { "key": name } });
    let own = |name: &str| {
        let mut plugins = mark("consumer");
        plugins["key-auth"] = json!({ "key": name });
        plugins
    };
    gateway
        .put_all([
            ("/consumer_groups/g", json!({ "plugins": mark("group") })),
            (
                "/consumers/plain",
                json!({ "username": "plain", "plugins": key("plain") }),
            ),
            (
                "/consumers/member",
                json!({ "username": "member", "group_id": "g", "plugins": key("member") }),
            ),
            (
                "/consumers/own",
                json!({ "username": "own", "group_id": "g", "plugins": own("own") }),
            ),
            (
                "/plugin_configs/p",
                json!({ "plugins": with_auth(mark("plugin-config")) }),
            ),
            (
                "/services/s",
                json!({ "upstream": upstream.document(), "plugins": with_auth(mark("service")) }),
            ),
            (
                "/routes/service",
                json!({ "uri": "/service", "service_id": "s" }),
            ),
            (
                "/routes/config",
                json!({ "uri": "/config", "service_id": "s", "plugin_config_id": "p" }),
            ),
            (
                "/routes/route",
                json!({
                    "uri": "/route", "service_id": "s", "plugin_config_id": "p",
                    "plugins": mark("route"),
                }),
            ),
        ])
        .await;
    for (who, path, level) in [
        ("plain", "/service", "service"),
        ("plain", "/config", "plugin-config"),
        ("plain", "/route", "route"),
        ("member", "/route", "group"),
        ("own", "/route", "consumer"),
        ("own", "/service", "consumer"),
    ] {
        let answer = gateway
            .get(path)
            .header("apikey", who)
            .await
            .expect_status(200);
        assert_eq!(answer.headers.all("x-level"), [level], "{who} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_replaced_whole_never_field_by_field() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let service = json!({ "response-rewrite": { "status_code": 202, "headers": { "X-S": "1" } } });
    let route = json!({ "response-rewrite": { "headers": { "X-R": "1" } } });
    gateway
        .put_all([
            (
                "/services/s",
                json!({ "upstream": upstream.document(), "plugins": service }),
            ),
            (
                "/routes/1",
                json!({ "uri": "/a", "service_id": "s", "plugins": route }),
            ),
        ])
        .await;
    let answer = gateway.get("/a").await.expect_status(200);
    assert!(answer.headers.has("x-r") && !answer.headers.has("x-s"));
}

#[tokio::test(flavor = "multi_thread")]
async fn global_rules_run_in_addition_and_also_on_404() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let global = json!({ "response-rewrite": { "headers": { "add": ["X-Seen: global"] } } });
    let local = json!({ "response-rewrite": { "headers": { "add": ["X-Seen: route"] } } });
    gateway
        .put_all([
            ("/global_rules/1", json!({ "plugins": global })),
            (
                "/routes/1",
                json!({ "uri": "/a", "plugins": local, "upstream": upstream.document() }),
            ),
        ])
        .await;
    let answer = gateway.get("/a").await.expect_status(200);
    assert_eq!(answer.headers.all("x-seen"), ["global", "route"]);
    let missing = gateway.get("/none").await.expect_status(404);
    assert_eq!(missing.headers.all("x-seen"), ["global"]);
    assert_eq!(missing.text(), "{\"error_msg\":\"404 Route Not Found\"}\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_global_rule_can_refuse_what_no_route_matches() {
    let gateway = Gateway::start().await;
    let rule = json!({ "plugins": { "ip-restriction": { "blacklist": ["127.0.0.1"] } } });
    gateway
        .admin()
        .put("/global_rules/1", &rule)
        .await
        .expect_status(201);
    eventually("the rule is live", PATIENCE, async || {
        gateway.get("/none").await.status == 403
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_run_by_priority_and_meta_priority_changes_that() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    // mocking (10900) runs in `access`, ip-restriction (3000) too: mocking answers first.
    let plugins = |first: Value| {
        json!({
            "mocking": { "response_example": "mocked", "content_type": "text/plain" },
            "ip-restriction": first,
        })
    };
    let route = |plugins: Value| json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
    let refuse = json!({ "blacklist": ["127.0.0.1"] });
    gateway.put("/routes/1", route(plugins(refuse))).await;
    assert_eq!(gateway.get("/a").await.expect_status(200).text(), "mocked");

    let sooner = json!({ "blacklist": ["127.0.0.1"], "_meta": { "priority": 20000 } });
    gateway.put("/routes/1", route(plugins(sooner))).await;
    gateway.get("/a").await.expect_status(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_disable_hides_the_plugin_at_this_level_and_below() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let off =
        json!({ "limit-count": { "count": 1, "time_window": 60, "_meta": { "disable": true } } });
    let on = json!({ "limit-count": { "count": 1, "time_window": 600 } });
    gateway
        .put_all([
            (
                "/services/s",
                json!({ "upstream": upstream.document(), "plugins": on }),
            ),
            (
                "/routes/1",
                json!({ "uri": "/a", "service_id": "s", "plugins": off }),
            ),
        ])
        .await;
    for _ in 0..3 {
        let answer = gateway.get("/a").await.expect_status(200);
        assert!(!answer.headers.has("x-ratelimit-limit"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_filter_decides_for_which_requests_a_plugin_runs() {
    let gateway = Gateway::start().await;
    let upstream = Upstream::answering("ok").await;
    let plugins = json!({ "ip-restriction": {
        "blacklist": ["127.0.0.1"], "_meta": { "filter": [["arg_guard", "==", "on"]] },
    } });
    let route = json!({ "uri": "/a", "plugins": plugins, "upstream": upstream.document() });
    gateway.put("/routes/1", route).await;
    gateway.get("/a").await.expect_status(200);
    gateway.get("/a?guard=on").await.expect_status(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_error_response_replaces_the_words_of_a_refusal() {
    let gateway = Gateway::start().await;
    let plugins = json!({
        "key-auth": { "_meta": { "error_response": { "message": "who are you?" } } },
    });
    gateway
        .put("/routes/1", json!({ "uri": "/a", "plugins": plugins }))
        .await;
    let answer = gateway.get("/a").await.expect_status(401);
    assert_eq!(answer.json(), json!({ "message": "who are you?" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn meta_has_no_unknown_fields() {
    let gateway = Gateway::start().await;
    let route = json!({ "uri": "/a", "plugins": { "key-auth": { "_meta": { "nonsense": 1 } } } });
    gateway
        .admin()
        .put("/routes/1", &route)
        .await
        .expect_status(400);
}
