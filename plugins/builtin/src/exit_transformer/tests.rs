use super::ExitTransformer;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    request::ResponseSource,
};
use pingora_http::ResponseHeader;
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<ExitTransformer>()
}

fn plugin(rules: Value) -> Arc<dyn Instance> {
    built(&definition(), json!({"rules": rules}))
}

struct Got {
    head: ResponseHeader,
    body: String,
}

impl Got {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

async fn answered(plugin: &dyn Instance, source: ResponseSource, status: u16, body: &str) -> Got {
    let mut scene = scene(get("/%3Cx%3E", "")).await;
    scene.request.normal_path = Some("/<x>".into());
    scene.request.response.source = source;
    let mut head = ResponseHeader::build(status, None).unwrap();
    head.append_header("Content-Type", "text/plain").unwrap();
    head.append_header("WWW-Authenticate", "apikey").unwrap();
    scene.header_filter(plugin, &mut head).unwrap();
    let mut chunk = Some(body.to_owned().into());
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    let body = String::from_utf8(chunk.unwrap_or_default().to_vec()).unwrap();
    Got { head, body }
}

async fn own(plugin: &dyn Instance, status: u16, body: &str) -> Got {
    answered(plugin, ResponseSource::Gateway, status, body).await
}

#[tokio::test]
async fn a_status_is_mapped_to_another() {
    let plugin = plugin(
        json!([{"status_in": [401], "status": 403, "remove_headers": ["WWW-Authenticate"]}]),
    );
    let got = own(&*plugin, 401, "{}").await;
    assert_eq!((got.head.status.as_u16(), got.body.as_str()), (403, "{}"));
    assert_eq!(got.header("www-authenticate"), None);
    let other = own(&*plugin, 403, "x").await;
    assert_eq!(
        (other.head.status.as_u16(), other.header("www-authenticate")),
        (403, Some("apikey"))
    );
}

#[tokio::test]
async fn errors_get_one_form() {
    let plugin = plugin(json!([{
        "headers": {"X-Error-Code": "$status", "X-At": "$uri"},
        "body": {"error": true, "status": "$status", "message": "$message", "at": ["$uri", "by $host"], "none": null},
    }]));
    let got = own(
        &*plugin,
        401,
        "{\"message\":\"Missing API key in request\"}\n",
    )
    .await;
    assert_eq!(got.head.status, 401);
    assert_eq!(got.header("x-error-code"), Some("401"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert!(got.body.ends_with("}\n"));
    let said: Value = serde_json::from_str(&got.body).unwrap();
    assert_eq!(
        said,
        json!({"error": true, "status": 401, "message": "Missing API key in request",
               "at": ["/<x>", "by a.example"], "none": null})
    );
    let message = async |status, body| {
        let said: Value = serde_json::from_str(&own(&*plugin, status, body).await.body).unwrap();
        said["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        message(404, "{\"error_msg\":\"404 Route Not Found\"}").await,
        "404 Route Not Found"
    );
    assert_eq!(message(502, "<html>").await, "Bad Gateway");
    assert_eq!(message(599, "").await, "Error");
    assert_eq!(own(&*plugin, 302, "").await.body, "");
}

#[tokio::test]
async fn the_first_rule_that_matches_counts() {
    let plugin = plugin(json!([
        {"status_in": ["500-502"], "vars": [["uri", "==", "/other"]], "body": "never"},
        {"status_in": ["500-502", 404], "vars": [["status", "==", 404]], "body": "at $uri", "content_type": "text/html"},
        {"status_in": ["5xx", "2xx"], "body": "at $uri", "status": 200},
    ]));
    let missing = own(&*plugin, 404, "x").await;
    assert_eq!(
        missing.body, "at /&lt;x&gt;",
        "what a request brings stays text"
    );
    assert_eq!(missing.header("content-type"), Some("text/html"));
    for status in [500, 599, 200, 299] {
        let got = own(&*plugin, status, "x").await;
        assert_eq!(
            (got.body.as_str(), got.head.status.as_u16()),
            ("at /<x>", 200),
            "{status}"
        );
        assert_eq!(
            got.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
    }
    for status in [403, 302] {
        assert_eq!(own(&*plugin, status, "x").await.body, "x", "{status}");
    }
}

#[tokio::test]
async fn what_an_upstream_answers_stays_and_what_the_proxy_answers_does_not() {
    let plugin = plugin(json!([{"body": "new"}]));
    assert_eq!(
        answered(&*plugin, ResponseSource::Upstream, 502, "x")
            .await
            .body,
        "x"
    );
    assert_eq!(
        answered(&*plugin, ResponseSource::Proxy, 502, "x")
            .await
            .body,
        "new"
    );
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config: Value| refused(&definition(), config);
    let (path, message) = refused(
        json!({"functions": ["return (function(code, body, header) return code end)(...)"]}),
    );
    assert_eq!(path, "/functions");
    assert_eq!(
        message,
        "it is Lua source, which Crossway does not run; write declarative `rules` in its place"
    );
    assert_eq!(refused(json!({})).1, "property \"rules\" is required");
    assert_eq!(refused(json!({"rules": []})).0, "/rules");
    let rule = |rule: Value| refused(json!({"rules": [rule]})).0;
    assert_eq!(rule(json!({})), "/rules/0");
    assert_eq!(rule(json!({"status_in": [401]})), "/rules/0");
    assert_eq!(
        rule(json!({"status_in": ["504-500"], "status": 500})),
        "/rules/0/status_in/0"
    );
    assert_eq!(
        rule(json!({"status_in": ["abc"], "status": 500})),
        "/rules/0/status_in/0"
    );
    assert_eq!(
        rule(json!({"status_in": [100], "status": 500})),
        "/rules/0/status_in/0"
    );
    assert_eq!(rule(json!({"status": 600})), "/rules/0/status");
    assert_eq!(
        rule(json!({"vars": [["none", "==", 1]], "status": 500})),
        "/rules/0/vars"
    );
    assert_eq!(
        rule(json!({"headers": {"a b": "1"}})),
        "/rules/0/headers/a b"
    );
    assert_eq!(
        rule(json!({"remove_headers": ["a", "b c"]})),
        "/rules/0/remove_headers/1"
    );
    assert_eq!(rule(json!({"body": {"a": ["$none"]}})), "/rules/0/body");
    assert_eq!(
        rule(json!({"body": "x", "content_type": "a\r\nb"})),
        "/rules/0/content_type"
    );
    assert_eq!(
        rule(json!({"status": 500, "content_type": "a/b"})),
        "/rules/0/content_type"
    );
}
