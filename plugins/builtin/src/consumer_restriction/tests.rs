use super::ConsumerRestriction;
use crate::testing::*;
use crossway_sdk::{
    consumer::{Consumer, Identity},
    definition::Definition,
    route::RouteInfo,
    testing::Scene,
};
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<ConsumerRestriction>()
}

fn consumer(name: &str, group: Option<&str>) -> Identity {
    let consumer = Consumer {
        serial: 1,
        username: name.into(),
        group_id: group.map(Arc::from),
        labels: Default::default(),
        username_header: name.parse().unwrap(),
        custom_id: None,
    };
    Identity {
        consumer: Arc::new(consumer),
        credential: None,
    }
}

async fn scene_of(method: &str, name: Option<&str>) -> Scene {
    let mut scene = scene(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    scene.request.identity = name.map(|name| consumer(name, Some("gold")));
    scene.request.route = Some(Arc::new(RouteInfo {
        id: "r1".into(),
        service_id: Some("s1".into()),
        ..RouteInfo::default()
    }));
    scene
}

async fn status(config: Value, method: &str, name: &str) -> u16 {
    let plugin = built(&definition(), config);
    let mut scene = scene_of(method, Some(name)).await;
    match scene.access(&*plugin).await.unwrap() {
        crossway_sdk::flow::Flow::Next => 200,
        crossway_sdk::flow::Flow::Respond(reply) => reply.status.as_u16(),
    }
}

#[tokio::test]
async fn lists_admit_and_refuse_by_name() {
    let whitelist = json!({"whitelist": ["jack"]});
    let blacklist = json!({"blacklist": ["jack"]});
    let both = json!({"whitelist": ["jack", "jill"], "blacklist": ["jack"]});
    for (config, jack, jill, joe) in [
        (whitelist, 200, 403, 403),
        (blacklist, 403, 200, 200),
        (both, 403, 200, 403),
    ] {
        assert_eq!(
            status(config.clone(), "GET", "jack").await,
            jack,
            "{config}"
        );
        assert_eq!(
            status(config.clone(), "GET", "jill").await,
            jill,
            "{config}"
        );
        assert_eq!(status(config.clone(), "GET", "joe").await, joe, "{config}");
    }
}

#[tokio::test]
async fn methods_bind_those_who_are_named_and_not_whitelisted() {
    let methods = json!([
        {"user": "jack", "methods": ["GET", "HEAD"]},
        {"user": "jack", "methods": ["POST"]},
    ]);
    let alone = json!({"allowed_by_methods": methods});
    assert_eq!(status(alone.clone(), "GET", "jack").await, 200);
    assert_eq!(status(alone.clone(), "POST", "jack").await, 403);
    assert_eq!(status(alone.clone(), "POST", "jill").await, 200);
    let listed = json!({"allowed_by_methods": methods, "whitelist": ["jack"]});
    assert_eq!(status(listed.clone(), "POST", "jack").await, 200);
    assert_eq!(status(listed, "GET", "jill").await, 403);
    let banned = json!({"allowed_by_methods": methods, "blacklist": ["jack"]});
    assert_eq!(status(banned, "GET", "jack").await, 403);
}

#[tokio::test]
async fn each_type_looks_at_its_own_name() {
    for (kind, own) in [
        ("consumer_name", "jack"),
        ("consumer_group_id", "gold"),
        ("route_id", "r1"),
        ("service_id", "s1"),
    ] {
        let config = json!({"type": kind, "whitelist": [own]});
        assert_eq!(status(config, "GET", "jack").await, 200, "{kind}");
        let plugin = built(&definition(), json!({"type": kind, "blacklist": [own]}));
        let mut named = scene_of("GET", Some("jack")).await;
        let expected = (
            403,
            format!("{{\"message\":\"The {kind} is forbidden.\"}}\n"),
        );
        assert_eq!(said(named.access(&*plugin).await), expected);
        let mut unnamed = scene(get("/", "")).await;
        let message = format!(
            "{{\"message\":\"The request is rejected, please check the {kind} for this request\"}}\n"
        );
        assert_eq!(said(unnamed.access(&*plugin).await), (401, message));
    }
}

#[tokio::test]
async fn code_and_message_can_be_chosen() {
    let config = json!({"whitelist": ["a"], "rejected_code": 404, "rejected_msg": "no \"b\""});
    let plugin = built(&definition(), config);
    let got = said(scene_of("GET", Some("b")).await.access(&*plugin).await);
    assert_eq!(got, (404, "{\"message\":\"no \\\"b\\\"\"}\n".to_owned()));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected at least one of whitelist, blacklist and allowed_by_methods"
    );
    assert_eq!(refused(json!({"whitelist": []})).0, "/whitelist");
    assert_eq!(refused(json!({"whitelist": [1]})).0, "/whitelist/0");
    assert_eq!(
        refused(json!({"whitelist": ["a"], "type": "user"})).0,
        "/type"
    );
    assert_eq!(
        refused(json!({"whitelist": ["a"], "rejected_code": 199})).0,
        "/rejected_code"
    );
    let bad = json!({"allowed_by_methods": [{"user": "a", "methods": ["get"]}]});
    assert_eq!(refused(bad).0, "/allowed_by_methods/0/methods/0");
}
