#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, get, refused, request};
use crossway_sdk::{definition::Instance, testing::Scene};
use serde_json::json;
use std::{io::Write, sync::Arc};

fn head(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
    let mut head = ResponseHeader::build(status, None).unwrap();
    for (name, value) in headers {
        head.append_header(*name, *value).unwrap();
    }
    head
}

fn values<'h>(head: &'h ResponseHeader, name: &str) -> Vec<&'h str> {
    head.headers
        .get_all(name)
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect()
}

/// Sends a response in pieces through the plugin; what the client gets of the body.
fn pass(
    scene: &mut Scene,
    plugin: &Arc<dyn Instance>,
    head: &mut ResponseHeader,
    pieces: &[&[u8]],
) -> Result<Vec<u8>, Error> {
    scene.header_filter(&**plugin, head)?;
    let mut got = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        let mut chunk = Some(Bytes::copy_from_slice(piece));
        plugin.body_filter(&mut scene.exchange(), &mut chunk, index + 1 == pieces.len())?;
        got.extend_from_slice(&chunk.unwrap_or_default());
    }
    Ok(got)
}

async fn passed(config: Value, head: &mut ResponseHeader, pieces: &[&[u8]]) -> String {
    let plugin = built::<ResponseRewrite>(config);
    String::from_utf8(pass(&mut get().await, &plugin, head, pieces).unwrap()).unwrap()
}

const OF_THE_OLD_BODY: [(&str, &str); 4] = [
    ("Content-Length", "5"),
    ("ETag", "\"x\""),
    ("Last-Modified", "Thu, 01 Jan 1970 00:00:00 GMT"),
    ("Content-Encoding", "gzip"),
];

#[tokio::test]
async fn another_status_leaves_the_rest_alone() {
    let mut head = head(200, &OF_THE_OLD_BODY);
    assert_eq!(
        passed(json!({"status_code": 418}), &mut head, &[b"he", b"llo"]).await,
        "hello"
    );
    assert_eq!(head.status, 418);
    assert_eq!(values(&head, "content-length"), ["5"]);
    assert_eq!(values(&head, "content-encoding"), ["gzip"]);
}

#[tokio::test]
async fn another_body_comes_once_and_with_its_own_length() {
    for (config, expected) in [
        (json!({"body": "new body"}), "new body"),
        (json!({"body": "aGVsbG8h", "body_base64": true}), "hello!"),
        (json!({"body": ""}), ""),
    ] {
        let mut head = head(200, &OF_THE_OLD_BODY);
        head.insert_header("Transfer-Encoding", "chunked").unwrap();
        assert_eq!(
            passed(config, &mut head, &[b"a", b"b", b""]).await,
            expected
        );
        assert_eq!(
            values(&head, "content-length"),
            [expected.len().to_string()]
        );
        for gone in [
            "etag",
            "last-modified",
            "content-encoding",
            "transfer-encoding",
        ] {
            assert!(values(&head, gone).is_empty(), "{gone}");
        }
    }
}

#[tokio::test]
async fn a_response_without_a_body_gets_none() {
    let plugin = built::<ResponseRewrite>(json!({"body": "new"}));
    let mut scene = request("HEAD / HTTP/1.1\nHost: a").await;
    let mut to_head = head(200, &[("Content-Length", "5")]);
    assert_eq!(
        pass(&mut scene, &plugin, &mut to_head, &[b""]).unwrap(),
        b""
    );
    assert_eq!(values(&to_head, "content-length"), ["3"]);
    let mut no_content = head(204, &[]);
    assert_eq!(
        pass(&mut get().await, &plugin, &mut no_content, &[b""]).unwrap(),
        b""
    );
    assert!(values(&no_content, "content-length").is_empty());
}

#[tokio::test]
async fn an_empty_response_gets_the_new_body() {
    let plugin = built::<ResponseRewrite>(json!({"body": "new"}));
    let mut scene = get().await;
    scene.request.response.source = ResponseSource::Upstream;
    let mut empty = head(500, &[("Content-Length", "0")]);
    assert_eq!(
        pass(&mut scene, &plugin, &mut empty, &[b""]).unwrap(),
        b"new"
    );
    assert_eq!(values(&empty, "content-length"), ["3"]);
}

#[tokio::test]
async fn a_status_with_another_rule_for_bodies_is_kept_consistent() {
    let mut no_content = head(200, &[("Content-Length", "5")]);
    assert_eq!(
        passed(
            json!({"status_code": 204}),
            &mut no_content,
            &[b"he", b"llo"]
        )
        .await,
        ""
    );
    assert!(values(&no_content, "content-length").is_empty());
    // A 304 tells the length of what it does not send.
    let plugin = built::<ResponseRewrite>(json!({"status_code": 200}));
    let mut scene = get().await;
    scene.request.response.source = ResponseSource::Upstream;
    let mut not_modified = head(304, &[("Content-Length", "1234")]);
    scene.header_filter(&*plugin, &mut not_modified).unwrap();
    assert_eq!(
        (
            not_modified.status.as_u16(),
            values(&not_modified, "content-length")
        ),
        (200, vec!["0"])
    );
    let plugin =
        built::<ResponseRewrite>(json!({"status_code": 200, "body": "x", "headers": {"X-A": "b"}}));
    let mut upgrade = head(101, &[]);
    assert_eq!(
        pass(&mut get().await, &plugin, &mut upgrade, &[b"frame"]).unwrap(),
        b"frame"
    );
    assert_eq!(
        (upgrade.status.as_u16(), values(&upgrade, "x-a")),
        (101, vec!["b"])
    );
}

