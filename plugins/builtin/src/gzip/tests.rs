use super::*;
use crate::{
    compression::samples::{accepting, head, pieces, value},
    scenes::{built, get, refused, request},
};
use serde_json::{Value, json};
use std::io::Read;

fn plain(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_string(&mut text)
        .unwrap();
    text
}

/// Whether a response with these headers is compressed for a client that accepts it.
async fn compresses(config: Value, headers: &[(&str, &str)]) -> bool {
    let plugin = built::<Gzip>(config);
    let mut scene = accepting("gzip").await;
    let mut head = head(headers);
    scene.header_filter(&*plugin, &mut head).unwrap();
    value(&head, "content-encoding") == Some("gzip")
}

#[tokio::test]
async fn a_page_is_compressed_for_a_client_that_accepts_it() {
    let plugin = built::<Gzip>(json!({}));
    let mut scene = accepting("gzip, br").await;
    let mut head = head(&[("ETag", "\"a\""), ("Accept-Ranges", "bytes")]);
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert_eq!(value(&head, "content-encoding"), Some("gzip"));
    assert_eq!(value(&head, "content-length"), None);
    assert_eq!(value(&head, "accept-ranges"), None);
    assert_eq!(value(&head, "etag"), Some("W/\"a\""));
    assert_eq!(value(&head, "vary"), None);
    let sent = pieces(&mut scene, &*plugin, &["hello ", "world", ""]).concat();
    assert_eq!(plain(&sent), "hello world");
}

#[tokio::test]
async fn each_piece_of_a_stream_can_be_read_when_it_comes() {
    let plugin = built::<Gzip>(json!({}));
    let mut scene = accepting("gzip").await;
    let mut head = head(&[("Content-Length", "")]);
    scene.header_filter(&*plugin, &mut head).unwrap();
    let sent = pieces(&mut scene, &*plugin, &["event 1\n", "event 2\n", ""]);
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    decoder.write_all(&sent[0]).unwrap();
    decoder.flush().unwrap();
    assert_eq!(decoder.get_ref(), b"event 1\n");
    decoder.write_all(&sent[1]).unwrap();
    decoder.flush().unwrap();
    assert_eq!(decoder.get_ref(), b"event 1\nevent 2\n");
    assert_eq!(plain(&sent.concat()), "event 1\nevent 2\n");
}

#[tokio::test]
async fn type_length_encoding_and_status_decide() {
    for (config, headers, expected) in [
        (json!({}), &[][..], true),
        (json!({}), &[("Content-Type", "TEXT/HTML ; x=y")], true),
        (json!({}), &[("Content-Type", "text/plain")], false),
        (json!({}), &[("Content-Type", "")], false),
        (
            json!({ "types": "*" }),
            &[("Content-Type", "image/png")],
            true,
        ),
        (json!({ "types": "*" }), &[("Content-Type", "")], false),
        (
            json!({ "types": ["text/plain", "a/b"] }),
            &[("Content-Type", "a/b")],
            true,
        ),
        (json!({}), &[("Content-Length", "19")], false),
        (json!({}), &[("Content-Length", "20")], true),
        (json!({ "min_length": 2000 }), &[], false),
        (
            json!({ "min_length": 2000 }),
            &[("Content-Length", "")],
            true,
        ),
        (json!({}), &[("Content-Encoding", "br")], false),
        (json!({}), &[("Content-Encoding", "identity")], false),
        (
            json!({}),
            &[("Cache-Control", "max-age=1, No-Transform")],
            false,
        ),
    ] {
        assert_eq!(
            compresses(config.clone(), headers).await,
            expected,
            "{config} {headers:?}"
        );
    }
    let plugin = built::<Gzip>(json!({ "types": "*" }));
    for (status, expected) in [
        (200, true),
        (403, true),
        (404, true),
        (206, false),
        (500, false),
        (304, false),
    ] {
        let mut scene = accepting("gzip").await;
        let mut head = head(&[]);
        head.set_status(status).unwrap();
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(
            value(&head, "content-encoding").is_some(),
            expected,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_accept_it_gets_the_body_as_it_is() {
    let plugin = built::<Gzip>(json!({ "vary": true }));
    for mut scene in [
        get().await,
        accepting("gzip;q=0").await,
        accepting("br").await,
    ] {
        let mut head = head(&[]);
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(value(&head, "content-encoding"), None);
        assert_eq!(value(&head, "content-length"), Some("1000"));
        // A cache must know that others may get another one.
        assert_eq!(value(&head, "vary"), Some("Accept-Encoding"));
        assert_eq!(pieces(&mut scene, &*plugin, &["abc"]).concat(), b"abc");
    }
}

#[tokio::test]
async fn vary_is_said_once() {
    let plugin = built::<Gzip>(json!({ "vary": true }));
    for (written, lines) in [("Origin", 2), ("Origin, accept-encoding", 1), ("*", 1)] {
        let mut scene = accepting("gzip").await;
        let mut head = head(&[("Vary", written)]);
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(
            head.headers.get_all("vary").iter().count(),
            lines,
            "{written}"
        );
    }
}

#[tokio::test]
async fn old_clients_are_served_when_they_are_meant() {
    let old = "GET / HTTP/1.0\nHost: a.test\nAccept-Encoding: gzip";
    for (config, expected) in [(json!({}), false), (json!({ "http_version": 1.0 }), true)] {
        let plugin = built::<Gzip>(config);
        let mut scene = request(old).await;
        let mut head = head(&[]);
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(value(&head, "content-encoding").is_some(), expected);
    }
    let plugin = built::<Gzip>(json!({}));
    let mut scene = request("HEAD / HTTP/1.1\nHost: a.test\nAccept-Encoding: gzip").await;
    let mut head = head(&[]);
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert_eq!(value(&head, "content-length"), Some("1000"));
}

#[test]
fn what_cannot_be_is_refused() {
    for (config, path) in [
        (json!({ "types": [] }), "/types"),
        (json!({ "types": "text/html" }), "/types"),
        (json!({ "types": [""] }), "/types"),
        (json!({ "min_length": 0 }), "/min_length"),
        (json!({ "comp_level": 10 }), "/comp_level"),
        (json!({ "comp_level": 0 }), "/comp_level"),
        (json!({ "http_version": 2 }), "/http_version"),
        (json!({ "buffers": { "number": 0 } }), "/buffers/number"),
    ] {
        let message = refused::<Gzip>(config.clone());
        assert!(message.contains(path), "{config}: {message}");
    }
}
