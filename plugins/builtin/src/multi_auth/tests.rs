use super::MultiAuth;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    testing::{Bench, Consumers},
};
use serde_json::{Value, json};
use std::sync::Arc;

fn bench() -> Bench {
    Bench {
        plugins: crate::registry().unwrap(),
        ..Bench::default()
    }
}

fn plugin(auth_plugins: Value) -> Arc<dyn Instance> {
    let config = json!({ "auth_plugins": auth_plugins });
    bench()
        .build(&Definition::of::<MultiAuth>(), config)
        .unwrap()
}

/// Consumers, each with credentials of one plugin.
fn people() -> Consumers {
    let registry = crate::registry().unwrap();
    let credentials = [
        ("kim", "key-auth", json!({"key": "kim-key"})),
        (
            "ben",
            "basic-auth",
            json!({"username": "ben", "password": "pass"}),
        ),
        (
            "jo",
            "jwt-auth",
            json!({"key": "kim-key", "secret": "a-secret-for-tests"}),
        ),
        ("nobody", "key-auth", json!(null)),
    ];
    credentials.into_iter().fold(
        Consumers::default(),
        |people, (name, plugin, credential)| {
            let slot = registry.auth_slot(plugin).unwrap();
            let definition = registry.get(plugin).unwrap();
            people.with_in(slot, name, definition, credential).unwrap()
        },
    )
}

const BEN: &str = "Authorization: Basic YmVuOnBhc3M=\r\n";

#[tokio::test]
async fn the_first_that_lets_in_names_the_consumer() {
    let both = plugin(json!([{"basic-auth": {}}, {"key-auth": {}}]));
    for (lines, name) in [
        (BEN.to_owned(), "ben"),
        ("apikey: kim-key\r\n".to_owned(), "kim"),
        (format!("{BEN}apikey: kim-key\r\n"), "ben"),
        (format!("{BEN}apikey: wrong\r\n"), "ben"),
        (
            "Authorization: Basic wrong\r\napikey: kim-key\r\n".to_owned(),
            "kim",
        ),
    ] {
        let mut scene = scene_with(get("/", &lines), people()).await;
        assert!(goes_on(scene.rewrite(&*both).await), "{lines}");
        assert_eq!(scene.request.consumer_name(), Some(name), "{lines}");
    }
}

#[tokio::test]
async fn when_all_refuse_there_is_one_answer_with_all_challenges() {
    let both =
        plugin(json!([{"basic-auth": {"realm": "a"}}, {"key-auth": {}}, {"jwe-decrypt": {}}]));
    for lines in [
        "",
        "apikey: wrong\r\n",
        "Authorization: Basic x\r\napikey: é\r\n",
    ] {
        let mut scene = scene_with(get("/", lines), people()).await;
        let refusal = reply(scene.rewrite(&*both).await);
        assert_eq!(refusal.status, 401);
        assert_eq!(body(&refusal), "{\"message\":\"Authorization Failed\"}\n");
        let challenges: Vec<_> = refusal
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
            .collect();
        assert_eq!(
            challenges,
            [
                ("www-authenticate", "Basic realm=\"a\""),
                ("www-authenticate", "apikey realm=\"key\"")
            ]
        );
        assert!(scene.request.identity.is_none());
    }
}

#[tokio::test]
async fn an_authenticator_that_refuses_leaves_no_trace() {
    let hiding = json!({"hide_credentials": true});
    let plugin = plugin(json!([{"jwt-auth": hiding}, {"key-auth": hiding}, {"basic-auth": {}}]));
    let mut scene = scene_with(get("/a?apikey=wrong&x=1", BEN), people()).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(scene.request.consumer_name(), Some("ben"));
    assert_eq!(sent_up(&scene, "authorization"), Some("Basic YmVuOnBhc3M="));
    assert_eq!(target(&scene), "/a?apikey=wrong&x=1");
}

#[tokio::test]
async fn the_one_that_lets_in_hides_what_it_should() {
    let plugin = plugin(json!([{"basic-auth": {}}, {"key-auth": {"hide_credentials": true}}]));
    let mut scene = scene_with(get("/a?apikey=kim-key&x=1", ""), people()).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(target(&scene), "/a?x=1");
}

#[tokio::test]
async fn credentials_of_one_plugin_are_nothing_to_another() {
    // `kim-key` is a key of key-auth and a key claim of jwt-auth.
    let plugin = plugin(json!([{"jwt-auth": {}}, {"key-auth": {"header": "x-key"}}]));
    let mut scene = scene_with(get("/?apikey=ben", "x-key: jo\r\n"), people()).await;
    assert_eq!(said(scene.rewrite(&*plugin).await).0, 401);
}

#[tokio::test]
async fn an_anonymous_consumer_inside_ends_the_search() {
    let anonymous = json!({"anonymous_consumer": "nobody"});
    let plugin = plugin(json!([{"basic-auth": {}}, {"key-auth": anonymous}, {"jwt-auth": {}}]));
    let mut scene = scene_with(get("/", ""), people()).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    assert_eq!(scene.request.consumer_name(), Some("nobody"));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |auth_plugins: Value| {
        let config = json!({ "auth_plugins": auth_plugins });
        let error = bench().build(&Definition::of::<MultiAuth>(), config);
        let error = error.err().unwrap();
        (error.path, error.message)
    };
    assert_eq!(refused(json!([{"key-auth": {}}])).0, "/auth_plugins");
    assert_eq!(
        refused(json!(["key-auth", "jwt-auth"])).0,
        "/auth_plugins/0"
    );
    assert_eq!(refused(json!([{"key-auth": {}}, {}])).0, "/auth_plugins/1");
    assert_eq!(
        refused(json!([{"key-auth": {}, "jwt-auth": {}}, {"basic-auth": {}}])).0,
        "/auth_plugins/0"
    );
    let pair = |path: &str, message: &str| (path.to_owned(), message.to_owned());
    assert_eq!(
        refused(json!([{"key-auth": {}}, {"no-auth": {}}])),
        pair("/auth_plugins/1/no-auth", "no-auth plugin did not found")
    );
    for other in ["cors", "multi-auth", "limit-count"] {
        assert_eq!(
            refused(json!([{"key-auth": {}}, {other: {}}])),
            pair(
                &format!("/auth_plugins/1/{other}"),
                &format!("{other} plugin is not supported")
            )
        );
    }
    let inner = refused(json!([{"key-auth": {}}, {"basic-auth": {"realm": 1}}]));
    assert_eq!(inner.0, "/auth_plugins/1/basic-auth/realm");
    assert!(
        inner
            .1
            .starts_with("failed to check the configuration of plugin basic-auth err: ")
    );
}
