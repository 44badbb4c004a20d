use super::RequestValidation;
use crate::testing::*;
use crossway_sdk::definition::Definition;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<RequestValidation>()
}

fn post(kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut raw =
        format!("POST / HTTP/1.1\r\nHost: a.example\r\n{kind}Content-Length: {length}\r\n\r\n")
            .into_bytes();
    raw.extend_from_slice(body);
    raw
}

/// `None` when the request passes.
async fn judged(config: Value, raw: Vec<u8>) -> Option<(u16, String)> {
    let plugin = built(&definition(), config);
    let flow = scene(raw).await.rewrite(&*plugin).await;
    match flow.as_ref().unwrap() {
        crossway_sdk::flow::Flow::Next => None,
        crossway_sdk::flow::Flow::Respond(_) => Some(said(flow)),
    }
}

fn person() -> Value {
    json!({"body_schema": {"type": "object", "required": ["name"], "additionalProperties": false,
        "properties": {"name": {"type": "string", "minLength": 2}, "age": {"type": "integer"}}}})
}

#[tokio::test]
async fn bodies_in_json_are_judged() {
    let json = "Content-Type: application/json\r\n";
    for good in [r#"{"name":"jack"}"#, r#" {"age": 7, "name": "jill"} "#] {
        assert_eq!(
            judged(person(), post(json, good.as_bytes())).await,
            None,
            "{good}"
        );
        assert_eq!(judged(person(), post("", good.as_bytes())).await, None);
    }
    for (bad, words) in [
        ("{}", "property \"name\" is required"),
        (
            r#"{"name":1}"#,
            "property \"name\" validation failed: wrong type: expected string, got number",
        ),
        (
            r#"{"name":"jack","x":1}"#,
            "additional properties forbidden, found x",
        ),
    ] {
        let said = judged(person(), post(json, bad.as_bytes())).await;
        assert_eq!(said, Some((400, words.to_owned())), "{bad}");
    }
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let json = "Content-Type: application/json\r\n";
    for bad in [
        &b"{"[..],
        b"{\"name\":\"jack\"} x",
        b"\xef\xbb\xbf{\"name\":\"jack\"}",
        b"{\"name\":\"\xff\xff\"}",
        b"name=jack",
        b"{\"name\":\"jack\",\"age\":1e999}",
    ] {
        let (status, words) = judged(person(), post(json, bad)).await.expect("a refusal");
        assert_eq!(status, 400);
        assert!(
            words.starts_with("failed to decode the request body"),
            "{words}"
        );
    }
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert_eq!(
        judged(person(), post(json, deep.as_bytes()))
            .await
            .unwrap()
            .0,
        400
    );
    // One reader takes the first, another the last.
    let (_, words) = judged(person(), post(json, br#"{"name":"jack","name":1}"#))
        .await
        .unwrap();
    assert!(words.contains("stands there twice"), "{words}");
    let nested = json!({"body_schema": {"type": "object"}});
    assert!(
        judged(nested, post(json, br#"{"a":[{"b":1,"\u0062":2}]}"#))
            .await
            .is_some()
    );
    let two =
        "Content-Type: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    assert!(judged(person(), post(two, b"name=jack")).await.is_some());
}

#[tokio::test]
async fn forms_are_judged() {
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    let schema = json!({"body_schema": {"properties": {
        "name": {"enum": ["a b"]}, "many": {"type": "array", "minItems": 3}, "flag": {"const": true}}}});
    let good = b"name=a%20b&many=1&many=2&many=3&flag";
    assert_eq!(judged(schema.clone(), post(form, good)).await, None);
    assert_eq!(
        judged(schema.clone(), post(form, b"%6eame=a+b")).await,
        None
    );
    let charset = "Content-Type: Application/X-WWW-Form-Urlencoded; charset=utf-8\r\n";
    assert_eq!(judged(schema.clone(), post(charset, good)).await, None);
    for bad in [&b"name=x"[..], b"many=1", b"flag=true", b"name=%ff"] {
        assert!(judged(schema.clone(), post(form, bad)).await.is_some());
    }
}

#[tokio::test]
async fn a_missing_body_is_refused_with_the_page_or_the_message() {
    let (status, body) = judged(person(), get("/", "")).await.unwrap();
    assert_eq!((status, body.as_str()), (400, ""));
    let mut config = person();
    config["rejected_msg"] = json!("send a person");
    config["rejected_code"] = json!(422);
    let said = judged(config.clone(), get("/", "")).await;
    assert_eq!(said, Some((422, "send a person".to_owned())));
    let said = judged(config, post("", b"{}")).await;
    assert_eq!(said, Some((422, "send a person".to_owned())));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let mut config = person();
    config["max_req_body_size"] = json!(20);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(20));
    assert_eq!(
        judged(config.clone(), post("", long.as_bytes()))
            .await
            .unwrap()
            .0,
        413
    );
    assert_eq!(judged(config, post("", br#"{"name":"jack"}"#)).await, None);
}

#[tokio::test]
async fn headers_are_judged_in_any_spelling() {
    let schema = json!({"header_schema": {"type": "object", "required": ["X-Tenant", "host"],
        "properties": {"X-Tenant": {"type": "string", "pattern": "^t[0-9]+$"}, "x-n": {"type": "array"}}}});
    assert_eq!(
        judged(schema.clone(), get("/", "x-tenant: t1\r\n")).await,
        None
    );
    assert_eq!(
        judged(
            schema.clone(),
            get("/", "X-TENANT: t1\r\nX-N: 1\r\nx-n: 2\r\n")
        )
        .await,
        None
    );
    for bad in [
        "",
        "X-Tenant: evil\r\n",
        "X-Tenant: t1\r\nX-Tenant: t2\r\n",
        "X-Tenant: t1\r\nX-N: 1\r\n",
    ] {
        let (status, words) = judged(schema.clone(), get("/", bad)).await.expect(bad);
        assert_eq!(status, 400);
        assert!(
            words.contains("X-Tenant") || words.contains("x-n"),
            "{words}"
        );
    }
}

#[tokio::test]
async fn headers_are_judged_before_the_body() {
    let mut config = person();
    config["header_schema"] = json!({"required": ["x-a"]});
    let (_, words) = judged(config, post("", b"{}")).await.unwrap();
    assert_eq!(words, "property \"x-a\" is required");
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config| refused(&definition(), config);
    assert_eq!(
        refused(json!({})).1,
        "expected at least one of header_schema and body_schema"
    );
    assert_eq!(
        refused(json!({"body_schema": {"type": "strin"}})).0,
        "/body_schema/type"
    );
    assert_eq!(
        refused(json!({"header_schema": {"required": "a"}})).0,
        "/header_schema/required"
    );
    assert_eq!(
        refused(json!({"body_schema": {"$ref": "http://127.0.0.1:1/"}})).0,
        "/body_schema"
    );
    assert_eq!(refused(json!({"body_schema": []})).0, "/body_schema");
    assert_eq!(
        refused(json!({"body_schema": {}, "rejected_code": 600})).0,
        "/rejected_code"
    );
    assert_eq!(
        refused(json!({"body_schema": {}, "max_req_body_size": 0})).0,
        "/max_req_body_size"
    );
}
