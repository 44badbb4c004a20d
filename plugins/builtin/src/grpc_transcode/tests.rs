use super::*;
use crate::scenes::request;
use crossway_sdk::testing::{self, Bench, Scene};
use serde_json::json;
use std::sync::Arc;

const PROTO: &str = r#"
    syntax = "proto3";
    package a.b;
    import "google/protobuf/timestamp.proto";
    enum Mood { CALM = 0; GLAD = 1; }
    message Inner { string city = 1; repeated int32 codes = 2; }
    message Ask {
      string name = 1; int32 age = 2; int64 big = 3; bool yes = 4; double rate = 5; Mood mood = 6;
      repeated string tags = 7; Inner inner = 8; map<string, int32> counts = 9; bytes raw = 10;
      optional string maybe = 11; google.protobuf.Timestamp at = 12;
    }
    message Detail { int64 code = 1; string why = 2; }
    service Greeter { rpc Say (Ask) returns (Ask); }
"#;

fn bench(content: &str) -> Bench {
    Bench {
        documents: [("protos/1".to_owned(), json!({ "content": content }))].into(),
        ..Bench::default()
    }
}

fn built_with(mut config: Value) -> Result<Arc<dyn crossway_sdk::definition::Instance>, String> {
    for (name, value) in [
        ("proto_id", json!("1")),
        ("service", json!("a.b.Greeter")),
        ("method", json!("Say")),
    ] {
        if config.get(name).is_none() {
            config[name] = value;
        }
    }
    let definition = Definition::of::<GrpcTranscode>();
    bench(PROTO)
        .build(&definition, config)
        .map_err(|e| e.to_string())
}

fn descriptor() -> MessageDescriptor {
    service::read(PROTO)
        .unwrap()
        .get_message_by_name("a.b.Ask")
        .unwrap()
}

