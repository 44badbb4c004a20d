use super::DataMask;
use crate::testing::*;
use crossway_sdk::{
    definition::Definition,
    expr::{Lookup, Variable},
    testing::Scene,
};
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<DataMask>()
}

const CARD: &str = "(\\d+)\\-\\d+\\-\\d+\\-(\\d+)";

/// What a variable says after the plugin's log phase.
fn said(scene: &mut Scene, variable: &str) -> Option<String> {
    let exchange = scene.exchange();
    let variable = Variable::parse(variable).unwrap();
    let mut text = Vec::new();
    exchange.lookup(&variable)?.write_to(&mut text);
    Some(String::from_utf8(text).unwrap())
}

/// A request after its end.
async fn logged(config: Value, raw: impl AsRef<[u8]>, body: &[&str]) -> Scene {
    let plugin = built(&definition(), config);
    let mut scene = scene(raw).await;
    if !body.is_empty() {
        scene.request.body = None;
    }
    for (index, piece) in body.iter().enumerate() {
        let mut chunk = Some((*piece).to_owned().into());
        let end = index + 1 == body.len();
        plugin
            .request_body(&mut scene.exchange(), &mut chunk, end)
            .unwrap();
        assert_eq!(chunk.unwrap(), *piece, "the upstream gets it as it came");
    }
    plugin.log(&mut scene.exchange());
    scene
}

fn post(kind: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
}

#[tokio::test]
async fn arguments_are_hidden_in_every_spelling() {
    let config = json!({"request": [
        {"type": "query", "name": "password", "action": "remove"},
        {"type": "query", "name": "token", "action": "replace", "value": "*****"},
        {"type": "query", "name": "card", "action": "regex", "regex": CARD, "value": "$1-****-****-$2"},
    ]});
    let uri = async |target: &str| {
        let mut scene = logged(config.clone(), get(target, ""), &[]).await;
        let uri = said(&mut scene, "request_uri").unwrap();
        assert_eq!(said(&mut scene, "real_request_uri").unwrap(), uri);
        let line = said(&mut scene, "request").unwrap();
        assert_eq!(line, format!("GET {uri} HTTP/1.1"));
        uri
    };
    assert_eq!(
        uri("/a?password=secret&token=mytoken&card=1234-5678-9012-3456&x=%41").await,
        "/a?token=*****&card=1234-****-****-3456&x=%41"
    );
    assert_eq!(
        uri("/a?p%61ssword=secret&password=two&password").await,
        "/a"
    );
    assert_eq!(
        uri("/a?token=a&token=b&%74oken").await,
        "/a?token=*****&token=*****&%74oken=*****"
    );
    assert_eq!(uri("/a?card=none").await, "/a?card=none");
    assert_eq!(uri("/a?x=%zz&&y").await, "/a?x=%zz&&y");
    assert_eq!(uri("/a").await, "/a");
}

#[tokio::test]
async fn the_rewritten_target_is_hidden_too() {
    let plugin = built(
        &definition(),
        json!({"request": [{"type": "query", "name": "t", "action": "replace", "value": "a&b#"}]}),
    );
    let mut scene = scene(get("/a?t=1", "")).await;
    scene.request.rewritten.target = Some("/b?x=1&t=1".into());
    plugin.log(&mut scene.exchange());
    assert_eq!(target(&scene), "/b?x=1&t=a%26b%23");
}

#[tokio::test]
async fn headers_are_hidden() {
    let config = json!({"request": [
        {"type": "header", "name": "Authorization", "action": "remove"},
        {"type": "header", "name": "X-Key", "action": "replace", "value": "[redacted]"},
        {"type": "header", "name": "x-card", "action": "regex", "regex": CARD, "value": "$1-****-****-$2"},
        {"type": "header", "name": "X-Hard", "action": "regex", "regex": "^(?:(?=a)a|a)+$", "value": "x"},
    ]});
    let hard = "a".repeat(60);
    let lines = format!(
        "authorization: Bearer s\r\nX-KEY: k1\r\nx-key: k2\r\nX-Card: 1234-5678-9012-3456\r\nX-Hard: {hard}!\r\n"
    );
    let scene = logged(config, get("/", lines), &[]).await;
    let values = |name: &str| -> Vec<String> {
        let held = scene.session.req_header().headers.get_all(name).iter();
        held.map(|v| v.to_str().unwrap().to_owned()).collect()
    };
    assert!(values("authorization").is_empty());
    assert_eq!(values("x-key"), ["[redacted]", "[redacted]"]);
    assert_eq!(values("x-card"), ["1234-****-****-3456"]);
    assert!(
        values("x-hard").is_empty(),
        "a search that gives up shows nothing"
    );
}

fn json_rules() -> Value {
    json!({"max_body_size": 400, "request": [
        {"type": "body", "body_format": "json", "name": "$.password", "action": "remove"},
        {"type": "body", "body_format": "json", "name": "$.users[*].token", "action": "replace", "value": "*"},
        {"type": "body", "body_format": "json", "name": "$..card", "action": "regex", "regex": CARD, "value": "$1-*-$2"},
    ]})
}