#[tokio::test]
async fn headers_are_added_then_set_then_removed() {
    let mut head = head(
        200,
        &[
            ("X-A", "old"),
            ("X-B", "old"),
            ("X-Gone", "1"),
            ("X-Empty", "e"),
        ],
    );
    let config = json!({"headers": {
        "add": ["X-A: new: $remote_addr", "Set-Cookie: a=b; Max-Age=1", "X-Gone: 2"],
        "set": {"X-B": "$status/$sent_http_x_a", "X-N": 7, "X-Empty": ""},
        "remove": ["X-Gone", "X-Never"],
    }});
    passed(config, &mut head, &[]).await;
    assert_eq!(values(&head, "x-a"), ["old", "new: 192.0.2.1"]);
    assert_eq!(values(&head, "set-cookie"), ["a=b; Max-Age=1"]);
    assert_eq!(values(&head, "x-b"), ["200/old"]);
    assert_eq!(values(&head, "x-n"), ["7"]);
    assert!(values(&head, "x-gone").is_empty() && values(&head, "x-empty").is_empty());
    let mut flat = self::head(200, &[("Server", "x")]);
    passed(
        json!({"headers": {"Server": "", "X-A": "b"}}),
        &mut flat,
        &[],
    )
    .await;
    assert!(values(&flat, "server").is_empty());
    assert_eq!(values(&flat, "x-a"), ["b"]);
}

#[tokio::test]
async fn no_value_begins_another_header() {
    let plugin = built::<ResponseRewrite>(json!({"headers": {"X-A": "$arg_a"}}));
    let mut scene = request("GET /?a=1%0d%0aSet-Cookie:b HTTP/1.1\nHost: a").await;
    let mut head = head(200, &[]);
    pass(&mut scene, &plugin, &mut head, &[]).unwrap();
    assert_eq!(values(&head, "x-a"), ["1%0D%0ASet-Cookie:b"]);
}

#[tokio::test]
async fn the_condition_sees_the_response() {
    let config = json!({"status_code": 200, "body": "fine", "headers": {"X-R": "1"},
        "vars": [["status", "==", 500], ["sent_http_x_kind", "==", "error"]]});
    let mut other = head(500, &[("X-Kind", "page"), ("Content-Length", "3")]);
    assert_eq!(passed(config.clone(), &mut other, &[b"bad"]).await, "bad");
    assert_eq!(
        (other.status.as_u16(), values(&other, "content-length")),
        (500, vec!["3"])
    );
    let mut hit = head(500, &[("X-Kind", "error"), ("Content-Length", "3")]);
    assert_eq!(passed(config.clone(), &mut hit, &[b"bad"]).await, "fine");
    assert_eq!((hit.status.as_u16(), values(&hit, "x-r")), (200, vec!["1"]));
    // A second response to the same request, e.g. an error page, is judged anew.
    let plugin = built::<ResponseRewrite>(config);
    let mut scene = get().await;
    scene
        .header_filter(&*plugin, &mut head(500, &[("X-Kind", "error")]))
        .unwrap();
    let mut page = head(502, &[]);
    assert_eq!(
        pass(&mut scene, &plugin, &mut page, &[b"page"]).unwrap(),
        b"page"
    );
}

#[tokio::test]
async fn filters_work_on_the_whole_body() {
    for (filters, expected) in [
        (
            json!([{"regex": "hello", "replace": "bye"}]),
            "bye\nHello hello",
        ),
        (
            json!([{"regex": "hello", "replace": "bye", "scope": "global"}]),
            "bye\nHello bye",
        ),
        (
            json!([{"regex": "hello", "replace": "<$0>", "scope": "global", "options": "ijo"}]),
            "<hello>\n<Hello> <hello>",
        ),
        (
            json!([{"regex": "o.H", "replace": "_", "options": "s"}]),
            "hell_ello hello",
        ),
        (
            json!([{"regex": "^H", "replace": "_", "options": "m"}]),
            "hello\n_ello hello",
        ),
        (
            json!([{"regex": "h e l # l\n", "replace": "_", "options": "x"}]),
            "_lo\nHello hello",
        ),
        (
            json!([{"regex": "(l+)(o)", "replace": "$2$1$$"}, {"regex": "oll", "replace": "-"}]),
            "he-$\nHello hello",
        ),
        (
            json!([{"regex": "nowhere", "replace": ""}]),
            "hello\nHello hello",
        ),
    ] {
        let mut head = head(200, &[("Content-Length", "17"), ("ETag", "x")]);
        // The match lies across pieces.
        let got = passed(
            json!({"filters": filters}),
            &mut head,
            &[b"hel", b"lo\nHel", b"lo hello"],
        )
        .await;
        assert_eq!(got, expected, "{filters}");
        assert!(values(&head, "content-length").is_empty() && values(&head, "etag").is_empty());
    }
}

