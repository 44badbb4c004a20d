#![allow(clippy::unwrap_used, clippy::expect_used)]

mod zones;

use super::*;
use crate::scenes::{built, header as field, promised, request};
use crossway_sdk::{definition::Instance, flow::ReplyBody, testing::Scene};
use serde_json::json;
use std::time::Instant;

fn memory(more: Value) -> Value {
    let mut config = json!({"cache_strategy": "memory", "cache_zone": "memory_cache"});
    config
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    config
}

fn plugin(more: Value) -> Arc<dyn Instance> {
    built::<ProxyCache>(memory(more))
}

/// A request, with header lines that are each begun by a line feed.
async fn ask(target: &str, lines: &str) -> Scene {
    request(&format!("GET {target} HTTP/1.1\nHost: a.test{lines}")).await
}

/// What the cache says: its status, and the answer when it gives one.
async fn asked(plugin: &dyn Instance, scene: &mut Scene) -> (String, Option<Reply>) {
    let flow = scene.access(plugin).await.unwrap();
    let reply = match flow {
        Flow::Respond(reply) => Some(reply),
        Flow::Next => None,
    };
    (
        promised(scene, "apisix-cache-status").unwrap_or_default(),
        reply,
    )
}

/// Has the upstream answer.
fn answer(
    plugin: &dyn Instance,
    scene: &mut Scene,
    status: u16,
    fields: &[(&str, &str)],
    body: &str,
) {
    let mut head = ResponseHeader::build(status, None).unwrap();
    for (name, value) in fields {
        head.append_header(name.to_string(), value.to_string())
            .unwrap();
    }
    if scene.request.keep_upstream_head {
        scene.request.upstream_head = Some(Box::new(head.clone()));
    }
    scene.header_filter(plugin, &mut head).unwrap();
    let half = body.len() / 2;
    let parts = [body.get(..half).unwrap(), body.get(half..).unwrap()];
    for (part, end) in parts.into_iter().zip([false, true]) {
        let mut chunk = Some(Bytes::copy_from_slice(part.as_bytes()));
        plugin
            .body_filter(&mut scene.exchange(), &mut chunk, end)
            .unwrap();
    }
}

/// Asks, and has the upstream answer when the cache does not: the status of the cache, and the body.
async fn round(plugin: &dyn Instance, lines: &str, fields: &[(&str, &str)]) -> String {
    let mut scene = ask("/a", lines).await;
    let (status, reply) = asked(plugin, &mut scene).await;
    if reply.is_none() {
        answer(plugin, &mut scene, 200, fields, "body");
    }
    status
}

fn body(reply: &Reply) -> &[u8] {
    match &reply.body {
        ReplyBody::Bytes(bytes) => bytes,
        ReplyBody::Default => b"",
    }
}

