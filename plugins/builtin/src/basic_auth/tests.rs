use super::BasicAuth;
use crate::testing::*;
use base64::{Engine, prelude::BASE64_STANDARD};
use crossway_sdk::{definition::Definition, testing::Consumers};
use serde_json::json;

fn definition() -> Definition {
    Definition::auth::<BasicAuth>()
}

fn consumers() -> Consumers {
    let credential = json!({"username": "foo", "password": "a:b c"});
    Consumers::default()
        .with("jack", &definition(), credential)
        .unwrap()
        .with("nobody", &definition(), json!(null))
        .unwrap()
}

fn authorization(pair: impl AsRef<[u8]>) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(pair))
}

async fn status_and_body(lines: impl AsRef<[u8]>) -> (u16, String) {
    let plugin = built(&definition(), json!({}));
    let mut scene = scene_with(get("/", lines), consumers()).await;
    let reply = reply(scene.rewrite(&*plugin).await);
    assert_eq!(
        header(&reply, "www-authenticate"),
        Some("Basic realm=\"basic\"")
    );
    assert!(scene.request.identity.is_none());
    (reply.status.as_u16(), body(&reply))
}

#[tokio::test]
async fn user_name_and_password_name_the_consumer() {
    let plugin = built(&definition(), json!({}));
    let token = BASE64_STANDARD.encode("foo:a:b c");
    for lines in [
        authorization("foo:a:b c"),
        // As written by `echo`.
        authorization("foo:a:b c\n"),
        format!("authorization: bAsIc  {token} \r\n"),
        format!("authorization: Basic {}\r\n", token.trim_end_matches('=')),
    ] {
        let mut scene = scene_with(get("/", &lines), consumers()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await), "{lines}");
        assert_eq!(scene.request.consumer_name(), Some("jack"));
        assert!(sent_up(&scene, "authorization").is_some());
    }
}

#[tokio::test]
async fn refusals_tell_missing_malformed_and_wrong_apart() {
    let missing = (
        401,
        "{\"message\":\"Missing authorization in request\"}\n".to_owned(),
    );
    let malformed = (
        401,
        "{\"message\":\"Invalid authorization in request\"}\n".to_owned(),
    );
    let wrong = (
        401,
        "{\"message\":\"Invalid user authorization\"}\n".to_owned(),
    );
    assert_eq!(status_and_body("").await, missing);
    for lines in [
        "Authorization: Basic\r\n",
        "Authorization: Basic ***\r\n",
        "Authorization: Bearer Zm9vOmE6YiBj\r\n",
        "Authorization: xBasic Zm9vOmE6YiBj\r\n",
        "Authorization: \r\n",
        &authorization("foo"),
        &authorization(b"foo:\xff"),
        &authorization("foo:a:b c").repeat(2),
        &authorization("x".repeat(20_000)),
    ] {
        assert_eq!(status_and_body(lines).await, malformed, "{lines}");
    }
    assert_eq!(
        status_and_body(b"Authorization: Basic \xff\r\n").await,
        malformed
    );
    for pair in [
        "bar:a:b c",
        "foo:a",
        "foo:",
        "foo:a:bc",
        "foo:a:b c ",
        " foo:a:b c",
        ":",
        "Foo:a:b c",
        "foo:a:b c\0",
    ] {
        assert_eq!(status_and_body(authorization(pair)).await, wrong, "{pair}");
    }
}

#[tokio::test]
async fn hidden_credentials_stay_from_the_upstream_also_when_they_are_wrong() {
    let config = json!({"hide_credentials": true, "anonymous_consumer": "nobody"});
    let plugin = built(&definition(), config);
    for (pair, consumer) in [("foo:a:b c", "jack"), ("foo:wrong", "nobody")] {
        let mut scene = scene_with(get("/", authorization(pair)), consumers()).await;
        assert!(goes_on(scene.rewrite(&*plugin).await));
        assert_eq!(scene.request.consumer_name(), Some(consumer));
        assert_eq!(sent_up(&scene, "authorization"), None);
    }
}

#[tokio::test]
async fn the_realm_can_be_chosen() {
    let plugin = built(&definition(), json!({"realm": "here"}));
    let reply = reply(scene(get("/", "")).await.rewrite(&*plugin).await);
    assert_eq!(
        header(&reply, "www-authenticate"),
        Some("Basic realm=\"here\"")
    );
}

#[test]
fn a_user_name_has_no_colon() {
    let credential = json!({"username": "a:b", "password": "secret"});
    let error = definition().credential(&credential).err().unwrap();
    assert_eq!(error.path, "/username");
    assert!(!error.message.contains("secret"));
    let error = definition()
        .credential(&json!({"username": "a"}))
        .err()
        .unwrap();
    assert_eq!(error.message, "property \"password\" is required");
}