#[tokio::test]
async fn bodies_in_json_are_hidden() {
    let body = r#"{"password":"p","users":[{"token":"a","credit":{"card":"1-2-3-4"}},{"token":{"b":1}}],"n":1}"#;
    let (first, rest) = body.split_at(20);
    let scene = logged(json_rules(), post("application/json"), &[first, rest]).await;
    let masked = scene.request.masked_body.as_ref().unwrap();
    let document: Value = serde_json::from_slice(masked).unwrap();
    assert_eq!(
        document,
        json!({"users": [{"token": "*", "credit": {"card": "1-*-4"}}, {"token": "*"}], "n": 1})
    );
    let mut scene = scene;
    assert!(
        !said(&mut scene, "request_body")
            .unwrap()
            .contains("password")
    );
    let plain = logged(json_rules(), post("application/json"), &["{\"n\":1}"]).await;
    assert_eq!(plain.request.masked_body, None, "nothing was hidden");
}

#[tokio::test]
async fn a_body_that_was_read_before_is_hidden_too() {
    let plugin = built(&definition(), json_rules());
    let mut scene = scene(post("application/json")).await;
    scene.request.body = Some("{\"password\":1,\"a\":2}".into());
    assert_eq!(scene.request.json_body().unwrap()["password"], 1);
    plugin.log(&mut scene.exchange());
    assert_eq!(
        scene.request.masked_body.as_deref(),
        Some(&b"{\"a\":2}"[..])
    );
    assert_eq!(scene.request.json_body().unwrap(), &json!({"a": 2}));
}

#[tokio::test]
async fn forms_are_hidden() {
    let config = |most: usize| {
        json!({"max_req_post_args": most, "request": [
            {"type": "body", "body_format": "urlencoded", "name": "p", "action": "remove"},
            {"type": "body", "body_format": "urlencoded", "name": "t", "action": "replace", "value": "a b"},
        ]})
    };
    let kind = post("application/x-www-form-urlencoded");
    let masked = async |config: Value, body: &str| {
        let scene = logged(config, &kind, &[body]).await;
        scene
            .request
            .masked_body
            .map(|b| String::from_utf8(b.to_vec()).unwrap())
    };
    assert_eq!(
        masked(config(9), "x=1&p=2&%74=3").await.as_deref(),
        Some("x=1&%74=a%20b")
    );
    assert_eq!(masked(config(9), "x=1").await, None);
    assert_eq!(
        masked(config(2), "x=1&y=2&p=3").await.as_deref(),
        Some("x=1&y=2")
    );
    assert_eq!(masked(config(0), &"x=1&".repeat(200)).await, None);
}

#[tokio::test]
async fn what_cannot_be_masked_is_not_logged() {
    let empty = Some(bytes::Bytes::new());
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(500));
    for (kind, body) in [
        ("application/json", large.as_str()),
        ("application/json", "{\"password\":"),
        ("application/x-www-form-urlencoded", "password=1"),
        ("multipart/form-data; boundary=b", "--b\r\n"),
    ] {
        let scene = logged(json_rules(), post(kind), &[body]).await;
        assert_eq!(scene.request.masked_body, empty, "{kind}");
    }
    // Without a rule for bodies nothing is collected.
    let query = json!({"request": [{"type": "query", "name": "a", "action": "remove"}]});
    let scene = logged(query, post("application/json"), &["{}"]).await;
    assert_eq!(scene.request.masked_body, None);
}

#[test]
fn refused_configurations_say_where() {
    let refused = |rule: Value| refused(&definition(), json!({"request": [rule]}));
    assert_eq!(
        refused(json!({"type": "body", "name": "$.a", "action": "remove"})),
        (
            "/request/0".to_owned(),
            "property \"body_format\" is required".to_owned()
        )
    );
    let words = |rule: Value| refused(rule).1;
    let query = |action: &str| json!({"type": "query", "name": "a", "action": action});
    assert_eq!(words(query("replace")), "property \"value\" is required");
    assert_eq!(words(query("regex")), "property \"regex\" is required");
    let mut rule = query("regex");
    rule["regex"] = json!("a(");
    assert_eq!(words(rule.clone()), "property \"value\" is required");
    rule["value"] = json!("x");
    assert_eq!(refused(rule.clone()).0, "/request/0/regex");
    rule["regex"] = json!("a");
    rule["value"] = json!("$uri");
    assert_eq!(refused(rule).0, "/request/0/value");
    let json =
        json!({"type": "body", "body_format": "json", "name": "$[?(@.a)]", "action": "remove"});
    assert_eq!(refused(json).0, "/request/0/name");
    let header = json!({"type": "header", "name": "a b", "action": "remove"});
    assert_eq!(refused(header).0, "/request/0/name");
    assert_eq!(
        refused(json!({"type": "cookie", "name": "a", "action": "remove"})).0,
        "/request/0/type"
    );
}