#[tokio::test]
async fn the_second_request_is_answered_from_the_cache() {
    let plugin = plugin(json!({}));
    let mut scene = ask("/a?b=1", "").await;
    assert!(matches!(asked(&*plugin, &mut scene).await, (s, None) if s == "MISS"));
    let fields = [
        ("Content-Type", "text/x"),
        ("X-Two", "1"),
        ("X-Two", "2"),
        ("Age", "7"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Content-Length", "5"),
    ];
    answer(&*plugin, &mut scene, 200, &fields, "hello");
    let mut again = ask("/a?b=1", "").await;
    let (status, reply) = asked(&*plugin, &mut again).await;
    let reply = reply.unwrap();
    assert_eq!((status.as_str(), reply.status.as_u16()), ("HIT", 200));
    assert_eq!(body(&reply), b"hello");
    assert_eq!(field(&reply, "content-type").unwrap(), "text/x");
    assert_eq!(
        reply.headers.iter().filter(|(n, _)| n == "x-two").count(),
        2
    );
    let age: u64 = field(&reply, "age").unwrap().parse().unwrap();
    assert!((7..20).contains(&age), "{age}");
    for gone in ["connection", "x-hop", "content-length"] {
        assert_eq!(field(&reply, gone), None, "{gone}");
    }
    assert_eq!(
        asked(&*plugin, &mut ask("/a?b=2", "").await).await.0,
        "MISS"
    );
    let mut head = request("HEAD /a?b=1 HTTP/1.1\nHost: a.test").await;
    assert_eq!(asked(&*plugin, &mut head).await.0, "HIT");
}

#[tokio::test]
async fn scheme_host_route_and_consumer_count_whatever_the_key_says() {
    let plugin = plugin(json!({"cache_key": ["$uri"]}));
    assert_eq!(round(&*plugin, "", &[]).await, "MISS");
    assert_eq!(round(&*plugin, "", &[]).await, "HIT");
    let mut other = request("GET /a HTTP/1.1\nHost: b.test").await;
    assert_eq!(asked(&*plugin, &mut other).await.0, "MISS");
    let mut secure = ask("/a", "").await;
    secure.request.tls = true;
    assert_eq!(asked(&*plugin, &mut secure).await.0, "MISS");
    let mut elsewhere = ask("/a", "").await;
    elsewhere.request.route = Some(Arc::new(crossway_sdk::route::RouteInfo {
        id: "2".into(),
        ..Default::default()
    }));
    assert_eq!(asked(&*plugin, &mut elsewhere).await.0, "MISS");
}

#[tokio::test]
async fn what_is_for_one_recipient_is_not_kept() {
    for fields in [
        [("Set-Cookie", "a=1")],
        [("Cache-Control", "private")],
        [("Cache-Control", "max-age=60, No-Store")],
        [("Cache-Control", "no-cache=\"set-cookie\"")],
        [("Vary", "*")],
        [("Vary", "Accept, *")],
        [("Content-Length", "3")],
    ] {
        let plugin = plugin(json!({}));
        assert_eq!(round(&*plugin, "", &fields).await, "MISS");
        assert_eq!(round(&*plugin, "", &fields).await, "MISS", "{fields:?}");
    }
    let cookies = plugin(json!({"cache_set_cookie": true}));
    round(&*cookies, "", &[("Set-Cookie", "a=1")]).await;
    assert_eq!(round(&*cookies, "", &[]).await, "HIT");
}

#[tokio::test]
async fn who_shows_credentials_gets_nobody_elses_response() {
    let credentials = "\nAuthorization: Basic YTpi";
    let plain = plugin(json!({}));
    round(&*plain, credentials, &[]).await;
    assert_eq!(round(&*plain, "", &[]).await, "MISS");
    let public = plugin(json!({}));
    round(&*public, credentials, &[("Cache-Control", "public")]).await;
    assert_eq!(round(&*public, "", &[]).await, "HIT");
    let apart = plugin(json!({"cache_key": ["$uri", "$http_authorization"]}));
    round(&*apart, credentials, &[]).await;
    assert_eq!(round(&*apart, credentials, &[]).await, "HIT");
    assert_eq!(round(&*apart, "", &[]).await, "MISS");
}

#[tokio::test]
async fn variants_are_told_apart_by_what_the_response_varies_by() {
    let plugin = plugin(json!({}));
    let vary = [("Vary", "Accept-Language, accept-encoding")];
    assert_eq!(
        round(&*plugin, "\nAccept-Language: de", &vary).await,
        "MISS"
    );
    assert_eq!(round(&*plugin, "\nAccept-Language: de", &vary).await, "HIT");
    assert_eq!(
        round(&*plugin, "\nAccept-Language: en", &vary).await,
        "MISS"
    );
    assert_eq!(round(&*plugin, "\nAccept-Language: en", &vary).await, "HIT");
    assert_eq!(round(&*plugin, "", &vary).await, "MISS");
    let mut purge = request("PURGE /a HTTP/1.1\nHost: a.test").await;
    assert_eq!(asked(&*plugin, &mut purge).await.1.unwrap().status, 200);
    assert_eq!(
        round(&*plugin, "\nAccept-Language: de", &vary).await,
        "MISS"
    );
    let mut nothing = request("PURGE /b HTTP/1.1\nHost: a.test").await;
    assert_eq!(asked(&*plugin, &mut nothing).await.1.unwrap().status, 404);
}

#[tokio::test]
async fn clients_that_have_it_are_told_so() {
    let plugin = plugin(json!({}));
    let fields = [
        ("ETag", "W/\"x\""),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("X-A", "1"),
    ];
    round(&*plugin, "", &fields).await;
    for (lines, status) in [
        ("\nIf-None-Match: \"y\", \"x\"", 304),
        ("\nIf-None-Match: *", 304),
        ("\nIf-None-Match: \"y\"", 200),
        (
            "\nIf-None-Match: \"y\"\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
            200,
        ),
        ("\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", 200),
        ("\nIf-Modified-Since: yesterday", 200),
    ] {
        let (_, reply) = asked(&*plugin, &mut ask("/a", lines).await).await;
        let reply = reply.unwrap();
        assert_eq!(reply.status, status, "{lines}");
        assert_eq!(field(&reply, "etag").unwrap(), "W/\"x\"");
        assert_eq!(field(&reply, "x-a").is_none(), status == 304);
    }
}

#[tokio::test]
async fn cache_control_is_heeded_when_asked_for() {
    let plugin = plugin(json!({"cache_control": true}));
    round(&*plugin, "", &[]).await;
    assert_eq!(
        round(&*plugin, "", &[("Cache-Control", "max-age=60")]).await,
        "MISS",
        "no lifetime, not kept"
    );
    assert_eq!(round(&*plugin, "", &[]).await, "HIT");
    assert_eq!(
        round(&*plugin, "\nCache-Control: no-cache", &[]).await,
        "BYPASS"
    );
    assert_eq!(
        round(&*plugin, "\nCache-Control: min-fresh=100", &[]).await,
        "STALE"
    );
    assert_eq!(
        round(&*plugin, "\nCache-Control: max-age=30", &[]).await,
        "HIT"
    );
    let (_, reply) = asked(
        &*plugin,
        &mut ask("/z", "\nCache-Control: only-if-cached").await,
    )
    .await;
    assert_eq!(reply.unwrap().status, 504);
    let expires = directives::date_of(directives::now() + 60);
    let mut scene = ask("/e", "").await;
    asked(&*plugin, &mut scene).await;
    answer(&*plugin, &mut scene, 200, &[("Expires", &expires)], "x");
    assert_eq!(asked(&*plugin, &mut ask("/e", "").await).await.0, "HIT");
}

#[tokio::test]
async fn bypass_and_no_cache_go_by_texts() {
    let plugin = plugin(
        json!({"cache_bypass": ["$arg_bypass"], "no_cache": ["$arg_none"], "cache_key": ["$uri"]}),
    );
    let of = async |target: &str| {
        let mut scene = ask(target, "").await;
        let (status, reply) = asked(&*plugin, &mut scene).await;
        if reply.is_none() {
            answer(&*plugin, &mut scene, 200, &[], "body");
        }
        status
    };
    assert_eq!(of("/a?none=1").await, "MISS");
    assert_eq!(of("/a?none=0").await, "MISS");
    assert_eq!(of("/a").await, "HIT");
    assert_eq!(of("/a?bypass=1").await, "BYPASS");
    assert_eq!(of("/a?bypass=0").await, "HIT");
}

#[tokio::test]
async fn what_is_too_large_or_of_another_status_is_not_kept() {
    let plugin = plugin(json!({"max_resp_body_size": 10}));
    for (target, status, body) in [
        ("/a", 200, "01234567890"),
        ("/b", 500, "x"),
        ("/c", 206, "x"),
    ] {
        for _ in 0..2 {
            let mut scene = ask(target, "").await;
            assert_eq!(asked(&*plugin, &mut scene).await.0, "MISS");
            answer(&*plugin, &mut scene, status, &[], body);
        }
    }
}

#[tokio::test]
async fn a_response_that_broke_off_is_not_kept_and_one_of_the_gateway_neither() {
    let plugin = plugin(json!({}));
    let mut scene = ask("/a", "").await;
    asked(&*plugin, &mut scene).await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.request.upstream_head = Some(Box::new(head.clone()));
    scene.header_filter(&*plugin, &mut head).unwrap();
    let mut chunk = Some(Bytes::from_static(b"half"));
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, false)
        .unwrap();
    drop(scene);
    let mut scene = ask("/a", "").await;
    assert_eq!(asked(&*plugin, &mut scene).await.0, "MISS");
    // No head of the upstream: a plugin behind this one has answered.
    let mut head = ResponseHeader::build(200, None).unwrap();
    scene.header_filter(&*plugin, &mut head).unwrap();
    let mut chunk = Some(Bytes::from_static(b"of a plugin"));
    plugin
        .body_filter(&mut scene.exchange(), &mut chunk, true)
        .unwrap();
    assert_eq!(asked(&*plugin, &mut ask("/a", "").await).await.0, "MISS");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_one_fetches_and_the_others_wait() {
    let plugin = plugin(json!({}));
    let mut first = ask("/a", "").await;
    assert_eq!(asked(&*plugin, &mut first).await.0, "MISS");
    let waiting: Vec<_> = (0..10)
        .map(|_| {
            let plugin = plugin.clone();
            tokio::spawn(async move { asked(&*plugin, &mut ask("/a", "").await).await.0 })
        })
        .collect();
    tokio::task::yield_now().await;
    answer(&*plugin, &mut first, 200, &[], "body");
    for one in waiting {
        assert_eq!(one.await.unwrap(), "HIT");
    }
    // When the one that fetches gives up, the others go on at once.
    let mut first = ask("/b", "").await;
    asked(&*plugin, &mut first).await;
    let waits = {
        let plugin = plugin.clone();
        tokio::spawn(async move { asked(&*plugin, &mut ask("/b", "").await).await.0 })
    };
    tokio::task::yield_now().await;
    let started = Instant::now();
    drop(first);
    assert_eq!(waits.await.unwrap(), "MISS");
    assert!(started.elapsed() < PATIENCE);
}

#[tokio::test]
async fn a_response_without_a_body_is_kept_when_its_head_is_there() {
    let plugin = plugin(json!({}));
    let mut scene = ask("/a", "").await;
    asked(&*plugin, &mut scene).await;
    let mut head = ResponseHeader::build(301, None).unwrap();
    head.insert_header("Content-Length", "0").unwrap();
    head.insert_header("Location", "/b").unwrap();
    scene.request.upstream_head = Some(Box::new(head.clone()));
    scene.header_filter(&*plugin, &mut head).unwrap();
    let (_, reply) = asked(&*plugin, &mut ask("/a", "").await).await;
    let reply = reply.unwrap();
    assert_eq!(reply.status, 301);
    assert_eq!(field(&reply, "location").unwrap(), "/b");
}

#[tokio::test]
async fn hidden_headers_are_kept_from_the_client() {
    let plugin = plugin(json!({"hide_cache_headers": true}));
    let mut scene = ask("/a", "").await;
    asked(&*plugin, &mut scene).await;
    let mut head = ResponseHeader::build(200, None).unwrap();
    head.insert_header("Cache-Control", "max-age=60").unwrap();
    head.insert_header("Expires", "0").unwrap();
    scene.request.upstream_head = Some(Box::new(head.clone()));
    scene.header_filter(&*plugin, &mut head).unwrap();
    assert!(head.headers.get("cache-control").is_none() && head.headers.get("expires").is_none());
}
