//! Lists of the Admin API: envelope, order, paging, filters.

use serde_json::{Value, json};

use crate::support::{Admin, Gateway};

fn named(name: &str, uri: &str) -> Value {
    json!({ "name": name, "uri": uri, "upstream": { "nodes": { "127.0.0.1:1980": 1 } } })
}

async fn ids(admin: &Admin, path: &str) -> Vec<String> {
    let list = admin.get(path).await.expect_status(200).json();
    let items = list["list"].as_array().expect("a list");
    items
        .iter()
        .map(|item| item["value"]["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_is_an_array() {
    let gateway = Gateway::start().await;
    for kind in [
        "routes",
        "services",
        "upstreams",
        "consumers",
        "global_rules",
        "plugin_configs",
    ] {
        let list = gateway
            .admin()
            .get(&format!("/{kind}"))
            .await
            .expect_status(200);
        assert_eq!(list.json(), json!({ "list": [], "total": 0 }), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_in_key_order_and_a_page_in_creation_order() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    for id in ["c", "a", "b"] {
        admin
            .put(&format!("/routes/{id}"), &named(id, "/x"))
            .await
            .expect_status(201);
    }
    assert_eq!(ids(&admin, "/routes").await, ["a", "b", "c"]);
    assert_eq!(
        ids(&admin, "/routes?page=1&page_size=10").await,
        ["c", "a", "b"]
    );
    let list = admin.get("/routes").await.json();
    assert_eq!(list["total"], 3);
    assert_eq!(list["list"][0]["key"], "/apisix/routes/a");
    assert!(list["list"][0]["createdIndex"].is_u64() && list["list"][0]["modifiedIndex"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_between_10_and_500_items() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    for number in 0..12 {
        let path = format!("/routes/{number:02}");
        admin.put(&path, &named("n", "/x")).await.expect_status(201);
    }
    for size in [9, 501, 0] {
        let refused = admin.get(&format!("/routes?page=1&page_size={size}")).await;
        let refused = refused.expect_status(400);
        assert!(
            refused
                .text()
                .contains("page_size must be between 10 and 500"),
            "{size}"
        );
    }
    assert_eq!(ids(&admin, "/routes?page=1&page_size=10").await.len(), 10);
    assert_eq!(
        ids(&admin, "/routes?page=2&page_size=10").await,
        ["10", "11"]
    );
    assert_eq!(
        ids(&admin, "/routes?page=0&page_size=10").await.len(),
        10,
        "page 0 is page 1"
    );
    let second = admin.get("/routes?page=2&page_size=10").await.json();
    assert_eq!(second["total"], 12, "the total is not the page's");
    let past = admin
        .get("/routes?page=9&page_size=10")
        .await
        .expect_status(200)
        .json();
    assert_eq!(past["list"], json!([]));
    assert_eq!(
        ids(&admin, "/routes?page=a&page_size=10").await.len(),
        12,
        "not numbers: no paging"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_combined_with_and() {
    let gateway = Gateway::start().await;
    let admin = gateway.admin();
    admin
        .put("/services/s1", &json!({}))
        .await
        .expect_status(201);
    let mut orders = named("orders-v1", "/orders/*");
    orders["labels"] = json!({ "team": "blue" });
    orders["service_id"] = json!("s1");
    admin.put("/routes/1", &orders).await.expect_status(201);
    let mut users = named("users-v1", "/users");
    users["labels"] = json!({ "stage": "test" });
    admin.put("/routes/2", &users).await.expect_status(201);

    assert_eq!(ids(&admin, "/routes?name=orders").await, ["1"]);
    assert_eq!(
        ids(&admin, "/routes?name=v1$").await,
        ["1", "2"],
        "a regular expression"
    );
    assert_eq!(ids(&admin, "/routes?uri=user").await, ["2"]);
    assert_eq!(ids(&admin, "/routes?label=team").await, ["1"]);
    assert_eq!(ids(&admin, "/routes?name=v1&uri=users").await, ["2"]);
    assert!(
        ids(&admin, "/routes?name=orders&uri=users")
            .await
            .is_empty()
    );
    assert_eq!(ids(&admin, "/routes?filter=service_id%3Ds1").await, ["1"]);
    assert!(
        ids(&admin, "/routes?filter=service_id%3Dother")
            .await
            .is_empty()
    );
    let filtered = admin
        .get("/routes?name=orders&page=1&page_size=10")
        .await
        .json();
    assert_eq!(filtered["total"], 1, "the total counts after filtering");
}
