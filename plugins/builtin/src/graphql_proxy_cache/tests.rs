use super::GraphqlProxyCache;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    flow::Flow,
    testing::Scene,
};
use pingora_http::ResponseHeader;
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<GraphqlProxyCache>()
}

fn plugin() -> Arc<dyn Instance> {
    let config = json!({"cache_strategy": "memory", "cache_zone": "memory_cache"});
    built(&definition(), config)
}

fn post(kind: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let length = body.len();
    let head =
        format!("POST /graphql HTTP/1.1\r\nHost: a\r\n{kind}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

const JSON: &str = "Content-Type: application/json\r\n";
const GRAPHQL: &str = "Content-Type: application/graphql\r\n";

/// What the cache said, and the body that the client gets: of the cache, or of the upstream, which says `from`.
async fn asked(plugin: &dyn Instance, raw: impl AsRef<[u8]>, from: &str) -> (String, String) {
    let mut scene = scene(raw).await;
    let flow = scene.access(plugin).await;
    let status = said_by_cache(&scene);
    if let Flow::Respond(reply) = flow.unwrap() {
        return (status, body(&reply));
    }
    let mut head = ResponseHeader::build(200, None).unwrap();
    if scene.request.keep_upstream_head {
        scene.request.upstream_head = Some(Box::new(head.clone()));
    }
    scene.header_filter(plugin, &mut head).unwrap();
    let mut chunk = Some(from.to_owned().into());
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    (status, from.to_owned())
}

fn said_by_cache(scene: &Scene) -> String {
    let mut headers = scene.request.response_headers.iter();
    let found = headers.find(|(name, _)| name == "apisix-cache-status");
    found.map_or_else(String::new, |(_, value)| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_query_is_answered_from_the_cache_and_another_one_is_not() {
    let plugin = plugin();
    let first = post(JSON, r#"{"query":"{ a }"}"#);
    let second = post(JSON, r#"{"query":"{ a }","variables":{"n":1}}"#);
    let third = post(GRAPHQL, "query A { a }");
    let fourth = get("/graphql?query=%7Ba%7D", "");
    for (raw, from) in [(&first, "1"), (&second, "2"), (&third, "3"), (&fourth, "4")] {
        assert_eq!(
            asked(&*plugin, raw, from).await,
            ("MISS".into(), from.into())
        );
    }
    for (raw, from) in [(&first, "1"), (&second, "2"), (&third, "3"), (&fourth, "4")] {
        assert_eq!(
            asked(&*plugin, raw, "new").await,
            ("HIT".into(), from.into())
        );
    }
}

#[tokio::test]
async fn what_changes_something_goes_past_the_cache() {
    let plugin = plugin();
    for text in [
        "mutation { a }",
        "query A { a } mutation B { b }",
        "subscription { a }",
    ] {
        for from in ["1", "2"] {
            let got = asked(&*plugin, post(GRAPHQL, text), from).await;
            assert_eq!(got, ("BYPASS".into(), from.into()), "{text}");
        }
    }
    let got = asked(&*plugin, get("/graphql?query=mutation%7Ba%7D", ""), "1").await;
    assert_eq!(got.0, "BYPASS");
}

#[tokio::test]
async fn what_is_no_graphql_is_refused() {
    let plugin = plugin();
    let (absent, none) = ("cant't get graphql request body", "no query");
    let unreadable = "failed to parse graphql query";
    for (raw, why) in [
        (post(JSON, ""), absent),
        (post(JSON, "x".repeat(1024 * 1024 + 1)), absent),
        (get("/graphql", ""), absent),
        (get("/graphql?a=1", ""), none),
        (get("/graphql?query", ""), none),
        (get("/graphql?query=%ff", ""), none),
        // A server may take the other one.
        (
            get("/graphql?query=%7Ba%7D&query=mutation%7Ba%7D", ""),
            none,
        ),
        (
            post(JSON, r#"{"query":"{ a }","query":"mutation { a }"}"#),
            none,
        ),
        (post(JSON, "[]"), none),
        (post(JSON, "{"), none),
        (post(GRAPHQL, b"{ a(b: \"\xff\") }"), none),
        (post("", "{ a }"), none),
        (post(&format!("{JSON}{GRAPHQL}"), "{ a }"), none),
        (post(GRAPHQL, "{"), unreadable),
        (get("/graphql?query=%7B", ""), unreadable),
        (
            post(GRAPHQL, "fragment F on Q { a }"),
            "empty graphql query",
        ),
    ] {
        let (status, body) = said(scene(&raw).await.access(&*plugin).await);
        let told: Value = serde_json::from_str(&body).unwrap();
        let expected = format!("Invalid graphql request: {why}");
        assert_eq!((status, told["message"].as_str()), (400, Some(&*expected)));
    }
    for method in ["HEAD", "PUT", "DELETE", "PURGE"] {
        let raw = format!("{method} /?query=%7Ba%7D HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(reply(scene(raw).await.access(&*plugin).await).status, 405);
    }
}

#[test]
fn refused_configurations_say_where() {
    let path = |config| refused(&definition(), config).0;
    assert_eq!(path(json!({"cache_zone": "none"})), "/cache_zone");
    assert_eq!(path(json!({"cache_strategy": "memory"})), "/cache_zone");
    assert_eq!(path(json!({"cache_strategy": "tape"})), "/cache_strategy");
    assert_eq!(path(json!({"cache_ttl": 0})), "/cache_ttl");
    assert_eq!(path(json!({"cache_key": ["$host"]})), "/cache_key");
}

#[tokio::test]
async fn a_document_beside_that_of_the_body_is_refused() {
    let head = format!(
        "POST /graphql?query=mutation%7Ba%7D HTTP/1.1\r\nHost: a\r\n{GRAPHQL}Content-Length: 5\r\n\r\n{{ a }}"
    );
    let flow = scene(head).await.access(&*plugin()).await;
    assert_eq!(reply(flow).status, 400);
}
