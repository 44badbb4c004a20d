//! Responses for the tests of `gzip` and `brotli`.

use crate::scenes;
use bytes::Bytes;
use crossway_sdk::{definition::Instance, pingora_http::ResponseHeader, testing::Scene};

/// A request that accepts `coding`.
pub(crate) async fn accepting(coding: &str) -> Scene {
    scenes::request(&format!(
        "GET / HTTP/1.1\nHost: a.test\nAccept-Encoding: {coding}"
    ))
    .await
}

/// A response of 1000 bytes of HTML, with these headers beside or in place of the usual.
pub(crate) fn head(headers: &[(&str, &str)]) -> ResponseHeader {
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.insert_header("Content-Type", "text/html; charset=utf-8")
        .unwrap();
    head.insert_header("Content-Length", "1000").unwrap();
    for (name, value) in headers {
        match *value {
            "" => drop(head.remove_header(*name)),
            value => head.insert_header((*name).to_owned(), value).unwrap(),
        }
    }
    head
}

/// A header of the response.
pub(crate) fn value<'h>(head: &'h ResponseHeader, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

/// What comes out for each piece.
pub(crate) fn pieces(scene: &mut Scene, plugin: &dyn Instance, pieces: &[&str]) -> Vec<Bytes> {
    let last = pieces.len() - 1;
    let each = pieces.iter().enumerate();
    each.map(|(i, piece)| {
        let mut chunk = (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece.as_bytes()));
        let mut exchange = scene.exchange();
        plugin
            .body_filter(&mut exchange, &mut chunk, i == last)
            .unwrap();
        chunk.unwrap_or_default()
    })
    .collect()
}
