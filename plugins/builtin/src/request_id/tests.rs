use super::RequestId;
use crate::testing::*;
use crossway_sdk::{definition::Definition, pingora_http::ResponseHeader, testing::Scene};
use serde_json::{Value, json};

fn definition() -> Definition {
    Definition::of::<RequestId>()
}

/// The id that the upstream gets, and the one that the client gets.
async fn run(config: Value, lines: impl AsRef<[u8]>) -> (String, Option<String>, Scene) {
    let plugin = built(&definition(), config);
    let mut scene = scene(get("/", lines)).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let id = scene
        .request
        .id
        .clone()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    let mut sent = head.headers.iter();
    let sent = sent.next().map(|(_, v)| v.to_str().unwrap().to_owned());
    (id, sent, scene)
}

#[tokio::test]
async fn upstream_client_and_logs_get_one_id() {
    for algorithm in ["uuid", "nanoid", "range_id", "ksuid", "uuidv7"] {
        let (id, sent, scene) = run(json!({"algorithm": algorithm}), "").await;
        let length = match algorithm {
            "uuid" | "uuidv7" => 36,
            "nanoid" => 21,
            "ksuid" => 27,
            _ => 16,
        };
        assert_eq!(id.len(), length, "{algorithm}: {id}");
        assert_eq!(sent_up(&scene, "x-request-id"), Some(&*id));
        assert_eq!(sent.as_deref(), Some(&*id));
    }
}

#[tokio::test]
async fn a_client_s_own_id_is_kept() {
    let (id, sent, scene) = run(json!({}), "x-request-ID: a/b-1\r\n").await;
    assert_eq!((id.as_str(), sent.as_deref()), ("a/b-1", Some("a/b-1")));
    assert_eq!(sent_up(&scene, "x-request-id"), Some("a/b-1"));
    let most = "x".repeat(256);
    let (id, ..) = run(json!({}), format!("X-Request-Id: {most}\r\n")).await;
    assert_eq!(id, most);
}

#[tokio::test]
async fn an_unfit_id_is_replaced() {
    let long = format!("X-Request-Id: {}\r\n", "x".repeat(257));
    for lines in [
        &b"X-Request-Id: \r\n"[..],
        b"X-Request-Id: a\r\nX-Request-Id: b\r\n",
        b"X-Request-Id: a b\r\n",
        b"X-Request-Id: \xff\r\n",
        long.as_bytes(),
    ] {
        let (id, sent, scene) = run(json!({}), lines).await;
        assert_eq!(id.len(), 36);
        assert_eq!(sent.as_deref(), Some(&*id));
        let values = scene.session.req_header().headers.get_all("x-request-id");
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [&*id]);
    }
}

#[tokio::test]
async fn the_response_can_go_without_and_the_upstream_s_own_is_kept() {
    let (_, sent, _) = run(json!({"include_in_response": false}), "").await;
    assert_eq!(sent, None);

    let plugin = built(&definition(), json!({"header_name": "X-Id"}));
    let mut scene = scene(get("/", "")).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    for (theirs, kept) in [("theirs", true), ("", false)] {
        let mut head = ResponseHeader::build(200, None).unwrap();
        head.insert_header("X-Id", theirs).unwrap();
        scene.header_filter(&*plugin, &mut head).unwrap();
        assert_eq!(head.headers["x-id"] == theirs, kept);
    }
}

#[tokio::test]
async fn a_request_that_never_came_this_far_gets_no_id() {
    let plugin = built(&definition(), json!({}));
    let mut scene = scene(get("/", "X-Request-Id: a\r\n")).await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert!(head.headers.is_empty());
}

#[tokio::test]
async fn length_and_characters_of_a_range_id_can_be_chosen() {
    let config = json!({"algorithm": "range_id", "range_id": {"length": 40, "char_set": "aaabbb"}});
    let (id, ..) = run(config, "").await;
    assert!(
        id.len() == 40 && id.bytes().all(|b| b == b'a' || b == b'b'),
        "{id}"
    );
}

#[test]
fn refused_configurations_say_where() {
    let path = |config| refused(&definition(), config).0;
    assert_eq!(path(json!({"header_name": "a:b"})), "/header_name");
    assert_eq!(path(json!({"algorithm": "snowflake"})), "/algorithm");
    assert_eq!(path(json!({"range_id": {"length": 5}})), "/range_id/length");
    assert_eq!(
        path(json!({"range_id": {"length": 257}})),
        "/range_id/length"
    );
    assert_eq!(
        path(json!({"range_id": {"char_set": "abcde"}})),
        "/range_id/char_set"
    );
    assert_eq!(
        path(json!({"range_id": {"char_set": "abcde\u{e9}"}})),
        "/range_id/char_set"
    );
    assert_eq!(
        path(json!({"range_id": {"char_set": "abc de"}})),
        "/range_id/char_set"
    );
}

#[tokio::test]
async fn the_header_is_spelled_as_configured() {
    let plugin = built(
        &Definition::of::<RequestId>(),
        json!({"header_name": "X-REQUEST-iD"}),
    );
    let mut scene = scene(get("/", "")).await;
    assert!(goes_on(scene.rewrite(&*plugin).await));
    let mut wire = Vec::new();
    scene.session.req_header().header_to_h1_wire(&mut wire);
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    head.header_to_h1_wire(&mut wire);
    let wire = String::from_utf8(wire).unwrap();
    assert_eq!(wire.matches("X-REQUEST-iD: ").count(), 2, "{wire}");
}
