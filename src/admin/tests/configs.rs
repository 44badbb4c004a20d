//! The whole configuration at once: validated, written and read.

use super::*;

async fn put(api: &Api, digest: &str, whole: &Value) -> Answered {
    let request = Request::builder()
        .method("PUT")
        .uri("/apisix/admin/configs")
        .header("x-api-key", KEY)
        .header("x-digest", digest);
    api.send(request.body(whole.to_string().into()).unwrap())
        .await
}

fn whole() -> Value {
    json!({
        "routes_conf_version": 3,
        "routes": [{"id": "1", "uri": "/a", "service_id": "s", "modifiedIndex": 3}],
        "services": [{"id": "s", "upstream": upstream(), "modifiedIndex": 1}],
        "consumers": [
            {"username": "jack", "modifiedIndex": 1},
            {"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "k"}}, "modifiedIndex": 1}
        ],
        "secrets": [{"id": "vault/1", "uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "t"}]
    })
}

#[tokio::test]
async fn a_configuration_is_replaced_as_a_whole() {
    let api = Api::new();
    api.put("/routes/old", route()).await.is(201);
    let taken = put(&api, "d1", &whole()).await.is(202);
    assert_eq!(taken.headers["x-digest"], "d1");
    assert!(taken.headers.contains_key("x-last-modified"));
    api.get("/routes/old").await.is(404);
    api.get("/routes/1").await.is(200);
    api.get("/consumers/jack/credentials/c").await.is(200);
    let before = api.get("/services/s").await.is(200).json();

    put(&api, "d1", &whole()).await.is(204);
    let read = api.get("/configs").await.is(200);
    assert_eq!(read.headers["x-digest"], "d1");
    let read = read.json();
    assert_eq!(read["routes_conf_version"], 3);
    assert_eq!(read["services_conf_version"], 1);
    assert_eq!(read["consumers"][1]["id"], "jack/credentials/c");
    assert_eq!(read["secrets"][0]["id"], "vault/1");
    assert!(read["routes"][0]["modifiedIndex"].is_u64());

    // What was read can be written, and changes nothing.
    put(&api, "d2", &read).await.is(202);
    let again = api.get("/services/s").await.is(200).json();
    assert_eq!(again, before);

    // A list whose version stays is not looked at; one that is missing is emptied.
    let next = json!({"services_conf_version": read["services_conf_version"], "services": "?"});
    put(&api, "d3", &next).await.is(202);
    api.get("/services/s").await.is(200);
    assert_eq!(api.get("/routes").await.json()["total"], 0);
    assert_eq!(api.get("/consumers").await.json()["total"], 0);
}

#[tokio::test]
async fn a_digest_counts_only_while_nothing_else_was_written() {
    let api = Api::new();
    put(&api, "d", &whole()).await.is(202);
    api.delete("/routes/1").await.is(200);
    let read = api.get("/configs").await.is(200);
    assert!(!read.headers.contains_key("x-digest"));
    put(&api, "d", &whole()).await.is(202);
    api.get("/routes/1").await.is(200);
}

#[tokio::test]
async fn all_of_it_is_taken_or_nothing() {
    let api = Api::new();
    put(&api, "d1", &whole()).await.is(202);
    let before = api.get("/routes").await.json();
    let none = api.put("/configs", whole()).await;
    assert_eq!(none.refused(400), "missing digest header");
    let older = json!({"routes_conf_version": 2});
    assert_eq!(
        put(&api, "d2", &older).await.refused(400),
        "routes_conf_version must be greater than or equal to (3)"
    );
    for (wrong, said) in [
        (
            json!({"routes": [{"id": "2", "uri": "/b", "upstream": upstream()}, {"id": "3", "uri": 5}]}),
            "invalid routes at index 1, err: ",
        ),
        (
            json!({"routes": [with(route(), json!({"id": "1", "plugins": {"limit-count": {}}}))]}),
            "invalid routes at index 0, err: failed to check the configuration of plugin limit-count",
        ),
        (
            json!({"services": [{"id": 1}, {"id": "1"}]}),
            "invalid services at index 1, err: found duplicate id 1 in services",
        ),
        (
            json!({"global_rules": [{"id": 1, "plugins": {"request-id": {}}}, {"id": 2, "plugins": {"request-id": {}}}]}),
            "invalid global_rules at index 1, err: plugin 'request-id' already exists",
        ),
        (json!({"routes": 1}), "routes: expected a list"),
        (json!({"plugins": [{"name": "x"}]}), "plugins: "),
    ] {
        let refused = put(&api, "d2", &wrong).await.refused(400);
        assert!(refused.starts_with(said), "{refused}");
    }
    assert_eq!(api.get("/routes").await.json(), before);
}

#[tokio::test]
async fn a_key_may_move_from_one_consumer_to_another() {
    let api = Api::new();
    let with_key = |name: &str| json!({"consumers": [{"username": name, "plugins": {"key-auth": {"key": "k"}}}]});
    put(&api, "1", &with_key("jack")).await.is(202);
    put(&api, "2", &with_key("jill")).await.is(202);
    api.get("/consumers/jack").await.is(404);
    api.get("/consumers/jill").await.is(200);
}

#[tokio::test]
async fn all_problems_of_a_configuration_are_told_at_once() {
    let api = Api::new();
    let good = api.post("/configs/validate", whole()).await.is(200);
    assert_eq!(good.json(), json!({}));
    let bad = json!({
        "routes": [
            {"id": "1", "uri": "/a", "upstream": upstream()},
            {"id": "2", "uri": 5, "upstream": upstream()},
            with(route(), json!({"id": "3", "plugins": {"nonsense": {}}})),
            {"id": "1", "uri": "/b", "upstream": upstream()}
        ],
        "upstreams": [{"id": "3", "nodes": {"127.0.0.1:80": -1}}],
        "consumers": [{"id": "jack/credentials/c", "plugins": {"request-id": {}}}]
    });
    let answer = api.post("/configs/validate", bad).await.is(400).json();
    assert_eq!(answer["error_msg"], "Configuration validation failed");
    let errors = answer["errors"].as_array().unwrap();
    let places: Vec<(&str, u64, &str)> = errors
        .iter()
        .map(|e| {
            (
                e["resource_type"].as_str().unwrap(),
                e["index"].as_u64().unwrap(),
                e["resource_id"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            ("routes", 1, "2"),
            ("routes", 2, "3"),
            ("routes", 3, "1"),
            ("upstreams", 0, "3"),
            ("consumers", 0, "jack/credentials/c")
        ]
    );
    assert_eq!(errors[1]["error"], "unknown plugin [nonsense]");
    assert_eq!(errors[2]["error"], "found duplicate id 1 in routes");
    assert_eq!(api.get("/routes").await.json()["total"], 0);
}

#[tokio::test]
async fn yaml_is_read_and_written() {
    let api = Api::new();
    let request = Request::builder()
        .method("PUT")
        .uri("/apisix/admin/configs")
        .header("x-api-key", KEY)
        .header("x-digest", "d")
        .header("content-type", "application/yaml");
    let yaml = "routes:\n- id: '1'\n  uri: /a\n  upstream: {nodes: {'127.0.0.1:80': 1}}\n";
    api.send(request.body(yaml.into()).unwrap()).await.is(202);
    let request = Request::builder()
        .uri("/apisix/admin/configs")
        .header("x-api-key", KEY)
        .header("accept", "application/yaml");
    let read = api.send(request.body(Body::empty()).unwrap()).await.is(200);
    assert_eq!(read.headers["content-type"], "application/yaml");
    let read: Value = serde_saphyr::from_str(&read.text).unwrap();
    assert_eq!(read["routes"][0]["uri"], "/a");
}
