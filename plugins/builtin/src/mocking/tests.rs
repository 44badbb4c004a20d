use super::Mocking;
use crate::testing::*;
use crossway_sdk::{definition::Definition, flow::Reply};
use serde_json::{Value, json};
use std::time::Duration;

fn definition() -> Definition {
    Definition::of::<Mocking>()
}

async fn answer(config: Value, target: &str) -> Reply {
    let plugin = built(&definition(), config);
    reply(scene(get(target, "")).await.access(&*plugin).await)
}

#[tokio::test]
async fn an_example_is_answered_as_it_is() {
    let reply = answer(json!({"response_example": "{\"a\":1}"}), "/").await;
    assert_eq!(reply.status, 200);
    assert_eq!(body(&reply), "{\"a\":1}");
    assert_eq!(
        header(&reply, "content-type"),
        Some("application/json;charset=utf8")
    );
    assert!(
        header(&reply, "x-mock-by")
            .unwrap()
            .starts_with("Crossway/")
    );
}

#[tokio::test]
async fn status_type_and_headers_can_be_chosen() {
    let config = json!({
        "response_example": "<a/>", "response_status": 418, "content_type": "text/xml",
        "with_mock_header": false,
        "response_headers": {"X-A": "one $arg_v", "X-B": 2, "X-C": 1.5},
    });
    let reply = answer(config.clone(), "/?v=two").await;
    assert_eq!(reply.status, 418);
    assert_eq!(header(&reply, "content-type"), Some("text/xml"));
    assert_eq!(header(&reply, "x-mock-by"), None);
    assert_eq!(header(&reply, "x-a"), Some("one two"));
    assert_eq!(header(&reply, "x-b"), Some("2"));
    assert_eq!(header(&reply, "x-c"), Some("1.5"));
    // A line break cannot make further headers.
    let reply = self::answer(config, "/?v=%0d%0aX-Evil:%201").await;
    assert_eq!(header(&reply, "x-a"), None);
    assert_eq!(header(&reply, "x-evil"), None);
}

#[tokio::test]
async fn what_the_request_says_cannot_leave_its_place() {
    let hostile = "/?v=%22%3Cb%3E%26%0a";
    for (kind, expected) in [
        ("application/json", "[\\\"<b>&\\n]"),
        ("text/html; charset=utf-8", "[&quot;&lt;b&gt;&amp;\n]"),
        ("application/xml", "[&quot;&lt;b&gt;&amp;\n]"),
        ("text/plain", "[\"<b>&\n]"),
    ] {
        let config = json!({"response_example": "[$arg_v]", "content_type": kind});
        assert_eq!(body(&answer(config, hostile).await), expected, "{kind}");
    }
}

#[tokio::test]
async fn a_document_is_made_up_for_a_schema() {
    let schema = json!({"type": "object", "properties": {
        "text": {"type": "String"},
        "number": {"type": "number"},
        "integer": {"type": "integer"},
        "truth": {"type": "boolean"},
        "nothing": {"type": "null"},
        "list": {"type": "array", "items": {"properties": {"n": {"type": "integer"}}}},
        "fixed": {"type": "string", "example": "say \"$arg_v\""},
        "half": {"type": "number", "example": 0.5},
        "floor": {"type": "integer", "example": 7.9},
        "never": {"type": "boolean", "example": false},
    }});
    for _ in 0..50 {
        let reply = answer(json!({"response_schema": schema}), "/?v=%22x").await;
        let document: Value = serde_json::from_str(&body(&reply)).unwrap();
        let text = document["text"].as_str().unwrap();
        assert!((1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase()));
        assert!((0.0..10_000.0).contains(&document["number"].as_f64().unwrap()));
        assert!((1..=10_000).contains(&document["integer"].as_u64().unwrap()));
        assert!(document["truth"].is_boolean());
        assert!(document["nothing"].is_null());
        let list = document["list"].as_array().unwrap();
        assert!((1..=3).contains(&list.len()) && list.iter().all(|item| item["n"].is_u64()));
        assert_eq!(document["fixed"], "say \"\"x\"");
        assert_eq!(document["half"], 0.5);
        assert_eq!(document["floor"], 7);
        assert_eq!(document["never"], false);
    }
}

