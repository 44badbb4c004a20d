//! What is refused, and in which words.

use super::*;

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let api = Api::new();
    for body in ["[]", "1", "\"a\"", "null", "true"] {
        let refused = api.call("PUT", "/routes/1", body).await.refused(400);
        assert!(refused.starts_with("invalid configuration: "), "{refused}");
    }
    let empty = api.call("PUT", "/routes/1", "").await;
    assert_eq!(empty.refused(400), "missing configurations");
    let empty = api.call("POST", "/routes", "").await;
    assert_eq!(empty.refused(400), "missing configurations");
    let broken = api
        .call("PUT", "/routes/1", "{\"a\": ")
        .await
        .is(400)
        .json();
    assert_eq!(broken["req_body"], "{\"a\": ");
    let no_text = api
        .call("PUT", "/routes/1", &b"{\"uri\": \"\xff\"}"[..])
        .await;
    assert!(no_text.refused(400).starts_with("invalid request body: "));
    let deep = format!("{{\"a\":{}", "[".repeat(50_000));
    api.call("PUT", "/routes/1", deep).await.is(400);
    let large = format!("{{\"desc\": \"{}\"}}", "x".repeat(1_572_864));
    let size = large.len();
    let refused = api.call("PUT", "/routes/1", large).await.refused(400);
    assert_eq!(
        refused,
        format!(
            "invalid request body: request size {size} is greater than the maximum size 1572864 allowed"
        )
    );
    assert_eq!(api.get("/routes").await.json()["total"], 0);
}

#[tokio::test]
async fn ids_that_are_missing_wrong_or_not_wanted() {
    let api = Api::new();
    for (path, document, said) in [
        (
            "/routes/1",
            with(route(), json!({"id": "2"})),
            "wrong route id",
        ),
        ("/routes", route(), "missing route id"),
        (
            "/global_rules",
            json!({"plugins": {}}),
            "missing global rule id",
        ),
        (
            "/plugin_metadata/nonsense",
            json!({}),
            "invalid plugin name",
        ),
    ] {
        assert_eq!(api.put(path, document).await.refused(400), said);
    }
    for (path, document) in [
        ("/routes/1", route()),
        ("/routes", with(route(), json!({"id": "1"}))),
    ] {
        let refused = api.post(path, document).await.refused(400);
        assert_eq!(refused, "wrong route id, do not need it");
    }
    for id in ["a%20b", "a%00", "a%2Fb", "%ff", &"x".repeat(65)] {
        api.put(&format!("/routes/{id}"), route()).await.is(400);
    }
    let missing = api.delete("/routes").await.refused(400);
    assert_eq!(missing, "missing route id");
}

#[tokio::test]
async fn verbs_and_paths_that_are_not_there() {
    let api = Api::new();
    let unknown = api.get("/nonsense").await.refused(404);
    assert_eq!(unknown, "Unsupported resource type: nonsense");
    for (method, path, kind) in [
        ("POST", "/consumers", "consumer"),
        ("PATCH", "/consumers/jack", "consumer"),
        ("POST", "/global_rules", "global_rule"),
        ("PATCH", "/protos/1", "proto"),
        ("PATCH", "/plugin_metadata/cors", "plugin_metadata"),
        ("POST", "/consumers/jack/credentials", "credential"),
    ] {
        let refused = api.call(method, path, "{}").await.refused(405);
        assert_eq!(
            refused,
            format!("not supported `{method}` method for {kind}")
        );
    }
    for (method, path) in [
        ("GET", "/routes/1/plugins"),
        ("PUT", "/routes/1/uri"),
        ("TRACE", "/routes"),
        ("GET", ""),
        ("PUT", "/plugins/list"),
        ("DELETE", "/configs"),
    ] {
        api.call(method, path, "{}").await.is(404);
    }
}

#[tokio::test]
async fn documents_are_judged_by_the_code_that_serves_them() {
    let api = Api::new();
    for (more, said) in [
        (
            json!({"plugins": {"nonsense": {}}}),
            "unknown plugin [nonsense]",
        ),
        (
            json!({"vars": [["arg_a", "=!", "b"]]}),
            "failed to validate the 'vars' expression",
        ),
        (
            json!({"plugins": {"limit-count": {"count": 0, "time_window": 1}}}),
            "failed to check the configuration of plugin limit-count err: ",
        ),
        (
            json!({"upstreem": {}}),
            "invalid configuration: additional properties forbidden, found upstreem",
        ),
        (
            json!({"create_time": 1}),
            "the property is forbidden:  create_time",
        ),
    ] {
        let refused = api.put("/routes/1", with(route(), more)).await.refused(400);
        assert!(refused.starts_with(said), "{refused}");
    }
    let metadata = api
        .put("/plugin_metadata/request-id", json!({"length": "x"}))
        .await;
    assert!(metadata.refused(400).starts_with("invalid configuration: "));
    assert_eq!(api.get("/routes").await.json()["total"], 0);
}

