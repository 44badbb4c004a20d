use super::GraphqlLimitCount;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    flow::{Error, Flow},
    testing::Scene,
};
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<GraphqlLimitCount>()
}

async fn sent(
    plugin: &dyn Instance,
    kind: &str,
    body: impl AsRef<[u8]>,
) -> (Result<Flow, Error>, Scene) {
    let body = body.as_ref();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: a\r\n{kind}Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut scene = scene([head.as_bytes(), body].concat()).await;
    let flow = scene.access(plugin).await;
    (flow, scene)
}

const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";
const GRAPHQL: &str = "Content-Type: application/graphql\r\n";

fn remaining(scene: &Scene) -> Option<u64> {
    let mut headers = scene.request.response_headers.iter();
    let (_, value) = headers.find(|(name, _)| name == "x-ratelimit-remaining")?;
    value.to_str().unwrap().parse().ok()
}

#[tokio::test]
async fn a_document_counts_as_much_as_it_is_deep() {
    let plugin = built(
        &definition(),
        json!({"count": 6, "time_window": 60, "rejected_code": 429}),
    );
    for (kind, body, left) in [
        (JSON, json!({"query": "{ a { b } }"}).to_string(), 4),
        (
            GRAPHQL,
            "query A { a } query B { a { ...F } } fragment F on A { b { c } }".to_owned(),
            1,
        ),
        (GRAPHQL, "{ a }".to_owned(), 0),
    ] {
        let (flow, scene) = sent(&*plugin, kind, &body).await;
        assert!(goes_on(flow), "{body}");
        assert_eq!(remaining(&scene), Some(left), "{body}");
    }
    assert_eq!(reply(sent(&*plugin, GRAPHQL, "{ a }").await.0).status, 429);
}

#[tokio::test]
async fn what_is_too_deep_is_rejected_and_uses_nothing_up() {
    for window_type in ["fixed", "sliding"] {
        let config = json!({"count": 3, "time_window": 86_400, "window_type": window_type});
        let plugin = built(&definition(), config);
        let deep = "{ a { b { c { d } } } }";
        assert_eq!(
            reply(sent(&*plugin, GRAPHQL, deep).await.0).status,
            503,
            "{window_type}"
        );
        assert!(
            goes_on(sent(&*plugin, GRAPHQL, "{ a { b } }").await.0),
            "{window_type}"
        );
        assert_eq!(
            reply(sent(&*plugin, GRAPHQL, "{ a { b } }").await.0).status,
            503,
            "{window_type}"
        );
        assert!(
            goes_on(sent(&*plugin, GRAPHQL, "{ a }").await.0),
            "{window_type}"
        );
    }
}

#[tokio::test]
async fn what_is_no_graphql_is_refused() {
    let plugin = built(&definition(), json!({"count": 100, "time_window": 60}));
    let unreadable = "Invalid graphql request: failed to parse graphql query";
    let absent = "Invalid graphql request: can't get graphql request body";
    let deep_json = "[".repeat(100_000);
    for (kind, body, why) in [
        (JSON, "", absent),
        (JSON, &"x".repeat(1024 * 1024 + 1), absent),
        (JSON, "{", "invalid graphql request, "),
        (JSON, &deep_json, "invalid graphql request, "),
        (
            JSON,
            "[{\"query\":\"{ a }\"}]",
            "invalid graphql request, json body[query] is nil",
        ),
        (
            JSON,
            "{}",
            "invalid graphql request, json body[query] is nil",
        ),
        (JSON, "{\"query\":1}", unreadable),
        (JSON, "{\"query\":\"{\"}", unreadable),
        // A server may take the other one.
        (
            JSON,
            "{\"query\":\"{ a }\",\"query\":\"{ a { b } }\"}",
            "invalid graphql request, ",
        ),
        (
            GRAPHQL,
            "fragment F on Q { a }",
            "Invalid graphql request: empty graphql query",
        ),
        (
            GRAPHQL,
            "{ ...F } fragment F on Q { ...F }",
            "Invalid graphql request: fragment spreads must not form cycles",
        ),
        ("", "{ a }", "invalid graphql request, error content-type: "),
        (
            "Content-Type: text/plain\r\n",
            "{ a }",
            "invalid graphql request, error content-type: text/plain",
        ),
        (
            "Content-Type: \u{ff}\r\n",
            "{ a }",
            "invalid graphql request, error content-type: ",
        ),
        (
            "Content-Type: application/json\r\nContent-Type: application/graphql\r\n",
            "{ a }",
            "invalid graphql request, ",
        ),
    ] {
        let (status, body) = said(sent(&*plugin, kind, body).await.0);
        let told: Value = serde_json::from_str(&body).unwrap();
        let message = told["message"].as_str().unwrap();
        assert_eq!(status, 400, "{message}");
        assert!(message.starts_with(why), "{message:?} is not {why:?}");
    }
    let (status, _) = said(sent(&*plugin, GRAPHQL, b"{ a(b: \"\xff\") }").await.0);
    assert_eq!(status, 400);
    for method in ["GET", "PUT", "DELETE"] {
        let mut scene = scene(format!(
            "{method} /?query=%7Ba%7D HTTP/1.1\r\nHost: a\r\n\r\n"
        ))
        .await;
        assert_eq!(reply(scene.access(&*plugin).await).status, 405);
    }
}

#[test]
fn refused_configurations_say_where() {
    for (config, path, message) in [
        (
            json!({"count": 0, "time_window": 60}),
            "/count",
            "at least 1",
        ),
        (
            json!({"count": 1}),
            "",
            "expected count and time_window, or rules",
        ),
        (
            json!({"count": 1, "time_window": 1, "policy": "redis"}),
            "/redis_host",
            "policy redis needs redis_host",
        ),
        (
            json!({"count": 1, "time_window": 1, "cost_strategy": "complexity"}),
            "/cost_strategy",
            "additional properties forbidden, found cost_strategy",
        ),
    ] {
        let (at, why) = refused(&definition(), config.clone());
        assert_eq!(at, path, "{config}: {why}");
        assert!(why.contains(message), "{config}: {why}");
    }
}

#[tokio::test]
async fn a_document_beside_that_of_the_body_is_refused() {
    let plugin = built(
        &definition(),
        json!({"count": 6, "time_window": 60, "rejected_code": 429}),
    );
    for (query, refused) in [
        ("query=%7Ba%7Bb%7D%7D", true),
        ("%71uery=", true),
        ("q=1", false),
    ] {
        let head = format!(
            "POST /graphql?{query} HTTP/1.1\r\nHost: a\r\n{GRAPHQL}Content-Length: 5\r\n\r\n{{ a }}"
        );
        let flow = scene(head).await.access(&*plugin).await;
        match refused {
            true => assert_eq!(reply(flow).status, 400, "{query}"),
            false => assert!(goes_on(flow), "{query}"),
        }
    }
}
