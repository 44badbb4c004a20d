//! Many clients at once.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dozens_of_writes_go_on_beside_each_other() {
    let api = Api::new();
    let mut writers = JoinSet::new();
    for number in 0..48 {
        let api = api.clone();
        writers.spawn(async move {
            let id = format!("{number:040x}");
            api.put(&format!("/upstreams/{id}"), upstream())
                .await
                .is(201);
            let service = json!({"upstream_id": id});
            api.put(&format!("/services/{id}"), service).await.is(201);
            let posted = api
                .post("/routes", with(route(), json!({"service_id": id})))
                .await;
            posted.is(201).json()["value"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        });
    }
    let ids: BTreeSet<String> = writers.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 48);
    assert_eq!(api.get("/routes").await.json()["total"], 48);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn puts_of_one_document_all_succeed_and_patches_lose_nothing() {
    let api = Api::new();
    api.put("/routes/1", route()).await.is(201);
    let mut writers = JoinSet::new();
    for number in 0..16 {
        let api = api.clone();
        writers.spawn(async move {
            api.put("/upstreams/1", upstream()).await;
            let label = format!("l{number}");
            let change = json!({"labels": {label.clone(): "x"}});
            let patched = api.patch("/routes/1", change).await;
            match patched.status {
                200 => Some(label),
                _ => {
                    assert_eq!(patched.refused(503), "value changed before overwritten");
                    None
                }
            }
        });
    }
    let acknowledged: Vec<String> = writers.join_all().await.into_iter().flatten().collect();
    assert!(!acknowledged.is_empty());
    let labels = api.get("/routes/1").await.json()["value"]["labels"].clone();
    for label in &acknowledged {
        assert_eq!(labels[label], "x");
    }
    assert_eq!(labels.as_object().unwrap().len(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_key_is_given_to_one_consumer_and_a_plugin_to_one_rule() {
    let api = Api::new();
    let mut writers = JoinSet::new();
    for number in 0..12 {
        let api = api.clone();
        writers.spawn(async move {
            let consumer =
                json!({"username": format!("c{number}"), "plugins": {"key-auth": {"key": "same"}}});
            let consumer = api.put("/consumers", consumer).await.status;
            let rule = json!({"plugins": {"request-id": {}}});
            let rule = api
                .put(&format!("/global_rules/{number}"), rule)
                .await
                .status;
            (u32::from(consumer == 201), u32::from(rule == 201))
        });
    }
    let taken = writers.join_all().await;
    let sum = taken.iter().fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!(sum, (1, 1));
}

/// Whoever comes first, a route never refers to an upstream that is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reference_dangles_after_a_race() {
    let api = Api::new();
    for round in 0..20 {
        api.put("/upstreams/1", upstream()).await;
        let path = format!("/routes/{round}");
        let used = json!({"uri": "/", "upstream_id": "1"});
        let (written, deleted) = tokio::join!(api.put(&path, used), api.delete("/upstreams/1"));
        match (written.status, deleted.status) {
            (201, 400) | (400, 200) => {}
            other => panic!("{other:?}: {} {}", written.text, deleted.text),
        }
        api.delete(&path).await;
    }
}
