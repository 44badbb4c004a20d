//! What the Admin API refuses, in the words that users of APISIX know.

use serde_json::{Value, json};

use crate::support::Gateway;

fn upstream() -> Value {
    json!({ "type": "roundrobin", "nodes": { "127.0.0.1:1980": 1 } })
}

fn route() -> Value {
    json!({ "uri": "/a", "upstream": upstream() })
}

async fn refusal(gateway: &Gateway, path: &str, document: &Value) -> String {
    let answer = gateway
        .admin()
        .put(path, document)
        .await
        .expect_status(400)
        .json();
    answer["error_msg"]
        .as_str()
        .expect("an error_msg")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_kinds_and_verbs() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let unknown = admin.get("/nonsense").await.expect_status(404).json();
    assert_eq!(unknown["error_msg"], "Unsupported resource type: nonsense");
    let jack = json!({ "username": "jack" });
    let verb = admin
        .post("/consumers", &jack)
        .await
        .expect_status(405)
        .json();
    assert_eq!(
        verb["error_msg"],
        "not supported `POST` method for consumer"
    );
    let verb = admin
        .post("/global_rules", &json!({}))
        .await
        .expect_status(405)
        .json();
    assert_eq!(
        verb["error_msg"],
        "not supported `POST` method for global_rule"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_missing_wrong_or_not_wanted() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let mut with_id = route();
    with_id["id"] = json!("2");
    assert_eq!(
        refusal(&gateway, "/routes/1", &with_id).await,
        "wrong route id"
    );
    assert_eq!(
        refusal(&gateway, "/routes", &route()).await,
        "missing route id"
    );
    let rule = json!({ "plugins": {} });
    assert_eq!(
        refusal(&gateway, "/global_rules", &rule).await,
        "missing global rule id"
    );

    let posted = admin
        .post("/routes", &with_id)
        .await
        .expect_status(400)
        .json();
    assert_eq!(posted["error_msg"], "wrong route id, do not need it");
    let posted = admin
        .post("/routes/1", &route())
        .await
        .expect_status(400)
        .json();
    assert_eq!(posted["error_msg"], "wrong route id, do not need it");

    for id in ["a%20b", "a$b", &"x".repeat(65)] {
        let answer = admin.put(&format!("/routes/{id}"), &route()).await;
        assert_eq!(answer.status, 400, "{id}: {}", answer.text());
    }
    admin
        .put("/routes/A.b-c_9", &route())
        .await
        .expect_status(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_named() {
    let gateway = Gateway::start().await;
    let mut document = route();
    document["upstreem"] = json!({});
    let refused = refusal(&gateway, "/routes/1", &document).await;
    assert!(refused.starts_with("invalid configuration: "), "{refused}");
    assert!(
        refused.contains("additional properties forbidden, found upstreem"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_values_are_named_with_their_property() {
    let gateway = Gateway::start().await;
    for (field, value) in [
        ("methods", json!(["NOPE"])),
        ("priority", json!("high")),
        ("status", json!(2)),
        ("hosts", json!([])),
        ("host", json!("a b")),
        ("remote_addr", json!("300.0.0.1")),
        ("timeout", json!({ "connect": 1 })),
        ("labels", json!({ "a": "b c" })),
        ("vars", json!([["arg_a", "=!", "b"]])),
    ] {
        let mut document = route();
        document[field] = value.clone();
        let refused = refusal(&gateway, "/routes/1", &document).await;
        assert!(refused.contains(field), "{field} = {value}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_needs_a_uri_and_something_to_do() {
    let gateway = Gateway::start().await;
    for document in [
        json!({ "uri": "/a" }),
        json!({ "upstream": upstream() }),
        json!({ "uri": "/a", "uris": ["/b"], "upstream": upstream() }),
        json!({ "uri": "/a", "host": "a.com", "hosts": ["b.com"], "upstream": upstream() }),
        json!({ "uri": "/a", "plugin_config_id": "1" }),
        json!({}),
    ] {
        let refused = refusal(&gateway, "/routes/1", &document).await;
        assert!(!refused.is_empty(), "{document}");
    }
    gateway.admin().get("/routes/1").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_work() {
    let gateway = Gateway::start().await;
    for document in [
        json!({}),
        json!({ "nodes": { "127.0.0.1:1980": -1 } }),
        json!({ "nodes": { "127.0.0.1:99999": 1 } }),
        json!({ "nodes": [{ "host": "127.0.0.1", "port": 0, "weight": 1 }] }),
        json!({ "nodes": [{ "host": "127.0.0.1", "port": 80 }] }),
        json!({ "nodes": { "127.0.0.1:80": 1 }, "type": "chash" }),
        json!({ "nodes": { "127.0.0.1:80": 1 }, "pass_host": "rewrite" }),
        json!({ "nodes": { "127.0.0.1:80": 1 }, "retries": -1 }),
        json!({ "nodes": { "127.0.0.1:80": 1 }, "timeout": { "connect": 0, "send": 1, "read": 1 } }),
        json!({ "nodes": { "127.0.0.1:80": 1 }, "checks": { "passive": {} } }),
    ] {
        let answer = gateway.admin().put("/upstreams/1", &document).await;
        assert_eq!(answer.status, 400, "{document}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_are_unknown_or_misconfigured() {
    let gateway = Gateway::start().await;
    let with = |plugins: Value| {
        let mut document = route();
        document["plugins"] = plugins;
        document
    };
    let unknown = refusal(&gateway, "/routes/1", &with(json!({ "nonsense": {} }))).await;
    assert_eq!(unknown, "unknown plugin [nonsense]");
    let lua = with(json!({ "serverless-pre-function": { "functions": ["return 1"] } }));
    let lua = refusal(&gateway, "/routes/1", &lua).await;
    assert!(
        lua.starts_with("unknown plugin [serverless-pre-function]: it runs Lua"),
        "{lua}"
    );
    for wrong in [
        json!({ "count": 0, "time_window": 60 }),
        json!({ "count": 1 }),
        json!({ "count": 1, "time_window": 60, "nonsense": 1 }),
        json!({ "count": 1, "time_window": 60, "rejected_code": 100 }),
    ] {
        let document = with(json!({ "limit-count": wrong }));
        let refused = refusal(&gateway, "/routes/1", &document).await;
        let expected = "failed to check the configuration of plugin limit-count err: ";
        assert!(refused.starts_with(expected), "{wrong}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn references_must_lead_somewhere() {
    let gateway = Gateway::start().await;
    for (document, expected) in [
        (
            json!({ "uri": "/a", "upstream_id": "9" }),
            "failed to fetch upstream info by upstream id [9], response code: 404",
        ),
        (
            json!({ "uri": "/a", "service_id": "9" }),
            "failed to fetch service info by service id [9], response code: 404",
        ),
        (
            json!({ "uri": "/a", "upstream": upstream(), "plugin_config_id": "9" }),
            "failed to fetch plugin config info by plugin config id [9], response code: 404",
        ),
    ] {
        assert_eq!(refusal(&gateway, "/routes/1", &document).await, expected);
    }
    let jack = json!({ "username": "jack", "group_id": "9" });
    let answer = gateway
        .admin()
        .put("/consumers", &jack)
        .await
        .expect_status(400)
        .json();
    assert_eq!(
        answer["error_msg"],
        "failed to fetch consumer group info by consumer group id [9], response code: 404"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_the_servers_business() {
    let gateway = Gateway::start().await;
    for field in ["create_time", "update_time"] {
        let mut document = route();
        document[field] = json!(1);
        let refused = refusal(&gateway, "/routes/1", &document).await;
        assert_eq!(refused, format!("the property is forbidden:  {field}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_belongs_to_one_global_rule() {
    let gateway = Gateway::start().await;
    let rule = json!({ "plugins": { "request-id": {} } });
    gateway
        .admin()
        .put("/global_rules/1", &rule)
        .await
        .expect_status(201);
    let refused = refusal(&gateway, "/global_rules/2", &rule).await;
    assert_eq!(
        refused,
        "plugin 'request-id' already exists in global rule with id '1'"
    );
    gateway
        .admin()
        .put("/global_rules/1", &rule)
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let broken = "{\"uri\": \"/a\", ";
    for method in ["PUT", "POST", "PATCH"] {
        let path = if method == "POST" {
            "/routes"
        } else {
            "/routes/1"
        };
        let answer = admin
            .request(method, path)
            .body(broken)
            .await
            .expect_status(400)
            .json();
        let message = answer["error_msg"].as_str().unwrap();
        assert!(
            message.starts_with("invalid request body: "),
            "{method}: {answer}"
        );
        assert_eq!(answer["req_body"], broken, "{method}");
    }
    let not_utf8 = b"{\"uri\": \"/\xff\xfe\", \"upstream\": {\"nodes\": {\"127.0.0.1:1\": 1}}}";
    let answer = admin
        .request("PUT", "/routes/1")
        .body(not_utf8.to_vec())
        .await;
    let answer = answer.expect_status(400).json();
    assert!(
        answer["error_msg"]
            .as_str()
            .unwrap()
            .starts_with("invalid request body: ")
    );
    for (method, path) in [("PUT", "/routes/1"), ("POST", "/routes")] {
        let empty = admin.request(method, path).await.expect_status(400).json();
        assert_eq!(empty["error_msg"], "missing configurations", "{method}");
    }
    for scalar in ["[]", "1", "\"a\"", "null", "true"] {
        admin
            .request("PUT", "/routes/1")
            .body(scalar)
            .await
            .expect_status(400);
    }
    assert_eq!(admin.get("/routes").await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large() {
    let gateway = Gateway::start().await;
    let mut document = route();
    document["desc"] = json!("x".repeat(1_572_864));
    let text = document.to_string();
    let answer = gateway
        .admin()
        .request("PUT", "/routes/1")
        .body(text.clone())
        .await;
    assert_eq!(
        answer.expect_status(400).json()["error_msg"],
        format!(
            "invalid request body: request size {} is greater than the maximum size 1572864 allowed",
            text.len()
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn but_not_a_body_because_of_its_content_type() {
    let gateway = Gateway::start().await;
    for (id, content_type) in [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data",
    ]
    .iter()
    .enumerate()
    {
        let answer = gateway
            .admin()
            .request("PUT", &format!("/routes/{}", id + 1))
            .header("Content-Type", content_type)
            .body(route().to_string())
            .await;
        assert_eq!(answer.status, 201, "{content_type}: {}", answer.text());
    }
    let request = gateway
        .admin()
        .request("PUT", "/routes/9")
        .body(route().to_string());
    request.await.expect_status(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_route_cannot_use_an_upstream_for_streams() {
    let gateway = Gateway::start().await;
    let nodes = json!({ "127.0.0.1:1": 1 });
    let stream = json!({ "scheme": "tcp", "nodes": nodes });
    gateway
        .admin()
        .put("/upstreams/stream", &stream)
        .await
        .expect_status(201);
    let to = |upstream: &str| json!({ "uri": "/", "upstream_id": upstream });
    let error = refusal(&gateway, "/routes/1", &to("stream")).await;
    assert!(
        error.contains("an HTTP route needs http, https, grpc or grpcs"),
        "{error}"
    );
    // A service may be one for stream routes.
    let service = json!({ "upstream_id": "stream" });
    gateway.put("/services/1", service).await;
    let of_service = json!({ "uri": "/", "service_id": "1" });
    let error = refusal(&gateway, "/routes/1", &of_service).await;
    assert!(
        error.contains("an HTTP route needs http, https, grpc or grpcs"),
        "{error}"
    );

    // Nor can an upstream that routes use become one.
    gateway
        .put_all([
            ("/upstreams/http", json!({ "nodes": nodes })),
            ("/routes/2", to("http")),
        ])
        .await;
    let changed = gateway
        .admin()
        .patch("/upstreams/http", &json!({ "scheme": "tcp" }))
        .await;
    assert_eq!(changed.status, 400, "{}", changed.text());
    assert!(
        changed
            .text()
            .contains("an HTTP route needs http, https, grpc or grpcs"),
        "{}",
        changed.text()
    );
}
