//! Consumers and their credentials.

use super::*;

#[tokio::test]
async fn a_consumer_is_named_by_its_username() {
    let api = Api::new();
    let jack = json!({"username": "jack", "plugins": {"key-auth": {"key": "k"}}});
    let created = api.put("/consumers", jack.clone()).await.is(201).json();
    assert_eq!(created["key"], "/apisix/consumers/jack");
    api.put("/consumers/jack", jack.clone()).await.is(200);
    let wrong = api.put("/consumers/jill", jack).await;
    assert_eq!(wrong.refused(400), "wrong username");
    let unnamed = api.put("/consumers/jack", json!({})).await.refused(400);
    assert!(unnamed.contains("username"), "{unnamed}");
}

#[tokio::test]
async fn two_consumers_do_not_have_one_key() {
    let api = Api::new();
    let named = |name: &str| json!({"username": name, "plugins": {"key-auth": {"key": "same"}}});
    api.put("/consumers", named("jack")).await.is(201);
    let said = "duplicate key of plugin key-auth found with consumer: jack";
    assert_eq!(
        api.put("/consumers", named("jill")).await.refused(400),
        said
    );
    // The keeper of a key may come later in the order of names.
    let other = api.put("/consumers", named("adam")).await.refused(400);
    assert!(
        other.starts_with("duplicate key of plugin key-auth"),
        "{other}"
    );
    api.put("/consumers", json!({"username": "jill"}))
        .await
        .is(201);
    let credential = json!({"plugins": {"key-auth": {"key": "same"}}});
    let refused = api.put("/consumers/jill/credentials/1", credential).await;
    assert_eq!(refused.refused(400), said);
}

#[tokio::test]
async fn credentials_live_below_their_consumer_and_go_with_it() {
    let api = Api::new();
    let path = "/consumers/jack/credentials/c1";
    let credential = json!({"plugins": {"key-auth": {"key": "k"}}});
    let orphan = api.put(path, credential.clone()).await;
    assert_eq!(orphan.refused(404), "consumer not found");
    api.put("/consumers", json!({"username": "jack"}))
        .await
        .is(201);
    let none = api.get("/consumers/jack/credentials").await.is(404).json();
    assert_eq!(none, json!({"message": "Key not found"}));

    let created = api.put(path, credential).await.is(201).json();
    assert_eq!(created["key"], "/apisix/consumers/jack/credentials/c1");
    assert_eq!(created["value"]["id"], "c1");
    let listed = api.get("/consumers/jack/credentials").await.is(200).json();
    assert_eq!(listed["total"], 1);
    assert_eq!(api.get("/consumers").await.json()["total"], 1);

    // Whose name begins in the same way is somebody else.
    api.put("/consumers", json!({"username": "jack-b"}))
        .await
        .is(201);
    api.delete("/consumers/jack").await.is(200);
    api.get(path).await.is(404);
    api.get("/consumers/jack-b").await.is(200);
}

#[tokio::test]
async fn a_credential_holds_one_authenticator_and_nothing_else() {
    let api = Api::new();
    api.put("/consumers", json!({"username": "jack"}))
        .await
        .is(201);
    let path = "/consumers/jack/credentials/c1";
    let other = json!({"plugins": {"request-id": {}}});
    assert_eq!(
        api.put(path, other).await.refused(400),
        "only supports auth type plugins in consumer credential"
    );
    let two = json!({"plugins": {"key-auth": {"key": "k"}, "request-id": {}}});
    let refused = api.put(path, two).await.refused(400);
    assert!(refused.starts_with("invalid configuration: "), "{refused}");
    let wrong = json!({"plugins": {"key-auth": {"kee": "k"}}});
    let refused = api.put(path, wrong).await.refused(400);
    assert!(
        refused.starts_with("invalid plugins configuration: "),
        "{refused}"
    );
}
