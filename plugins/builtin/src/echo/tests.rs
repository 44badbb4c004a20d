use super::Echo;
use crate::testing::*;
use crossway_sdk::{
    definition::{Definition, Instance},
    request::ResponseSource,
    testing::Scene,
};
use pingora_http::ResponseHeader;
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<Echo>()
}

fn head(headers: &[(&'static str, &'static str)]) -> ResponseHeader {
    let mut head = ResponseHeader::build(200, None).unwrap();
    for (name, value) in headers {
        head.append_header(*name, *value).unwrap();
    }
    head
}

/// The body that the client gets of an upstream's pieces.
fn pass(
    scene: &mut Scene,
    plugin: &dyn Instance,
    head: &mut ResponseHeader,
    pieces: &[&str],
) -> String {
    scene.request.response.source = ResponseSource::Upstream;
    scene.header_filter(plugin, head).unwrap();
    let mut body = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut chunk = Some((*piece).to_owned().into()).filter(|_| !piece.is_empty());
        let end = index + 1 == pieces.len();
        plugin
            .body_filter(&mut scene.exchange(), &mut chunk, end)
            .unwrap();
        body.extend(chunk.unwrap_or_default());
    }
    String::from_utf8(body).unwrap()
}

#[tokio::test]
async fn text_comes_around_the_body_or_in_its_place() {
    for (config, pieces, expected) in [
        (json!({"before_body": "<"}), &["a", "b", ""][..], "<ab"),
        (json!({"after_body": ">"}), &["a", "b", ""], "ab>"),
        (
            json!({"before_body": "<", "after_body": ">"}),
            &["ab"],
            "<ab>",
        ),
        (json!({"before_body": "<", "after_body": ">"}), &[""], "<>"),
        (json!({"body": "new"}), &["a", "b", ""], "new"),
        (
            json!({"body": "new", "before_body": "<", "after_body": ">"}),
            &["a", "b"],
            "<new>",
        ),
        (json!({"body": ""}), &["a"], ""),
    ] {
        let plugin = built(&definition(), config.clone());
        let mut scene = scene(get("/", "")).await;
        let mut head = head(&[
            ("Content-Length", "2"),
            ("ETag", "1"),
            ("Last-Modified", "x"),
        ]);
        assert_eq!(
            pass(&mut scene, &*plugin, &mut head, pieces),
            expected,
            "{config}"
        );
        for name in ["content-length", "etag", "last-modified"] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
    }
}

#[tokio::test]
async fn headers_are_set_as_they_are_written() {
    let config =
        json!({"body": "x", "headers": {"X-A": "$uri", "Content-Type": "text/plain", "X-N": 7}});
    let plugin = built(&definition(), config);
    let mut scene = scene(get("/", "")).await;
    let mut head = head(&[("Content-Type", "text/html"), ("x-a", "1"), ("x-a", "2")]);
    pass(&mut scene, &*plugin, &mut head, &["a"]);
    let values = |name| {
        head.headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(values("x-a"), ["$uri"]);
    assert_eq!(values("content-type"), ["text/plain"]);
    assert_eq!(values("x-n"), ["7"]);
}

#[tokio::test]
async fn a_response_without_a_body_gets_none_and_an_encoded_one_is_not_spoiled() {
    let plugin = built(
        &definition(),
        json!({"before_body": "<", "after_body": ">"}),
    );
    let mut gzip = head(&[("Content-Encoding", "gzip"), ("Content-Length", "1")]);
    assert_eq!(
        pass(&mut scene(get("/", "")).await, &*plugin, &mut gzip, &["a"]),
        "a"
    );
    assert!(gzip.headers.contains_key("content-encoding"));
    let mut none = ResponseHeader::build(204, None).unwrap();
    assert_eq!(
        pass(&mut scene(get("/", "")).await, &*plugin, &mut none, &[""]),
        ""
    );
    // Another plugin made a 200 of it.
    let mut ended = scene(get("/", "")).await;
    ended.request.response.status = 304;
    assert_eq!(pass(&mut ended, &*plugin, &mut head(&[]), &[""]), "");
    let mut empty = head(&[("Content-Length", "0")]);
    assert_eq!(
        pass(&mut scene(get("/", "")).await, &*plugin, &mut empty, &[""]),
        "<>"
    );
    let mut only_head = scene("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(pass(&mut only_head, &*plugin, &mut head(&[]), &[""]), "");
    // The new body has no encoding.
    let whole = built(&definition(), json!({"body": "x"}));
    let mut gzip = head(&[("Content-Encoding", "gzip")]);
    assert_eq!(
        pass(&mut scene(get("/", "")).await, &*whole, &mut gzip, &["a"]),
        "x"
    );
    assert!(!gzip.headers.contains_key("content-encoding"));
}

#[test]
fn refused_configurations_say_where() {
    let refused = |config: Value| refused(&definition(), config);
    let words = "expected at least one of before_body, body and after_body";
    assert_eq!(refused(json!({})).1, words);
    assert_eq!(refused(json!({"headers": {"a": "b"}})).1, words);
    assert_eq!(refused(json!({"body": "x", "headers": {}})).0, "/headers");
    assert_eq!(
        refused(json!({"body": "x", "headers": {"a": true}})).0,
        "/headers/a"
    );
    assert_eq!(
        refused(json!({"body": "x", "headers": {"a/b c": "1"}})).0,
        "/headers/a~1b c"
    );
    assert_eq!(
        refused(json!({"body": "x", "headers": {"a": "1\r\n"}})).0,
        "/headers/a"
    );
}
