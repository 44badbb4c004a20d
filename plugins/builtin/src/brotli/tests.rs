use super::*;
use crate::{
    compression::samples::{accepting, head, pieces, value},
    scenes::{built, get, refused},
};
use serde_json::json;
use std::io::Read;

fn plain(bytes: &[u8]) -> String {
    let mut text = String::new();
    ::brotli::Decompressor::new(bytes, 4096)
        .read_to_string(&mut text)
        .unwrap();
    text
}

#[tokio::test]
async fn a_page_is_compressed_for_a_client_that_accepts_it() {
    for config in [
        json!({}),
        json!({ "comp_level": 11, "mode": 1, "lgwin": 0, "lgblock": 16 }),
        json!({ "comp_level": 0, "mode": 2, "lgwin": 24 }),
    ] {
        let plugin = built::<Brotli>(config);
        let mut scene = accepting("gzip, br").await;
        let mut head = head(&[("ETag", "\"a\""), ("Last-Modified", "x")]);
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(value(&head, "content-encoding"), Some("br"));
        for gone in ["content-length", "etag", "last-modified"] {
            assert_eq!(value(&head, gone), None);
        }
        let text = "hello world ".repeat(100);
        let sent = pieces(&mut scene, &*plugin, &[&text, "and all", ""]).concat();
        assert_eq!(plain(&sent), format!("{text}and all"));
        assert!(sent.len() < 200);
    }
}

#[tokio::test]
async fn each_piece_of_a_stream_can_be_read_when_it_comes() {
    let plugin = built::<Brotli>(json!({}));
    let mut scene = accepting("br").await;
    let mut head = head(&[("Content-Length", "")]);
    scene.header_filter(&*plugin, &mut head).unwrap();
    let sent = pieces(&mut scene, &*plugin, &["event 1\n", "event 2\n", ""]);
    let mut decoder = ::brotli::DecompressorWriter::new(Vec::new(), 4096);
    decoder.write_all(&sent[0]).unwrap();
    decoder.flush().unwrap();
    assert_eq!(decoder.get_ref(), b"event 1\n");
    assert_eq!(plain(&sent.concat()), "event 1\nevent 2\n");
}

#[tokio::test]
async fn what_is_encoded_or_not_accepted_passes() {
    let plugin = built::<Brotli>(json!({ "types": "*" }));
    let encoded = &[("Content-Encoding", "gzip")][..];
    for (mut scene, headers) in [
        (get().await, &[][..]),
        (accepting("gzip").await, &[]),
        (accepting("br;q=0").await, &[]),
        (accepting("br").await, encoded),
        (accepting("br").await, &[("Content-Length", "3")]),
    ] {
        let mut head = head(headers);
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_ne!(value(&head, "content-encoding"), Some("br"));
        assert!(value(&head, "content-length").is_some());
        assert_eq!(pieces(&mut scene, &*plugin, &["abc"]).concat(), b"abc");
    }
}

#[tokio::test]
async fn any_status_with_a_body_is_compressed() {
    let plugin = built::<Brotli>(json!({}));
    for (status, expected) in [
        (201, true),
        (500, true),
        (204, false),
        (206, false),
        (304, false),
    ] {
        let mut scene = accepting("br").await;
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

#[test]
fn what_cannot_be_is_refused() {
    for (config, path) in [
        (json!({ "types": [] }), "/types"),
        (json!({ "mode": 3 }), "/mode"),
        (json!({ "comp_level": 12 }), "/comp_level"),
        (json!({ "lgwin": 9 }), "/lgwin"),
        (json!({ "lgblock": 15 }), "/lgblock"),
        (json!({ "http_version": 3 }), "/http_version"),
    ] {
        let message = refused::<Brotli>(config.clone());
        assert!(message.contains(path), "{config}: {message}");
    }
}
