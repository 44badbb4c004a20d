//! One document: written, read, changed, deleted.

use super::*;
use crate::model::{Kind, ResourceKey};

#[tokio::test]
async fn put_creates_and_replaces_and_serves_before_it_answers() {
    let api = Api::new();
    let created = api.put("/routes/1", route()).await.is(201);
    assert_eq!(created.headers["content-type"], "application/json");
    assert_eq!(created.headers["server"], "APISIX/3.18.0");
    assert_eq!(created.headers["x-api-version"], "v3");
    let key = ResourceKey::new(Kind::Route, "1").unwrap();
    assert!(api.authority.state().document(&key).is_some(), "it serves");

    let created = created.json();
    assert_eq!(created.as_object().unwrap().len(), 2);
    assert_eq!(created["key"], "/apisix/routes/1");
    assert_eq!(created["value"]["id"], "1");
    let replaced = api.put("/routes/1", route()).await.is(200).json();
    assert_eq!(
        replaced["value"]["create_time"],
        created["value"]["create_time"]
    );

    let read = api.get("/routes/1").await.is(200).json();
    assert_eq!(read["value"], replaced["value"]);
    assert!(read["modifiedIndex"].as_u64() > read["createdIndex"].as_u64());
}

#[tokio::test]
async fn every_kind_is_written_read_listed_and_deleted() {
    let api = Api::new();
    api.put("/consumers/jack", json!({"username": "jack"}))
        .await
        .is(201);
    let documents = [
        ("/routes/1", route()),
        ("/services/1", json!({"upstream": upstream()})),
        ("/upstreams/1", upstream()),
        ("/consumers/jill", json!({"username": "jill"})),
        (
            "/consumers/jack/credentials/1",
            json!({"plugins": {"key-auth": {"key": "k"}}}),
        ),
        ("/consumer_groups/1", json!({"plugins": {}})),
        ("/global_rules/1", json!({"plugins": {"request-id": {}}})),
        ("/plugin_configs/1", json!({"plugins": {"request-id": {}}})),
        ("/plugin_metadata/request-id", json!({"length": 7})),
        (
            "/protos/1",
            json!({"content": "syntax = \"proto3\"; message A {}"}),
        ),
        (
            "/stream_routes/1",
            json!({"server_port": 9100, "upstream": upstream()}),
        ),
        (
            "/secrets/vault/1",
            json!({"uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "t"}),
        ),
    ];
    for (path, document) in &documents {
        let created = api.put(path, document.clone()).await.is(201).json();
        assert_eq!(created["key"], format!("/apisix{path}"));
        api.put(path, document.clone()).await.is(200);
        let read = api.get(path).await.is(200).json();
        for (name, value) in document.as_object().unwrap() {
            assert_eq!(read["value"][name], *value, "{path} {name}");
        }
        let (list, _) = path.rsplit_once('/').unwrap();
        let listed = api.get(list).await.is(200).json();
        let keys: Vec<&Value> = listed["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| &item["key"])
            .collect();
        assert!(keys.contains(&&json!(format!("/apisix{path}"))), "{listed}");
    }
    let metadata = api.get("/plugin_metadata/request-id").await.json();
    assert_eq!(
        metadata["value"],
        json!({"id": "request-id", "length": 7}),
        "no times"
    );
    for (path, _) in &documents {
        let deleted = api.delete(path).await.is(200).json();
        assert_eq!(
            deleted,
            json!({"deleted": "1", "key": format!("/apisix{path}")})
        );
        let missing = api.get(path).await.is(404).json();
        assert_eq!(missing, json!({"message": "Key not found"}));
    }
}

#[tokio::test]
async fn post_gives_growing_ids_of_20_digits() {
    let api = Api::new();
    let mut last = String::new();
    for _ in 0..3 {
        let created = api.post("/routes", route()).await.is(201).json();
        let id = created["value"]["id"].as_str().unwrap().to_owned();
        assert!(id.len() == 20 && id > last, "{id}");
        api.get(&format!("/routes/{id}")).await.is(200);
        last = id;
    }
}

#[tokio::test]
async fn a_patch_merges_or_replaces_a_part() {
    let api = Api::new();
    api.put(
        "/routes/1",
        with(route(), json!({"desc": "x", "methods": ["GET"]})),
    )
    .await
    .is(201);
    let change = json!({"desc": null, "methods": ["PUT"], "labels": {"a": "b"}});
    let merged = api.patch("/routes/1", change).await.is(200).json();
    assert_eq!(merged["value"]["methods"], json!(["PUT"]));
    assert!(merged["value"]["desc"].is_null());

    let path = "/routes/1/plugins/limit-count";
    let limit = json!({"count": 1, "time_window": 1});
    let replaced = api.patch(path, limit.clone()).await.is(200).json();
    assert_eq!(replaced["value"]["plugins"]["limit-count"], limit);
    let read = api.get("/routes/1").await.json();
    assert_eq!(read["value"], replaced["value"]);

    api.patch("/routes/1/methods", json!(["NOPE"]))
        .await
        .is(400);
    api.patch(path, json!({"count": 0, "time_window": 1}))
        .await
        .is(400);
    let wrong = api.patch("/routes/1", json!({"id": "2"})).await;
    assert_eq!(wrong.refused(400), "wrong route id");
    let whole = api.patch("/routes/1", json!([])).await;
    assert_eq!(whole.refused(400), "invalid configuration");
    let empty = api.call("PATCH", "/routes/1", "").await;
    assert_eq!(empty.refused(400), "missing new configuration");
    let inner = api.patch("/routes/1/uri/x/y", json!(1)).await;
    assert_eq!(inner.refused(400), "invalid sub-path: /uri");
    api.patch("/routes/9", json!({})).await.is(404);
    assert_eq!(api.get("/routes/1").await.json(), read, "nothing changed");
}

#[tokio::test]
async fn a_document_with_a_time_to_live_goes_away() {
    let api = Api::new();
    api.put("/routes/1?ttl=0.05", route()).await.is(201);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while api.get("/routes/1").await.status != 404 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let refused = api.put("/routes/1?ttl=1e10", route()).await;
    assert!(refused.refused(400).contains("hundred years"));
}

#[tokio::test]
async fn private_keys_of_certificates_are_never_shown() {
    let api = Api::new();
    let ssl = json!({
        "cert": format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", "A".repeat(200)),
        "key": "$env://THE_KEY", "sni": "a.test"
    });
    let written = api.put("/ssls/1", ssl).await;
    if written.status != 201 {
        // The certificate itself may be judged one day; then this document is no longer one.
        assert!(written.text.contains("cert"), "{}", written.text);
        return;
    }
    for text in [
        written.text,
        api.get("/ssls/1").await.is(200).text,
        api.get("/ssls").await.is(200).text,
    ] {
        assert!(
            text.contains("a.test") && !text.contains("THE_KEY"),
            "{text}"
        );
    }
}