#[tokio::test]
async fn compressed_bodies_are_decoded_and_unknown_ones_left_alone() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"hello world").unwrap();
    let gzip = gzip.finish().unwrap();
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4096, 5, 20)
        .write_all(b"hello world")
        .unwrap();
    let config = json!({"filters": [{"regex": "hello", "replace": "bye"}]});
    for (encoding, body) in [("gzip", &gzip), ("br", &br), ("GZIP", &gzip)] {
        let mut head = head(200, &[("Content-Encoding", encoding)]);
        let (first, rest) = body.split_at(4);
        assert_eq!(
            passed(config.clone(), &mut head, &[first, rest]).await,
            "bye world"
        );
        assert!(values(&head, "content-encoding").is_empty());
    }
    let mut head = head(
        200,
        &[("Content-Encoding", "deflate"), ("Content-Length", "5")],
    );
    assert_eq!(passed(config, &mut head, &[b"hello"]).await, "hello");
    assert_eq!(values(&head, "content-encoding"), ["deflate"]);
    assert_eq!(values(&head, "content-length"), ["5"]);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_broken_ends_as_incomplete() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 1_000_000]).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 2000);
    let hard = [b"a".repeat(60), b"!".to_vec()].concat();
    let cases: [(&str, &str, &[u8]); 4] = [
        ("hello", "identity", &[b'x'; 2001]),
        ("hello", "gzip", &bomb),
        ("hello", "gzip", b"not gzip at all"),
        ("^(?:(?=a)a|a)+$", "identity", &hard),
    ];
    for (regex, encoding, body) in cases {
        let plugin = built::<ResponseRewrite>(
            json!({"max_resp_body_size": 2000, "filters": [{"regex": regex, "replace": "x"}]}),
        );
        let mut head = head(200, &[("Content-Encoding", encoding)]);
        assert!(
            pass(&mut get().await, &plugin, &mut head, &[body, b""]).is_err(),
            "{encoding}"
        );
    }
    let plugin = built::<ResponseRewrite>(
        json!({"max_resp_body_size": 2000, "filters": [{"regex": "x", "replace": "y"}]}),
    );
    let whole = pass(
        &mut get().await,
        &plugin,
        &mut head(200, &[]),
        &[&[b'x'; 1000], &[b'x'; 1000]],
    )
    .unwrap();
    assert_eq!(whole.len(), 2000);
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (
            json!({"status_code": 199}),
            "expected 199 to be at least 200",
        ),
        (
            json!({"status_code": 599}),
            "expected 599 to be at most 598",
        ),
        (
            json!({"body": "a", "filters": [{"regex": "a", "replace": "b"}]}),
            "body and filters cannot be used together (at /filters)",
        ),
        (
            json!({"body": "a-", "body_base64": true}),
            "invalid base64 content (at /body)",
        ),
        (
            json!({"body_base64": true}),
            "invalid base64 content (at /body)",
        ),
        (
            json!({"vars": [["nothing", "==", 1]]}),
            "failed to validate the 'vars' expression: ",
        ),
        (
            json!({"filters": []}),
            "expect array to have at least 1 items",
        ),
        (
            json!({"filters": [{"regex": "a"}]}),
            "property \"replace\" is required",
        ),
        (
            json!({"filters": [{"regex": "(", "replace": ""}]}),
            "regex \"(\" validation failed: ",
        ),
        (
            json!({"filters": [{"regex": "a", "replace": "$uri"}]}),
            "$uri is no group",
        ),
        (
            json!({"filters": [{"regex": "a", "replace": "", "options": "ja"}]}),
            "unknown option 'a'",
        ),
        (
            json!({"filters": [{"regex": "a", "replace": "", "scope": "twice"}]}),
            "(at /filters/0/scope)",
        ),
        (json!({"headers": {}}), "(at /headers)"),
        (
            json!({"headers": {"add": ["nothing"]}}),
            "expected \"name: value\" (at /headers/add/0)",
        ),
        (
            json!({"headers": {"add": ["a b: c"]}}),
            "invalid field character",
        ),
        (
            json!({"headers": {"set": {"X": "$nothing"}}}),
            "unknown variable `nothing` in the template (at /headers/set/X)",
        ),
        (
            json!({"headers": {"X": "a\nb"}}),
            "invalid value character in header (at /headers/X)",
        ),
        (
            json!({"max_resp_body_size": 0}),
            "expected 0 to be at least 1",
        ),
        (json!({"bodies": "x"}), "bodies"),
    ] {
        let said = refused::<ResponseRewrite>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}
