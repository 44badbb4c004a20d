//! PATCH: a merge for a whole document, a replacement for a part of one.

use serde_json::{Value, json};

use crate::support::Gateway;

fn route() -> Value {
    json!({
        "uri": "/a",
        "desc": "first",
        "methods": ["GET", "POST"],
        "plugins": { "limit-count": { "count": 5, "time_window": 60 } },
        "upstream": { "nodes": { "127.0.0.1:1980": 1, "127.0.0.1:1981": 1 } },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_merge_arrays_are_replaced_and_null_deletes() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);
    let change = json!({
        "desc": null,
        "methods": ["PUT"],
        "plugins": { "limit-count": { "count": 9 } },
        "upstream": { "nodes": { "127.0.0.1:1981": null, "127.0.0.1:1982": 2 } },
    });
    let patched = admin
        .patch("/routes/1", &change)
        .await
        .expect_status(200)
        .json();
    assert_eq!(patched["key"], "/apisix/routes/1");
    let value = &patched["value"];
    assert!(value["desc"].is_null());
    assert_eq!(value["methods"], json!(["PUT"]));
    assert_eq!(
        value["plugins"]["limit-count"],
        json!({ "count": 9, "time_window": 60 })
    );
    let nodes = json!({ "127.0.0.1:1980": 1, "127.0.0.1:1982": 2 });
    assert_eq!(value["upstream"]["nodes"], nodes);
    assert_eq!(admin.get("/routes/1").await.json()["value"], *value);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sub_path_is_replaced_by_the_body() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);

    let patched = admin
        .patch("/routes/1/methods", &json!(["DELETE"]))
        .await
        .expect_status(200);
    assert_eq!(patched.json()["value"]["methods"], json!(["DELETE"]));

    let limit = json!({ "count": 1, "time_window": 1 });
    let path = "/routes/1/plugins/limit-count";
    let patched = admin.patch(path, &limit).await.expect_status(200).json();
    assert_eq!(patched["value"]["plugins"]["limit-count"], limit);

    let patched = admin
        .patch("/routes/1/labels/team", &json!("blue"))
        .await
        .expect_status(200);
    assert_eq!(
        patched.json()["value"]["labels"],
        json!({ "team": "blue" }),
        "parents are made"
    );

    let refused = admin
        .patch("/routes/1/uri/x", &json!("y"))
        .await
        .expect_status(400)
        .json();
    assert!(
        refused["error_msg"]
            .as_str()
            .unwrap()
            .contains("invalid sub-path"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_that_makes_a_document_wrong_is_refused_and_changes_nothing() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);
    let before = admin.get("/routes/1").await.json();

    admin
        .patch("/routes/1", &json!({ "uri": null }))
        .await
        .expect_status(400);
    admin
        .patch("/routes/1", &json!({ "nonsense": 1 }))
        .await
        .expect_status(400);
    admin
        .patch("/routes/1/methods", &json!(["NOPE"]))
        .await
        .expect_status(400);
    let whole = admin
        .patch("/routes/1", &json!(["GET"]))
        .await
        .expect_status(400)
        .json();
    assert!(
        whole["error_msg"]
            .as_str()
            .unwrap()
            .contains("invalid configuration"),
        "{whole}"
    );
    let empty = admin
        .request("PATCH", "/routes/1")
        .await
        .expect_status(400)
        .json();
    assert_eq!(empty["error_msg"], "missing new configuration");

    assert_eq!(admin.get("/routes/1").await.json(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_of_one_document_lose_no_acknowledged_change() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin.put("/routes/1", &route()).await.expect_status(201);
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16 {
        let admin = admin.clone();
        writers.spawn(async move {
            let label = format!("l{number}");
            let change = json!({ "labels": { label.clone(): "x" } });
            let status = admin.patch("/routes/1", &change).await.status;
            assert!(
                status == 200 || status == 503,
                "changed or told to try again: {status}"
            );
            (status == 200).then_some(label)
        });
    }
    let acknowledged: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    let labels = admin.get("/routes/1").await.json()["value"]["labels"].clone();
    assert!(!acknowledged.is_empty());
    for label in acknowledged {
        assert_eq!(labels[&label], "x", "{label} was acknowledged: {labels}");
    }
}