#[tokio::test]
async fn references_lead_somewhere() {
    let api = Api::new();
    let split = json!({"plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "9"}]}]}}});
    for (more, what) in [
        (json!({"upstream_id": "9"}), "upstream"),
        (json!({"service_id": 9}), "service"),
        (json!({"plugin_config_id": "9"}), "plugin config"),
        (split.clone(), "upstream"),
    ] {
        let refused = api.put("/routes/1", with(route(), more)).await.refused(400);
        let said = format!("failed to fetch {what} info by {what} id [9], response code: 404");
        assert_eq!(refused, said);
    }
    let mut off = split;
    off["plugins"]["traffic-split"]["_meta"] = json!({"disable": true});
    api.put("/routes/1", with(route(), off)).await.is(201);

    let certificate = json!({"tls": {"client_cert_id": "9"}, "nodes": {"127.0.0.1:1": 1}});
    let refused = api.put("/upstreams/1", certificate).await.refused(400);
    assert_eq!(
        refused,
        "failed to fetch ssl info by ssl id [9], response code: 404"
    );
    let superior = json!({"server_port": 9100, "protocol": {"name": "redis", "superior_id": "9"}});
    let refused = api.put("/stream_routes/1", superior).await.refused(400);
    assert!(refused.starts_with("failed to fetch superior stream route info by superior id [9]"));
}

#[tokio::test]
async fn what_is_in_use_stays() {
    let api = Api::new();
    api.put("/upstreams/1", upstream()).await.is(201);
    api.put("/services/1", json!({"upstream_id": 1}))
        .await
        .is(201);
    api.put("/plugin_configs/1", json!({"plugins": {}}))
        .await
        .is(201);
    let used = json!({"uri": "/", "service_id": "1", "upstream_id": "1", "plugin_config_id": "1"});
    api.put("/routes/r", used).await.is(201);
    for (path, said) in [
        ("/upstreams/1", "can not delete this upstream, route [r]"),
        (
            "/services/1",
            "can not delete this service directly, route [r]",
        ),
        (
            "/plugin_configs/1",
            "can not delete this plugin config, route [r]",
        ),
    ] {
        let said = format!("{said} is still using it now");
        assert_eq!(api.delete(path).await.refused(400), said);
        let half = api.delete(&format!("{path}?force=1")).await;
        assert_eq!(half.refused(400), said);
    }
    api.delete("/routes/r").await.is(200);
    let said = "can not delete this upstream, service [1] is still using it now";
    assert_eq!(api.delete("/upstreams/1").await.refused(400), said);
    api.delete("/upstreams/1?force=true").await.is(200);
    api.delete("/services/1").await.is(200);

    api.put("/upstreams/2", upstream()).await.is(201);
    let split = json!({"plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": "2"}]}]}}});
    api.put("/routes/r", with(route(), split)).await.is(201);
    let said = "can not delete this upstream, plugin in route [r] is still using it now";
    assert_eq!(api.delete("/upstreams/2").await.refused(400), said);

    api.put("/upstreams/3", upstream()).await.is(201);
    let stream_route = json!({"server_port": 9100, "upstream_id": "3"});
    api.put("/stream_routes/s", stream_route).await.is(201);
    let said = "can not delete this upstream, stream_route [s] is still using it now";
    assert_eq!(api.delete("/upstreams/3").await.refused(400), said);
}

#[tokio::test]
async fn a_plugin_belongs_to_one_global_rule() {
    let api = Api::new();
    let rule = json!({"plugins": {"request-id": {}}});
    api.put("/global_rules/1", rule.clone()).await.is(201);
    api.put("/global_rules/1", rule.clone()).await.is(200);
    let refused = api.put("/global_rules/2", rule).await.refused(400);
    assert_eq!(
        refused,
        "plugin 'request-id' already exists in global rule with id '1'"
    );
}
