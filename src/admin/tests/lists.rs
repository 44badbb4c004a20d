//! Lists: order, pages, filters.

use super::*;

async fn ids(api: &Api, path: &str) -> Vec<String> {
    let list = api.get(path).await.is(200).json();
    let items = list["list"].as_array().unwrap().iter();
    items
        .map(|item| item["value"]["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_list_is_in_key_order_and_a_page_in_creation_order() {
    let api = Api::new();
    let empty = api.get("/routes").await.is(200).json();
    assert_eq!(empty, json!({"list": [], "total": 0}));
    for id in ["c", "a", "b"] {
        api.put(&format!("/routes/{id}"), route()).await.is(201);
    }
    api.put("/routes/c", route()).await.is(200);
    assert_eq!(ids(&api, "/routes").await, ["a", "b", "c"]);
    assert_eq!(ids(&api, "/routes/").await, ["a", "b", "c"]);
    assert_eq!(
        ids(&api, "/routes?page=1&page_size=10").await,
        ["c", "a", "b"]
    );
    assert!(ids(&api, "/routes?page=2&page_size=10").await.is_empty());
    let refused = api.get("/routes?page=1&page_size=9").await.is(400);
    assert_eq!(refused.text, "page_size must be between 10 and 500");
    assert_eq!(refused.headers["content-type"], "text/plain; charset=utf-8");
}

#[tokio::test]
async fn the_total_counts_after_filtering_and_before_paging() {
    let api = Api::new();
    for number in 0..12 {
        let named = with(route(), json!({"name": format!("n{}", number % 2)}));
        api.put(&format!("/routes/{number:02}"), named)
            .await
            .is(201);
    }
    let page = api.get("/routes?page=2&page_size=10").await.json();
    assert_eq!(
        (&page["total"], page["list"].as_array().unwrap().len()),
        (&json!(12), 2)
    );
    let found = api.get("/routes?name=n1&page=1&page_size=10").await.json();
    assert_eq!(found["total"], 6);
    api.get("/routes?name=%28").await.is(400);
}

#[tokio::test]
async fn secrets_are_listed_by_manager_or_all() {
    let api = Api::new();
    let vault = json!({"uri": "http://127.0.0.1:8200", "prefix": "kv", "token": "t"});
    let aws = json!({"access_key_id": "a", "secret_access_key": "b"});
    api.put("/secrets/vault/1", vault.clone()).await.is(201);
    api.put("/secrets/aws/1", aws).await.is(201);
    api.put("/secrets/aws/2", vault).await.is(400);
    assert_eq!(api.get("/secrets").await.json()["total"], 2);
    assert_eq!(api.get("/secrets/aws").await.json()["total"], 1);
    assert_eq!(
        api.get("/secrets/consul").await.refused(400),
        "invalid secret manager: consul"
    );
}