#[tokio::test]
async fn a_document_can_be_xml() {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "string", "example": "<1>"},
        "b": {"type": "object", "properties": {"c": {"type": "integer", "example": 2}}},
    }});
    let config = json!({"response_schema": schema, "content_type": "application/xml"});
    let expected = "<data><a>&lt;1&gt;</a><b><c>2</c></b></data>";
    assert_eq!(body(&answer(config, "/").await), expected);
}

#[tokio::test]
async fn the_example_wins_over_the_schema() {
    let config = json!({"response_example": "x", "response_schema": {"type": "object"}});
    assert_eq!(body(&answer(config, "/").await), "x");
    let empty = json!({"response_schema": {"type": "object"}});
    assert_eq!(body(&answer(empty, "/").await), "{}");
}

#[tokio::test(start_paused = true)]
async fn the_answer_can_be_late() {
    let began = tokio::time::Instant::now();
    assert_eq!(
        answer(json!({"response_example": "x", "delay": 3}), "/")
            .await
            .status,
        200
    );
    assert_eq!(began.elapsed(), Duration::from_secs(3));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected at least one of response_example and response_schema"
    );
    let with = |name: &str, value: Value| {
        let mut config = json!({"response_example": "x"});
        config[name] = value;
        refused(config)
    };
    let (path, message) = with("content_type", json!("image/png"));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("/content_type", "unsupported content type!")
    );
    assert_eq!(
        with("content_type", json!("text/plain;\n")).0,
        "/content_type"
    );
    assert_eq!(with("response_status", json!(101)).0, "/response_status");
    assert_eq!(with("delay", json!(-1)).0, "/delay");
    assert_eq!(with("response_headers", json!({})).0, "/response_headers");
    assert_eq!(
        with("response_headers", json!({"a/b": "x"})).0,
        "/response_headers/a~1b"
    );
    assert_eq!(
        with("response_headers", json!({"a": "x\n"})).0,
        "/response_headers/a"
    );
    assert_eq!(
        with("response_headers", json!({"a": "$nope"})).0,
        "/response_headers/a"
    );
    assert_eq!(
        with("response_example", json!("$nope")).0,
        "/response_example"
    );
    let schema = |schema: Value| refused(json!({"response_schema": schema})).0;
    assert_eq!(schema(json!({})), "/response_schema/type");
    assert_eq!(
        schema(json!({"properties": {"a": {"type": "array"}}})),
        "/response_schema/properties/a/items"
    );
    assert_eq!(
        schema(json!({"properties": {"a": {"type": "file"}}})),
        "/response_schema/properties/a/type"
    );
    assert_eq!(
        schema(json!({"properties": {"a": 1}})),
        "/response_schema/properties/a"
    );
    let mut deep = json!({"type": "null"});
    for _ in 0..40 {
        deep = json!({"items": deep});
    }
    assert!(schema(deep).ends_with("/items"));
    let xml = json!({"properties": {"a b": {"type": "null"}}});
    let config = json!({"response_schema": xml, "content_type": "text/xml"});
    assert_eq!(
        refused(config).1,
        "a b cannot be the name of an XML element"
    );
    let html = json!({"response_schema": {"type": "object"}, "content_type": "text/html"});
    assert_eq!(refused(html).0, "/response_schema");
}

#[tokio::test]
async fn what_it_says_of_a_body_is_read_first() {
    let raw = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 4\r\n\r\na=b\"";
    for config in [
        json!({"response_example": "{\"a\":\"$post_arg_a\"}"}),
        json!({"response_schema": {"properties": {"a": {"type": "string", "example": "$post_arg_a"}}}}),
    ] {
        let plugin = built(&definition(), config.clone());
        let reply = reply(scene(raw).await.access(&*plugin).await);
        assert_eq!(body(&reply), "{\"a\":\"b\\\"\"}", "{config}");
    }
    let config = json!({"response_example": "x", "response_headers": {"X-A": "$post_arg_a"}});
    let reply = reply(
        scene(raw)
            .await
            .access(&*built(&definition(), config))
            .await,
    );
    assert_eq!(header(&reply, "x-a"), Some("b\""));
}

/// Three items in each of thirty lists would be 200 million million.
#[tokio::test]
async fn lists_inside_of_lists_stay_small() {
    let mut schema = json!({"type": "integer", "example": 1});
    for _ in 0..30 {
        schema = json!({"type": "array", "items": schema});
    }
    let reply = answer(json!({"response_schema": schema}), "/").await;
    let ones = body(&reply).matches('1').count();
    assert!((1..=729).contains(&ones), "{ones}");
}
