//! Plugins, schemas, validation, and the description of it all.

use super::*;
use crate::model::Kind;

#[tokio::test]
async fn plugins_are_listed_by_priority_and_described() {
    let api = Api::new();
    let list = api.get("/plugins/list").await.is(200).json();
    assert_eq!(
        list,
        json!(["request-id", "key-auth", "limit-count", "traffic-split"])
    );
    let stream = api.get("/plugins/list?subsystem=stream").await.json();
    assert_eq!(stream, json!([]));
    api.get("/plugins/list?subsystem=x").await.is(400);

    let all = api.get("/plugins?all=true").await.is(200).json();
    assert!(all["key-auth"]["consumer_schema"].is_object());
    assert_eq!(all["key-auth"]["type"], "auth");
    assert!(all["limit-count"].get("consumer_schema").is_none());
    assert!(all["limit-count"].get("metadata_schema").is_none());
    assert!(all["request-id"]["metadata_schema"].is_object());
    assert!(all["limit-count"]["schema"]["properties"]["_meta"].is_object());

    let one = api.get("/plugins/limit-count").await.is(200).json();
    assert_eq!(one["properties"]["count"]["minimum"], 1);
    let of_consumers = api.get("/plugins/key-auth?schema_type=consumer").await;
    assert!(of_consumers.is(200).json()["properties"]["key"].is_object());
    api.get("/plugins/limit-count?schema_type=consumer")
        .await
        .is(400);
    for path in ["/plugins/nothing", "/plugins/limit-count?subsystem=stream"] {
        let refused = api.get(path).await.refused(404);
        assert!(
            refused.starts_with("plugin not found in subsystem "),
            "{refused}"
        );
    }
    assert_eq!(
        api.call("PUT", "/plugins/reload", "").await.is(200).text,
        "done"
    );
    api.call("GET", "/plugins/reload", "").await.is(405);
}

#[tokio::test]
async fn schemas_are_those_that_judge() {
    let api = Api::new();
    for kind in Kind::ALL {
        let schema = api
            .get(&format!("/schema/{}", kind.singular()))
            .await
            .is(200);
        assert_eq!(schema.json(), *kind.schema());
    }
    let plugin = api.get("/schema/plugins/limit-count").await.is(200).json();
    assert!(plugin["properties"]["time_window"].is_object());
    for (path, name) in [
        ("/schema/nothing", "nothing"),
        ("/schema/plugins/nothing", "nothing"),
    ] {
        let refused = api.get(path).await.refused(400);
        assert_eq!(refused, format!("not found schema: {name}"));
    }
}

#[tokio::test]
async fn a_document_is_validated_alone() {
    let api = Api::new();
    let plugins = with(
        route(),
        json!({"plugins": {"nonsense": {}}, "service_id": "9"}),
    );
    let good = api.post("/schema/validate/routes", plugins).await.is(200);
    assert_eq!(good.text, "", "neither plugins nor references are judged");
    let bad = json!({"uri": "/a", "methods": ["NOPE"], "upstream": upstream()});
    let refused = api.post("/schema/validate/routes", bad).await.refused(400);
    assert!(
        refused.starts_with("property \"methods\" validation failed"),
        "{refused}"
    );
    api.post("/schema/validate/nonsense", json!({}))
        .await
        .is(404);
    assert_eq!(api.get("/routes").await.json()["total"], 0);
}

#[tokio::test]
async fn the_description_names_every_kind_and_every_plugin_and_refers_to_what_it_has() {
    let api = Api::new();
    let document = api.get("/openapi.json").await.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/consumers"]["put"].is_object());
    assert!(document["paths"]["/consumers/{id}"].get("patch").is_none());
    assert!(document["paths"]["/routes/{id}/{path}"]["patch"].is_object());
    for kind in Kind::ALL {
        assert!(document["components"]["schemas"][kind.singular()].is_object());
    }
    assert!(document["components"]["schemas"]["plugin.key-auth.consumer"].is_object());
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get("$ref") {
                found.push(target);
            }
            fields.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}
