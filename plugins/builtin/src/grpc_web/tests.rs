use super::*;
use crate::scenes::{built, refused, request};
use crossway_sdk::testing::Scene;
use serde_json::json;

async fn call(media_type: &str, body: &[u8]) -> Scene {
    let head = format!(
        "POST /grpc/a.B/C?x=1 HTTP/1.1\r\nHost: a\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut scene = Scene::new(&[head.as_bytes(), body].concat()).await.unwrap();
    scene.request.path_params = vec![(":ext".into(), "a.B/C".into())];
    scene
}

fn answer(scene: &mut Scene, headers: &[(&str, &str)]) -> ResponseHeader {
    scene.request.response.source = ResponseSource::Upstream;
    let mut head = ResponseHeader::build(200, None).unwrap();
    for (name, value) in headers {
        head.insert_header((*name).to_owned(), *value).unwrap();
    }
    head
}

fn value<'h>(head: &'h ResponseHeader, name: &str) -> Option<&'h str> {
    head.headers.get(name)?.to_str().ok()
}

const GRPC: (&str, &str) = ("content-type", "application/grpc");

#[tokio::test]
async fn a_binary_call_goes_on_as_grpc_and_its_trailers_come_in_the_body() {
    let plugin = built::<GrpcWeb>(json!({}));
    let mut scene = call("application/grpc-web+proto", b"\0\0\0\0\x01x").await;
    assert!(matches!(scene.access(&*plugin).await.unwrap(), Flow::Next));
    assert_eq!(
        scene.request.rewritten.target.as_deref(),
        Some(&b"/a.B/C?x=1"[..])
    );
    assert_eq!(scene.request.body.as_deref(), Some(&b"\0\0\0\0\x01x"[..]));
    let sent = &scene.session.req_header().headers;
    assert_eq!(sent["content-type"], "application/grpc");
    let mut to_node = scene.session.req_header().clone();
    plugin
        .before_proxy(&mut scene.exchange(), &mut to_node)
        .unwrap();
    assert_eq!(to_node.headers["te"], "trailers");

    let mut head = answer(&mut scene, &[GRPC, ("content-length", "7")]);
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(
        value(&head, "content-type"),
        Some("application/grpc-web+proto")
    );
    assert_eq!(value(&head, "content-length"), None);
    assert_eq!(value(&head, "access-control-allow-origin"), Some("*"));
    assert_eq!(
        value(&head, "access-control-expose-headers"),
        Some("grpc-message,grpc-status")
    );

    let mut chunk = Some(Bytes::from("frame"));
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, false)
        .unwrap();
    assert_eq!(chunk.as_deref(), Some(&b"frame"[..]));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("5"));
    trailers.insert("grpc-message", HeaderValue::from_static("gone"));
    scene.request.response_trailers = Some(trailers);
    let mut chunk = None;
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    let fields = b"grpc-status:5\r\ngrpc-message:gone\r\n";
    assert_eq!(chunk.unwrap(), [&b"\x80\0\0\0\x22"[..], fields].concat());
}

#[tokio::test]
async fn a_call_as_text_is_decoded_and_its_answer_encoded() {
    let plugin = built::<GrpcWeb>(json!({}));
    let mut scene = call("application/grpc-web-text", b"AAAAAAF4").await;
    assert!(matches!(scene.access(&*plugin).await.unwrap(), Flow::Next));
    assert_eq!(scene.request.body.as_deref(), Some(&b"\0\0\0\0\x01x"[..]));
    let mut head = answer(&mut scene, &[GRPC]);
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(
        value(&head, "content-type"),
        Some("application/grpc-web-text")
    );
    let mut chunk = Some(Bytes::from("frame"));
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    let sent = text::decode(&chunk.unwrap()).unwrap();
    let missing =
        b"frame\x80\0\0\0\x3fgrpc-status:2\r\ngrpc-message:upstream grpc status not received\r\n";
    assert_eq!(sent, missing);
}

#[tokio::test]
async fn an_answer_of_trailers_only_keeps_them_in_its_head() {
    let plugin = built::<GrpcWeb>(json!({}));
    let mut scene = call("application/grpc-web", b"").await;
    assert!(matches!(scene.access(&*plugin).await.unwrap(), Flow::Next));
    let mut head = answer(&mut scene, &[GRPC, ("grpc-status", "12")]);
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    let mut chunk = None;
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    assert!(chunk.is_none());
    assert_eq!(value(&head, "grpc-status"), Some("12"));
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    let plugin = built::<GrpcWeb>(json!({ "max_req_body_size": 4 }));
    for (mut scene, status) in [
        (request("GET / HTTP/1.1\nHost: a").await, 405),
        (request("POST / HTTP/1.1\nHost: a").await, 400),
        (request("OPTIONS / HTTP/1.1\nHost: a").await, 204),
        (call("application/json", b"{}").await, 400),
        (call("application/grpc", b"abc").await, 400),
        (call("application/grpc-web-text", b"a&b=").await, 400),
        (call("application/grpc-web", b"12345").await, 413),
    ] {
        match scene.access(&*plugin).await.unwrap() {
            Flow::Respond(reply) => assert_eq!(reply.status, status),
            Flow::Next => panic!("it went on"),
        }
        // Its answer is the gateway's own and stays as it is.
        let mut head = ResponseHeader::build(status, None).unwrap();
        plugin
            .header_filter(&mut scene.exchange(), &mut head)
            .unwrap();
        assert_eq!(value(&head, "access-control-allow-origin"), Some("*"));
        let mut chunk = Some(Bytes::from("page"));
        plugin
            .body_filter(&mut scene.exchange(), &mut chunk, true)
            .unwrap();
        assert_eq!(chunk.unwrap(), "page");
    }
}

#[tokio::test]
async fn a_preflight_request_learns_what_is_allowed() {
    let plugin = built::<GrpcWeb>(json!({ "cors_allow_headers": "x-a,x-b" }));
    let mut scene = request("OPTIONS / HTTP/1.1\nHost: a").await;
    scene.access(&*plugin).await.unwrap();
    let mut head = ResponseHeader::build(204, None).unwrap();
    head.insert_header("Access-Control-Allow-Origin", "https://a.test")
        .unwrap();
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(value(&head, "access-control-allow-methods"), Some("POST"));
    assert_eq!(
        value(&head, "access-control-allow-headers"),
        Some("x-a,x-b")
    );
    // The plugin `cors` has said it already.
    assert_eq!(
        value(&head, "access-control-allow-origin"),
        Some("https://a.test")
    );
}

#[tokio::test]
async fn an_answer_that_is_not_grpc_passes() {
    let plugin = built::<GrpcWeb>(json!({}));
    let mut scene = call("application/grpc-web-text", b"AAAAAAF4").await;
    scene.access(&*plugin).await.unwrap();
    let mut head = answer(
        &mut scene,
        &[("content-type", "text/html"), ("content-length", "4")],
    );
    plugin
        .header_filter(&mut scene.exchange(), &mut head)
        .unwrap();
    assert_eq!(value(&head, "content-type"), Some("text/html"));
    assert_eq!(value(&head, "content-length"), Some("4"));
    let mut chunk = Some(Bytes::from("page"));
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    assert_eq!(chunk.unwrap(), "page");
}

#[test]
fn what_cannot_be_is_refused() {
    assert_eq!(
        refused::<GrpcWeb>(json!({ "cors_allow_headers": "a\nb" })),
        "expected names of headers (at /cors_allow_headers)"
    );
    let message = refused::<GrpcWeb>(json!({ "max_req_body_size": 0 }));
    assert!(message.contains("/max_req_body_size"), "{message}");
}
