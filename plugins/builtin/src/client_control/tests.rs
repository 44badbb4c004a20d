use super::ClientControl;
use crate::testing::*;
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<ClientControl>()
}

fn post(head: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.example\r\n{head}\r\n")
}

#[tokio::test]
async fn a_length_above_the_limit_is_refused_at_once() {
    let plugin = built(&definition(), json!({"max_body_size": 5}));
    for (length, passes) in [(0, true), (5, true), (6, false), (u64::MAX, false)] {
        let mut scene = scene(post(&format!("Content-Length: {length}\r\n"))).await;
        let flow = scene.rewrite(&*plugin).await;
        assert_eq!(scene.request.max_body, Some(5));
        match passes {
            true => assert!(goes_on(flow), "{length}"),
            false => assert_eq!(reply(flow).status, 413, "{length}"),
        }
    }
}

#[tokio::test]
async fn the_settings_limit_is_replaced_lifted_or_kept() {
    let set = async |config: Value| {
        let plugin = built(&definition(), config);
        let mut scene = scene(post("Transfer-Encoding: chunked\r\n")).await;
        scene.request.max_body = Some(10);
        assert!(goes_on(scene.rewrite(&*plugin).await));
        scene.request.max_body
    };
    assert_eq!(set(json!({"max_body_size": 20})).await, Some(20));
    assert_eq!(set(json!({"max_body_size": 0})).await, None);
    assert_eq!(set(json!({})).await, Some(10));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(refused(json!({"max_body_size": -1})).0, "/max_body_size");
    assert_eq!(refused(json!({"max_body_size": "1m"})).0, "/max_body_size");
    assert_eq!(
        refused(json!({"max_size": 1})).1,
        "additional properties forbidden, found max_size"
    );
}
