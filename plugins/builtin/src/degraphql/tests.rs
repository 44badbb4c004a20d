#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, passes, refused, reply, request};
use crossway_sdk::{definition::Instance, testing::Scene};
use serde_json::json;

const QUERY: &str = "query($id: Int, $name: String) { user(id: $id, name: $name) { name } }";

async fn post(body: &str) -> Scene {
    let length = body.len();
    let head = "POST /u HTTP/1.1\r\nHost: a.test\r\nContent-Encoding: x\r\n";
    let raw = format!("{head}Content-Length: {length}\r\n\r\n{body}");
    Scene::new(raw.as_bytes()).await.unwrap()
}

/// Head and body that the upstream gets.
fn sent(plugin: &dyn Instance, scene: &mut Scene) -> (RequestHeader, Vec<u8>) {
    let mut head = scene.session.req_header().clone();
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    let body = scene.request.body.clone().unwrap().to_vec();
    (head, body)
}

#[tokio::test]
async fn a_get_becomes_a_query_string() {
    let plugin = built::<Degraphql>(json!({"query": "{ a }"}));
    let mut scene = request("GET /p/q?old=1 HTTP/1.1\nHost: a.test").await;
    assert!(passes(scene.access(&*plugin).await));
    let target = scene.request.rewritten.target.clone().unwrap();
    assert_eq!(target, "/p/q?query=%7B%20a%20%7D");

    let config =
        json!({"query": QUERY, "variables": ["id", "name", "none"], "operation_name": "o"});
    let plugin = built::<Degraphql>(config);
    let mut scene = request("GET /p?id=1&name=a%22%26b HTTP/1.1\nHost: a.test").await;
    assert!(passes(scene.access(&*plugin).await));
    let target =
        String::from_utf8(scene.request.rewritten.target.clone().unwrap().to_vec()).unwrap();
    let query = target.split_once('?').unwrap().1;
    let of = |name: &str| match argument(query, name).unwrap() {
        Found::Bytes(text) => String::from_utf8(text.into_owned()).unwrap(),
        other => panic!("{other:?}"),
    };
    assert_eq!(of("query"), QUERY);
    assert_eq!(of("operationName"), "o");
    let variables: Value = serde_json::from_str(&of("variables")).unwrap();
    assert_eq!(variables, json!({"id": "1", "name": "a\"&b"}));
}

#[tokio::test]
async fn a_post_becomes_a_json_body() {
    let plugin = built::<Degraphql>(json!({"query": QUERY, "variables": ["id", "none"]}));
    let mut scene = post("{\"id\": 7, \"other\": 1}").await;
    assert!(passes(scene.access(&*plugin).await));
    let (head, body) = sent(&*plugin, &mut scene);
    let read: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(read, json!({"query": QUERY, "variables": {"id": 7}}));
    assert_eq!(head.headers["content-type"], "application/json");
    assert!(!head.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn what_brings_no_variables_is_refused() {
    let plugin = built::<Degraphql>(json!({"query": QUERY, "variables": ["id"]}));
    for body in ["", "no json", "[1]", "\"text\"", "{\"id\":"] {
        let mut scene = post(body).await;
        assert_eq!(reply(scene.access(&*plugin).await).status, 400, "{body}");
    }
    let plain = built::<Degraphql>(json!({"query": "{ a }"}));
    let mut scene = post("whatever").await;
    assert!(passes(scene.access(&*plain).await));
    assert_eq!(sent(&*plain, &mut scene).1, b"{\"query\":\"{ a }\"}");
    let mut scene = request("PUT / HTTP/1.1\nHost: a.test").await;
    assert_eq!(reply(scene.access(&*plain).await).status, 405);
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (json!({}), "property \"query\" is required"),
        (json!({"query": "uery {"}), "failed to parse query"),
        (
            json!({"query": "query a { a } query b { b }"}),
            "operation_name is required if multiple operations are present in the query (at /operation_name)",
        ),
        (json!({"query": "{ a }", "variables": []}), "/variables"),
        (json!({"query": ""}), "/query"),
    ] {
        let said = refused::<Degraphql>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
