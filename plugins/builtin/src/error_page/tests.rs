use super::ErrorPage;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    request::ResponseSource,
    testing::Bench,
};
use pingora_http::ResponseHeader;
use serde_json::{Value, json};
use std::sync::Arc;

fn definition() -> Definition {
    Definition::of::<ErrorPage>()
}

fn plugin(metadata: Option<Value>) -> Arc<dyn Instance> {
    let bench = Bench {
        metadata,
        ..Bench::default()
    };
    bench.build(&definition(), json!({})).unwrap()
}

/// Content-Type and body of an answer that said `old` in `text/plain`.
async fn answer(plugin: &dyn Instance, source: ResponseSource, status: u16) -> (String, String) {
    let mut scene = scene(get("/%3Cx%3E", "")).await;
    scene.request.normal_path = Some("/<x>".into());
    scene.request.response.source = source;
    let mut head = ResponseHeader::build(status, None).unwrap();
    head.append_header("Content-Type", "text/plain").unwrap();
    scene.header_filter(plugin, &mut head).unwrap();
    let mut chunk = Some("old".into());
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    let body = String::from_utf8(chunk.unwrap_or_default().to_vec()).unwrap();
    if let Some(length) = head.headers.get("content-length") {
        assert_eq!(length, &body.len().to_string());
    }
    let kind = head.headers.get("content-type").unwrap().to_str().unwrap();
    (kind.to_owned(), body)
}

fn own() -> Option<Value> {
    Some(json!({
        "enable": true,
        "error_404": {"body": "{\"path\":\"$uri\"}", "content_type": "application/json"},
        "error_500": {},
        "error_502": {"body": ""},
        "error_429": {"body": "<i>$uri</i>"},
    }))
}

#[tokio::test]
async fn the_gateways_own_errors_get_the_page_of_their_status() {
    let plugin = plugin(own());
    let old = ("text/plain".to_owned(), "old".to_owned());
    for source in [ResponseSource::Gateway, ResponseSource::Proxy] {
        let (kind, body) = answer(&*plugin, source, 404).await;
        assert_eq!(
            (kind.as_str(), body.as_str()),
            ("application/json", "{\"path\":\"/<x>\"}")
        );
        let (kind, body) = answer(&*plugin, source, 500).await;
        assert_eq!(kind, "text/html");
        assert!(
            body.contains("<h1>500 Internal Server Error</h1>"),
            "{body}"
        );
        let (_, body) = answer(&*plugin, source, 429).await;
        assert_eq!(
            body, "<i>/&lt;x&gt;</i>",
            "what a request brings stays text"
        );
        for status in [200, 403, 502, 503] {
            assert_eq!(answer(&*plugin, source, status).await, old, "{status}");
        }
    }
    assert_eq!(answer(&*plugin, ResponseSource::Upstream, 404).await, old);
}

#[tokio::test]
async fn without_metadata_or_switched_off_it_does_nothing() {
    let mut off = own();
    off.as_mut().unwrap()["enable"] = json!(false);
    for metadata in [None, off, Some(json!({"error_404": {"body": "x"}}))] {
        let (_, body) = answer(&*plugin(metadata), ResponseSource::Gateway, 404).await;
        assert_eq!(body, "old");
    }
}

#[test]
fn refused_metadata_says_where() {
    let path = |metadata: Value| definition().check_metadata(&metadata).unwrap_err().path;
    assert_eq!(path(json!({"enable": 1})), "/enable");
    assert_eq!(path(json!({"error_404": {"text": "x"}})), "/error_404/text");
    assert_eq!(path(json!({"error_404": "x"})), "/error_404");
    assert_eq!(path(json!({"error_302": {"body": "x"}})), "/error_302");
    assert_eq!(path(json!({"error_418": {"body": 1}})), "/error_418/body");
    assert!(definition().check_metadata(&own().unwrap()).is_ok());
    let build = |page: Value| {
        let metadata = Some(json!({"enable": true, "error_404": page}));
        let bench = Bench {
            metadata,
            ..Bench::default()
        };
        bench
            .build(&definition(), json!({}))
            .err()
            .expect("refused")
            .message
    };
    assert!(build(json!({"body": "$none"})).contains("/error_404/body"));
    assert!(build(json!({"content_type": "a\r\nb"})).contains("/error_404/content_type"));
    refused(&definition(), json!({"x": 1}));
}
