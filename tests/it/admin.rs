//! The Admin API as a user of APISIX knows it: keys, envelopes, ids, consumers, schemas.

use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, Request, eventually};

fn route() -> Value {
    json!({ "uri": "/a", "upstream": { "type": "roundrobin", "nodes": { "127.0.0.1:1980": 1 } } })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_the_right_key_is_refused_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let refused = |why: &str| json!({ "error_msg": "failed to check token", "description": why });

    let missing = admin
        .without_key("PUT", "/routes/1")
        .json(&route())
        .await
        .expect_status(401);
    assert_eq!(missing.json(), refused("missing apikey"));
    let wrong = admin
        .with_key("wrong")
        .put("/routes/1", &route())
        .await
        .expect_status(401);
    assert_eq!(wrong.json(), refused("wrong apikey"));
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE"] {
        admin
            .without_key(method, "/routes/1")
            .await
            .expect_status(401);
    }

    admin.get("/routes/1").await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_come_in_a_header_a_query_or_a_cookie() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let key = "the-key-of-this-test";
    admin
        .without_key("GET", "/routes")
        .header("x-api-key", key)
        .await
        .expect_status(200);
    admin
        .without_key("GET", &format!("/routes?api_key={key}"))
        .await
        .expect_status(200);
    let cookie = format!("x_api_key={key}");
    admin
        .without_key("GET", "/routes")
        .header("Cookie", cookie)
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_health_probe_of_the_admin_api_needs_no_key() {
    let gateway = Gateway::start().await;
    gateway
        .admin()
        .without_key("HEAD", "")
        .await
        .expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn put_creates_with_201_and_replaces_with_200_in_the_v3_envelope() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();

    let created = admin.put("/routes/1", &route()).await.expect_status(201);
    assert_eq!(created.header("content-type"), Some("application/json"));
    assert_eq!(created.header("x-api-version"), Some("v3"));
    assert!(
        created
            .header("server")
            .unwrap_or("")
            .starts_with("APISIX/"),
        "{created:?}"
    );
    assert!(created.text().ends_with('\n'));
    let body = created.json();
    assert_eq!(body["key"], "/apisix/routes/1");
    assert_eq!(
        body.as_object().unwrap().len(),
        2,
        "only key and value: {body}"
    );
    assert_eq!(body["value"]["id"], "1");
    assert_eq!(body["value"]["uri"], "/a");
    assert!(body["value"]["create_time"].is_u64() && body["value"]["update_time"].is_u64());

    let replaced = admin
        .put("/routes/1", &route())
        .await
        .expect_status(200)
        .json();
    assert_eq!(
        replaced["value"]["create_time"],
        body["value"]["create_time"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_returned_as_it_was_written_without_defaults() {
    let gateway = Gateway::start().await;
    let stored = gateway
        .admin()
        .put("/routes/1", &route())
        .await
        .expect_status(201)
        .json();
    let value = stored["value"].as_object().unwrap();
    let mut fields: Vec<&str> = value.keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["create_time", "id", "update_time", "upstream", "uri"]
    );
    assert_eq!(value["upstream"], route()["upstream"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_shows_when_a_document_was_created_and_modified() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);
    let first = admin.get("/routes/1").await.expect_status(200).json();
    assert_eq!(first["createdIndex"], first["modifiedIndex"]);
    admin.put("/routes/1", &route()).await.expect_status(200);
    let second = admin.get("/routes/1").await.expect_status(200).json();
    assert_eq!(second["key"], "/apisix/routes/1");
    assert_eq!(second["createdIndex"], first["createdIndex"]);
    assert!(second["modifiedIndex"].as_u64() > first["modifiedIndex"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_says_what_it_deleted() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);
    let deleted = admin.delete("/routes/1").await.expect_status(200);
    assert_eq!(
        deleted.json(),
        json!({ "deleted": "1", "key": "/apisix/routes/1" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_answers_404_key_not_found() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    for method in ["GET", "DELETE"] {
        let missing = admin.request(method, "/routes/1").await.expect_status(404);
        assert_eq!(
            missing.json(),
            json!({ "message": "Key not found" }),
            "{method}"
        );
    }
    let patched = admin
        .patch("/routes/1", &json!({ "desc": "x" }))
        .await
        .expect_status(404);
    assert_eq!(patched.json(), json!({ "message": "Key not found" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn post_chooses_a_20_digit_id() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let mut ids = Vec::new();
    for _ in 0..2 {
        let created = admin
            .post("/routes", &route())
            .await
            .expect_status(201)
            .json();
        let id = created["value"]["id"].as_str().unwrap().to_owned();
        assert_eq!(created["key"], format!("/apisix/routes/{id}"));
        assert!(
            id.len() == 20 && id.bytes().all(|b| b.is_ascii_digit()),
            "{id}"
        );
        admin.get(&format!("/routes/{id}")).await.expect_status(200);
        ids.push(id);
    }
    assert!(ids[0] < ids[1], "ids grow: {ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_may_stand_in_the_body_when_it_agrees() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let mut document = route();
    document["id"] = json!("7");
    admin.put("/routes/7", &document).await.expect_status(201);
    admin.put("/routes", &document).await.expect_status(200);
    document["id"] = json!(7);
    admin.put("/routes/7", &document).await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_is_named_by_its_username() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let jack = json!({ "username": "jack", "plugins": { "key-auth": { "key": "k-1" } } });
    let created = admin
        .put("/consumers", &jack)
        .await
        .expect_status(201)
        .json();
    assert_eq!(created["key"], "/apisix/consumers/jack");
    admin.put("/consumers/jack", &jack).await.expect_status(200);
    let wrong = admin
        .put("/consumers/jill", &jack)
        .await
        .expect_status(400)
        .json();
    assert_eq!(wrong["error_msg"], "wrong username");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_cannot_have_the_same_key() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let consumer =
        |name: &str| json!({ "username": name, "plugins": { "key-auth": { "key": "same" } } });
    admin
        .put("/consumers", &consumer("jack"))
        .await
        .expect_status(201);
    let refused = admin
        .put("/consumers", &consumer("jill"))
        .await
        .expect_status(400)
        .json();
    assert_eq!(
        refused["error_msg"],
        "duplicate key of plugin key-auth found with consumer: jack"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_live_under_their_consumer_and_go_with_it() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let credential = json!({ "plugins": { "key-auth": { "key": "k-2" } } });
    let orphan = admin
        .put("/consumers/jack/credentials/c1", &credential)
        .await;
    orphan.expect_status(404);

    admin
        .put("/consumers", &json!({ "username": "jack" }))
        .await
        .expect_status(201);
    let none = admin
        .get("/consumers/jack/credentials")
        .await
        .expect_status(404);
    assert_eq!(none.json(), json!({ "message": "Key not found" }));

    let path = "/consumers/jack/credentials/c1";
    let created = admin.put(path, &credential).await.expect_status(201).json();
    assert_eq!(created["key"], "/apisix/consumers/jack/credentials/c1");
    let listed = admin
        .get("/consumers/jack/credentials")
        .await
        .expect_status(200)
        .json();
    assert_eq!(listed["total"], 1);
    let consumers = admin.get("/consumers").await.expect_status(200).json();
    assert_eq!(
        consumers["total"], 1,
        "a credential is not a consumer: {consumers}"
    );

    admin.delete("/consumers/jack").await.expect_status(200);
    admin.get(path).await.expect_status(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_use_cannot_be_deleted_unless_forced() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let nodes = json!({ "type": "roundrobin", "nodes": { "127.0.0.1:1980": 1 } });
    admin.put("/upstreams/1", &nodes).await.expect_status(201);
    admin
        .put("/services/1", &json!({ "upstream_id": "1" }))
        .await
        .expect_status(201);
    let document = json!({ "uri": "/a", "service_id": "1", "upstream_id": "1" });
    admin.put("/routes/1", &document).await.expect_status(201);

    let guarded = admin.delete("/upstreams/1").await.expect_status(400).json();
    assert_eq!(
        guarded["error_msg"],
        "can not delete this upstream, route [1] is still using it now"
    );
    let guarded = admin.delete("/services/1").await.expect_status(400).json();
    assert_eq!(
        guarded["error_msg"],
        "can not delete this service directly, route [1] is still using it now"
    );
    admin
        .delete("/upstreams/1?force=1")
        .await
        .expect_status(400);
    admin
        .delete("/upstreams/1?force=true")
        .await
        .expect_status(200);
    admin.delete("/routes/1").await.expect_status(200);
    admin.delete("/services/1").await.expect_status(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_with_a_ttl_goes_away_by_itself() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin
        .put("/routes/1?ttl=1", &route())
        .await
        .expect_status(201);
    eventually("the route has expired", PATIENCE, async || {
        admin.get("/routes/1").await.status == 404
    })
    .await;
    let wrong = admin
        .put("/routes/1?ttl=soon", &route())
        .await
        .expect_status(400)
        .json();
    assert_eq!(
        wrong["error_msg"],
        "invalid argument ttl: should be a number"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_can_be_read() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    for kind in [
        "route",
        "service",
        "upstream",
        "consumer",
        "global_rule",
        "plugin_config",
    ] {
        let schema = admin
            .get(&format!("/schema/{kind}"))
            .await
            .expect_status(200)
            .json();
        assert!(schema["properties"].is_object(), "{kind}: {schema}");
    }
    let plugin = admin
        .get("/schema/plugins/limit-count")
        .await
        .expect_status(200)
        .json();
    assert!(plugin.to_string().contains("time_window"), "{plugin}");
    let unknown = admin.get("/schema/nothing").await.expect_status(400).json();
    assert_eq!(unknown["error_msg"], "not found schema: nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_can_be_listed_and_described() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let list = admin.get("/plugins/list").await.expect_status(200).json();
    let names: Vec<&str> = list
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let place = |name: &str| names.iter().position(|n| *n == name);
    assert!(
        place("key-auth").is_some() && place("limit-count").is_some(),
        "{names:?}"
    );
    assert!(
        place("key-auth") < place("limit-count"),
        "by priority, descending: {names:?}"
    );

    admin.get("/plugins/key-auth").await.expect_status(200);
    let unknown = admin
        .get("/plugins/nothing")
        .await
        .expect_status(404)
        .json();
    assert_eq!(unknown["error_msg"], "plugin not found in subsystem http");
    let all = admin
        .get("/plugins?all=true")
        .await
        .expect_status(200)
        .json();
    assert!(
        all["key-auth"]["schema"].is_object() && all["key-auth"]["consumer_schema"].is_object()
    );
    assert!(
        all["limit-count"]["consumer_schema"].is_null(),
        "only where it exists"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_can_be_validated_without_being_stored() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let good = admin
        .post("/schema/validate/routes", &route())
        .await
        .expect_status(200);
    assert!(good.body.is_empty(), "{:?}", good.text());
    let bad = json!({ "uri": "/a", "methods": ["NOPE"], "upstream": route()["upstream"] });
    let refused = admin
        .post("/schema/validate/routes", &bad)
        .await
        .expect_status(400)
        .json();
    assert!(
        refused["error_msg"].as_str().unwrap().contains("methods"),
        "{refused}"
    );
    assert_eq!(admin.get("/routes").await.json()["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_configuration_is_validated_with_all_its_problems_at_once() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    let good = json!({ "routes": [{ "id": "1", "uri": "/a", "upstream": route()["upstream"] }] });
    let answer = admin
        .post("/configs/validate", &good)
        .await
        .expect_status(200);
    assert_eq!(answer.json(), json!({}));

    let bad = json!({
        "routes": [
            { "id": "1", "uri": "/a", "upstream": route()["upstream"] },
            { "id": "2", "uri": 5, "upstream": route()["upstream"] },
        ],
        "upstreams": [{ "id": "3", "nodes": { "127.0.0.1:80": -1 } }],
    });
    let answer = admin
        .post("/configs/validate", &bad)
        .await
        .expect_status(400)
        .json();
    assert_eq!(answer["error_msg"], "Configuration validation failed");
    let problems: Vec<(&str, u64)> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| {
            (
                e["resource_type"].as_str().unwrap(),
                e["index"].as_u64().unwrap(),
            )
        })
        .collect();
    assert!(
        problems.contains(&("routes", 1)) && problems.contains(&("upstreams", 0)),
        "{answer}"
    );
    assert_eq!(problems.len(), 2, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_describes_itself() {
    let gateway = Gateway::start().await;
    let document = gateway
        .admin()
        .get("/openapi.json")
        .await
        .expect_status(200)
        .json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3."))
    );
    let paths = document["paths"].as_object().unwrap();
    assert!(
        paths.keys().any(|path| path.contains("/routes")),
        "{:?}",
        paths.keys()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_is_not_on_the_data_port() {
    let gateway = Gateway::start().await;
    let answer = Request::new(
        gateway.addr(crate::support::Interface::Http),
        "GET",
        "/apisix/admin/routes",
    )
    .header("X-API-KEY", "the-key-of-this-test")
    .await
    .expect_status(404);
    assert_eq!(answer.text(), "{\"error_msg\":\"404 Route Not Found\"}\n");
}