async fn post(content_type: &str, body: &str) -> Scene {
    let head = format!(
        "POST /x?q=1 HTTP/1.1\r\nHost: a\r\ngrpc-timeout: 1S\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Scene::new(head.as_bytes()).await.unwrap()
}

/// The message that the upstream gets, as JSON.
async fn asked(scene: &mut Scene) -> Value {
    let plugin = built_with(json!({ "pb_option": ["no_default_values"] })).unwrap();
    assert!(matches!(scene.access(&*plugin).await.unwrap(), Flow::Next));
    let sent = scene.request.body.clone().unwrap();
    assert_eq!(sent[0], 0);
    assert_eq!(
        u32::from_be_bytes(sent[1..5].try_into().unwrap()) as usize,
        sent.len() - 5
    );
    let message = DynamicMessage::decode(descriptor(), &sent[5..]).unwrap();
    Manner::of(&[config::PbOption::NoDefaultValues]).write(&message)
}

#[tokio::test]
async fn json_a_form_and_arguments_become_a_call() {
    let body = json!({
        "name": "n", "age": 7, "big": "#9007199254740993", "yes": true, "rate": 1.5, "mood": "GLAD",
        "tags": ["a", "b"], "inner": { "city": "c", "codes": [1, "2"] }, "counts": { "x": 1 }, "raw": "r",
        "maybe": "", "unknown": 1,
    });
    let mut scene = post("application/json; charset=utf-8", &body.to_string()).await;
    let got = asked(&mut scene).await;
    assert_eq!(
        got,
        json!({
            "name": "n", "age": 7, "big": 9007199254740993_i64, "yes": true, "rate": 1.5, "mood": "GLAD",
            "tags": ["a", "b"], "inner": { "city": "c", "codes": [1, 2] }, "counts": { "x": 1 }, "raw": "r", "maybe": "",
        })
    );
    assert_eq!(
        scene.request.rewritten.target.as_deref(),
        Some(&b"/a.b.Greeter/Say"[..])
    );
    assert_eq!(scene.request.rewritten.method, Some(Method::POST));
    let head = scene.session.req_header();
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert!(!head.headers.contains_key("grpc-timeout"));

    let mut scene = post(
        "application/x-www-form-urlencoded",
        "name=a+b&age=3&tags=x&tags=y&mood=1&yes=true",
    )
    .await;
    assert_eq!(
        asked(&mut scene).await,
        json!({ "name": "a b", "age": 3, "tags": ["x", "y"], "mood": "GLAD", "yes": true })
    );
    let mut scene = request("GET /x?name=%41&tags=x&age=1&age=2 HTTP/1.1\nHost: a").await;
    assert_eq!(
        asked(&mut scene).await,
        json!({ "name": "A", "tags": ["x"], "age": 1 })
    );
}

#[tokio::test]
async fn what_does_not_fit_is_a_400() {
    let plugin = built_with(json!({ "max_req_body_size": 60 })).unwrap();
    for (body, status) in [
        ("{", 400),
        ("[]", 400),
        (r#"{"age":"x"}"#, 400),
        (r#"{"age":3000000000}"#, 400),
        (r#"{"age":1.5}"#, 400),
        (r#"{"inner":"x"}"#, 400),
        (r#"{"mood":"SAD"}"#, 400),
        (r#"{"counts":[1]}"#, 400),
        (r#"{"yes":"maybe"}"#, 400),
        (&format!("{{\"name\":\"{}\"}}", "x".repeat(60)), 413),
    ] {
        match post("application/json", body)
            .await
            .access(&*plugin)
            .await
            .unwrap()
        {
            Flow::Respond(reply) => assert_eq!(reply.status, status, "{body}"),
            Flow::Next => panic!("{body} went on"),
        }
    }
}

/// Status and body of the client's answer to an upstream's.
async fn answered(config: Value, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let plugin = built_with(config).unwrap();
    let mut scene = request("GET /x HTTP/1.1\nHost: a").await;
    scene.access(&*plugin).await.unwrap();
    scene.request.response.source = ResponseSource::Upstream;
    let mut head = ResponseHeader::build(200, None).unwrap();
    for (name, value) in headers {
        head.insert_header((*name).to_owned(), *value).unwrap();
    }
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(head.headers["content-type"], "application/json");
    let mut out = Vec::new();
    let (first, rest) = body.split_at(body.len().min(3));
    for (piece, end) in [(first, false), (rest, true)] {
        let mut chunk = (!piece.is_empty()).then(|| Bytes::copy_from_slice(piece));
        plugin
            .body_filter(&mut scene.exchange(), &mut chunk, end)
            .unwrap();
        out.extend_from_slice(&chunk.unwrap_or_default());
    }
    (head.status.as_u16(), String::from_utf8(out).unwrap())
}

fn framed(members: Value) -> Vec<u8> {
    let message = message::encode(&descriptor(), members.as_object().unwrap())
        .unwrap()
        .encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

#[tokio::test]
async fn an_answer_becomes_json() {
    let body = framed(json!({ "name": "n", "big": 9007199254740993_i64, "mood": 1 }));
    let (status, text) = answered(json!({}), &[], &body).await;
    assert_eq!(status, 200);
    let got: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        got,
        json!({
            "name": "n", "age": 0, "big": 9007199254740993_i64, "yes": false, "rate": 0.0, "mood": "GLAD",
            "tags": [], "counts": {}, "raw": "",
        })
    );
    let options = json!({ "pb_option": ["no_default_values", "enum_as_value", "int64_as_string"] });
    let (_, text) = answered(options, &[], &body).await;
    assert_eq!(text, r##"{"big":"#9007199254740993","mood":1,"name":"n"}"##);
    let options = json!({ "pb_option": ["no_default_values", "int64_as_hexstring"] });
    let (_, text) = answered(options, &[], &body).await;
    assert!(text.contains(r##""big":"#0x20000000000001""##), "{text}");
}

#[tokio::test]
async fn an_answer_that_is_no_message_says_so() {
    for body in [
        &b"abc"[..],
        b"\x01\0\0\0\0",
        b"\0\0\0\0\x09x",
        b"\0\xff\xff\xff\xffx",
        b"\0\0\0\0\x01\xff",
    ] {
        let (_, text) = answered(json!({}), &[], body).await;
        assert_eq!(
            text, "failed to decode response data by protobuf",
            "{body:?}"
        );
    }
}

#[tokio::test]
async fn a_failed_call_has_the_status_of_http() {
    for (grpc, http) in [
        ("1", 499),
        ("3", 400),
        ("5", 404),
        ("8", 429),
        ("14", 503),
        ("16", 401),
        ("17", 599),
        ("x", 599),
    ] {
        let (status, text) = answered(json!({}), &[("grpc-status", grpc)], b"").await;
        assert_eq!((status, text.as_str()), (http, ""), "{grpc}");
    }
    assert_eq!(
        answered(json!({}), &[("grpc-status", "0")], b"").await.0,
        200
    );
}

#[tokio::test]
async fn the_details_of_a_failed_call_can_be_shown() {
    // code 14, message "Out of service", one detail with code 1 and why "The server".
    let detail = [&b"\x08\x01\x12\x0aThe server"[..]].concat();
    let any = [&b"\x0a\x03t/x\x12"[..], &[detail.len() as u8], &detail].concat();
    let status = [
        &b"\x08\x0e\x12\x0eOut of service\x1a"[..],
        &[any.len() as u8],
        &any,
    ]
    .concat();
    let header = base64::engine::general_purpose::STANDARD_NO_PAD;
    let header = base64::Engine::encode(&header, &status);
    let headers = [
        ("grpc-status", "14"),
        ("grpc-status-details-bin", header.as_str()),
    ];
    let shown = json!({ "show_status_in_body": true, "status_detail_type": "a.b.Detail" });
    let (status, text) = answered(shown, &headers, b"").await;
    assert_eq!(status, 503);
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({ "error": { "code": 14, "message": "Out of service", "details": [{ "code": 1, "why": "The server" }] } })
    );
    let (_, text) = answered(json!({ "show_status_in_body": true }), &headers, b"").await;
    assert!(text.contains("\"type_url\":\"t/x\""), "{text}");
    assert_eq!(answered(json!({}), &headers, b"").await.1, "");
    let broken = [("grpc-status", "14"), ("grpc-status-details-bin", "?")];
    let (_, text) = answered(json!({ "show_status_in_body": true }), &broken, b"").await;
    assert_eq!(text, "grpc-status-details-bin is not base64 format");
}

#[tokio::test]
async fn the_deadline_is_told() {
    let plugin = built_with(json!({ "deadline": 250 })).unwrap();
    let mut scene = request("GET /x HTTP/1.1\nHost: a").await;
    scene.access(&*plugin).await.unwrap();
    assert_eq!(scene.session.req_header().headers["grpc-timeout"], "250m");
    let mut head = scene.session.req_header().clone();
    plugin
        .before_proxy(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(head.headers["te"], "trailers");
}

#[test]
fn a_description_may_be_a_descriptor_set() {
    let pool = service::read(PROTO).unwrap();
    let set = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        pool.encode_to_vec(),
    );
    let read = service::read(&set).unwrap();
    assert!(read.get_service_by_name("a.b.Greeter").is_some());
    assert!(service::read("syntax = \"proto3\"; import \"other.proto\";").is_err());
}

#[test]
fn what_cannot_be_is_refused() {
    for (config, why) in [
        (
            json!({ "proto_id": 2 }),
            "failed to find proto by id: 2 (at /proto_id)",
        ),
        (
            json!({ "service": "a.b.Nobody" }),
            "proto 1 has no service a.b.Nobody (at /service)",
        ),
        (
            json!({ "method": "Nothing" }),
            "the service a.b.Greeter has no method Nothing (at /method)",
        ),
        (
            json!({ "status_detail_type": "x" }),
            "proto 1 has no message x (at /status_detail_type)",
        ),
        (json!({ "pb_option": [] }), "/pb_option"),
        (json!({ "pb_option": ["int64"] }), "/pb_option/0"),
        (json!({ "deadline": -1 }), "/deadline"),
    ] {
        let message = built_with(config.clone()).err().unwrap();
        assert!(message.contains(why), "{config}: {message}");
    }
    let definition = Definition::of::<GrpcTranscode>();
    let config = json!({ "proto_id": "1", "service": "a", "method": "b" });
    let error = bench("not a proto")
        .build(&definition, config)
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("proto 1 cannot be read: "),
        "{error}"
    );
    drop(testing::build(&definition, json!({})));
}
