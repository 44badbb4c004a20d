#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, form, passes, refused, request};
use crossway_sdk::testing::Scene;
use serde_json::json;

async fn rewritten(config: Value, head: &str) -> Scene {
    let plugin = built::<ProxyRewrite>(config);
    let mut scene = request(head).await;
    assert!(passes(scene.rewrite(&*plugin).await));
    scene
}

fn target_of(scene: &Scene) -> Option<String> {
    let target = scene.request.rewritten.target.as_ref()?;
    Some(String::from_utf8(target.to_vec()).unwrap())
}

async fn target(config: Value, target: &str) -> Option<String> {
    let head = format!("GET {target} HTTP/1.1\nHost: example.com\nX-Q: a?b\nX-Space: a b#c");
    target_of(&rewritten(config, &head).await)
}

fn sent<'s>(scene: &'s Scene, name: &str) -> Vec<&'s str> {
    let headers = &scene.session.req_header().headers;
    headers
        .get_all(name)
        .iter()
        .map(|v| v.to_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_uri_takes_the_place_of_the_path_and_the_query_stays() {
    for (uri, asked, expected) in [
        ("/new", "/old", "/new"),
        ("/new", "/old?a=1&b=%20", "/new?a=1&b=%20"),
        ("/new", "/old?", "/new"),
        ("/new?x=1", "/old", "/new?x=1"),
        ("/new?x=1", "/old?a=1", "/new?x=1&a=1"),
        (
            "/$arg_a/${arg_b}c$arg_none",
            "/old?a=1&b=2",
            "/1/2c?a=1&b=2",
        ),
        // A value cannot begin the query string; its `%` is encoded like any other.
        ("/x/$http_x_q", "/old", "/x/a%253Fb"),
        ("/a b\"<é>", "/old", "/a%20b%22%3C%C3%A9%3E"),
        // Behind the `?` only what would break the request line is encoded.
        ("/x?v=$http_x_space", "/old", "/x?v=a%20b%23c"),
    ] {
        assert_eq!(
            target(json!({"uri": uri}), asked).await.unwrap(),
            expected,
            "{uri} {asked}"
        );
    }
}

#[tokio::test]
async fn the_first_expression_that_matches_rewrites() {
    let pairs = json!({"regex_uri": ["^/v1/(.*)/(\\d+)", "/new/$2/$1", "^/v1(.*)", "/rest$1?u=$http_x_q", "x", "/never"]});
    for (asked, expected) in [
        ("/v1/a/7", "/new/7/a"),
        ("/v1/a/7/tail?q=1", "/new/7/a/tail?q=1"),
        ("/v1/ax?q=1", "/rest/ax?u=a%3Fb&q=1"),
        ("/other", "/other"),
    ] {
        assert_eq!(
            target(pairs.clone(), asked).await.unwrap(),
            expected,
            "{asked}"
        );
    }
    let both = json!({"uri": "/wins", "regex_uri": [".*", "/loses"]});
    assert_eq!(target(both, "/v1").await.unwrap(), "/wins");
}

#[tokio::test]
async fn a_question_mark_in_the_decoded_path_is_path() {
    let plugin = built::<ProxyRewrite>(json!({"regex_uri": ["^/a(.*)", "/b$1?c=1"]}));
    let mut scene = request("GET /a%3Fx?q=1 HTTP/1.1\nHost: a").await;
    scene.request.normal_path = Some("/a?x".into());
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene).unwrap(), "/b%3Fx%3Fc=1?q=1");
}

#[tokio::test]
async fn without_a_new_path_the_normalised_one_is_encoded_again() {
    let plugin = built::<ProxyRewrite>(json!({"method": "POST"}));
    let mut scene = request("GET /a/../b%20c?q=1 HTTP/1.1\nHost: a").await;
    scene.request.normal_path = Some("/b c".into());
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene).unwrap(), "/b%20c?q=1");
    assert_eq!(scene.request.rewritten.method, Some(Method::POST));
    // Nothing to change: no copy is made. What another plugin rewrote stays.
    let mut scene = request("GET /plain?q=1 HTTP/1.1\nHost: a").await;
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene), None);
    scene.request.rewritten.target = Some("/other".into());
    scene.request.normal_path = Some("/x y".into());
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene).unwrap(), "/other");
}

#[tokio::test]
async fn the_unsafe_way_keeps_the_clients_spelling_but_never_breaks_the_request_line() {
    let config = json!({"use_real_request_uri_unsafe": true, "regex_uri": ["^/a/(.*)", "/b/$1"]});
    assert_eq!(
        target(config, "/a/%2F%20?x=%3F").await.unwrap(),
        "/b/%2F%20?x=%3F"
    );
    let keep = json!({"use_real_request_uri_unsafe": true});
    assert_eq!(target(keep, "/a/%2F").await, None, "as the client sent it");
    let plugin =
        built::<ProxyRewrite>(json!({"use_real_request_uri_unsafe": true, "uri": "/x$uri"}));
    let mut scene = request("GET /%0d%0aEvil:%201 HTTP/1.1\nHost: a").await;
    scene.request.normal_path = Some("/\r\nEvil: 1 HTTP/1.1".into());
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene).unwrap(), "/x/%0D%0AEvil:%201%20HTTP/1.1");
}

#[tokio::test]
async fn what_comes_out_has_to_be_a_path_in_bounded_time() {
    for (pair, path) in [
        (["^/a(.*)", "$1"], "/ab".to_owned()),
        (["^/a.*", ""], "/ab".to_owned()),
        (["^/(?:(?=a)a|a)+$", "/x"], format!("/{}!", "a".repeat(60))),
    ] {
        let plugin = built::<ProxyRewrite>(json!({"regex_uri": pair}));
        let mut scene = request(&format!("GET {path} HTTP/1.1\nHost: a")).await;
        assert!(scene.rewrite(&*plugin).await.is_err(), "{path}");
        assert!(scene.request.rewritten.target.is_none());
    }
}

#[tokio::test]
async fn host_and_method_are_for_the_upstream() {
    let scene = rewritten(
        json!({"host": "node.internal:8080", "method": "PROPFIND"}),
        "GET / HTTP/1.1\nHost: example.com",
    )
    .await;
    assert_eq!(
        scene.request.rewritten.host.as_ref().unwrap(),
        "node.internal:8080"
    );
    assert_eq!(
        scene.request.rewritten.method.as_ref().unwrap().as_str(),
        "PROPFIND"
    );
    assert_eq!(sent(&scene, "host"), ["example.com"]);
}

#[tokio::test]
async fn headers_are_added_then_set_then_removed() {
    let scene = rewritten(
        json!({"regex_uri": ["^/(\\w+)/(\\w+)", "/x"], "headers": {
            "add": {"X-A": "new", "X-Gone": "1"},
            "set": {"X-B": "$1-${2}-$9-$remote_addr", "X-N": 7.5, "X-Empty": "", "X-None": "$http_x_absent"},
            "remove": ["X-Gone", "X-Never"],
        }}),
        "GET /one/two HTTP/1.1\nHost: a\nX-A: old\nX-B: old\nX-B: older\nX-Empty: e\nX-None: n",
    )
    .await;
    assert_eq!(sent(&scene, "x-a"), ["old", "new"]);
    assert_eq!(sent(&scene, "x-b"), ["one-two--192.0.2.1"]);
    assert_eq!(sent(&scene, "x-n"), ["7.5"]);
    for gone in ["x-gone", "x-empty", "x-none"] {
        assert!(sent(&scene, gone).is_empty(), "{gone}");
    }
    let flat = rewritten(
        json!({"headers": {"X-A": "$arg_a", "set": "a name like any other"}}),
        "GET /?a=1 HTTP/1.1\nHost: a",
    )
    .await;
    assert_eq!(sent(&flat, "x-a"), ["1"]);
    assert_eq!(sent(&flat, "set"), ["a name like any other"]);
}

#[tokio::test]
async fn no_value_begins_another_header() {
    let scene = rewritten(
        json!({"headers": {"X-A": "$arg_a"}}),
        "GET /?a=1%0d%0aEvil:%202 HTTP/1.1\nHost: a",
    )
    .await;
    assert_eq!(sent(&scene, "x-a"), ["1%0D%0AEvil: 2"]);
}

#[tokio::test]
async fn variables_of_the_body_are_read_from_it() {
    let plugin = built::<ProxyRewrite>(
        json!({"uri": "/u/$post_arg_user", "headers": {"X-U": "$post_arg_user"}}),
    );
    let mut scene = form("user=ann").await;
    assert!(passes(scene.rewrite(&*plugin).await));
    assert_eq!(target_of(&scene).unwrap(), "/u/ann");
    assert_eq!(sent(&scene, "x-u"), ["ann"]);
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    for (config, expected) in [
        (json!({}), "expect object to have at least 1 properties"),
        (json!({"uri": "new"}), "failed to match pattern"),
        (json!({"uri": ""}), "(at /uri)"),
        (
            json!({"uri": "/$nothing"}),
            "unknown variable `nothing` in the template (at /uri)",
        ),
        (
            json!({"regex_uri": ["a"]}),
            "expect array to have at least 2 items",
        ),
        (
            json!({"regex_uri": ["a", "b", "c"]}),
            "The length of regex_uri should be an even number (at /regex_uri)",
        ),
        (
            json!({"regex_uri": ["(", "/b"]}),
            "invalid regex_uri((, /b): ",
        ),
        (
            json!({"regex_uri": ["a", "/b", "b", "/$nothing"]}),
            "(at /regex_uri/3)",
        ),
        (
            json!({"uri": "/x", "regex_uri": ["(", "/b"]}),
            "(at /regex_uri/0)",
        ),
        (json!({"method": "BREW"}), "matches none of the enum values"),
        (json!({"host": "a b"}), "failed to match pattern"),
        (json!({"host": "a:123456"}), "failed to match pattern"),
        (json!({"headers": {}}), "(at /headers)"),
        (
            json!({"headers": {"a b": "c"}}),
            "invalid field character in header \"a b\" (at /headers/a b)",
        ),
        (
            json!({"headers": {"X-A": "b\r\nc"}}),
            "invalid value character in header (at /headers/X-A)",
        ),
        (
            json!({"headers": {"set": {"X-A": true}}}),
            "(at /headers/set/X-A)",
        ),
        (
            json!({"headers": {"add": {"X-A": "$nothing"}}}),
            "unknown variable `nothing` in the template (at /headers/add/X-A)",
        ),
        (
            json!({"headers": {"remove": ["X A"]}}),
            "(at /headers/remove/0)",
        ),
        (json!({"scheme": "https"}), "scheme"),
    ] {
        let said = refused::<ProxyRewrite>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
}

#[tokio::test]
async fn a_hidden_argument_does_not_come_back() {
    for config in [
        json!({"uri": "/new"}),
        json!({"uri": "/new?$args", "use_real_request_uri_unsafe": true}),
        json!({"regex_uri": ["^/old(.*)", "/new$1"], "use_real_request_uri_unsafe": true}),
    ] {
        let plugin = built::<ProxyRewrite>(config);
        let mut scene = request("GET /old?key=s&a=1 HTTP/1.1\nHost: example.com").await;
        scene.request.query = Some("a=1".into());
        assert!(passes(scene.rewrite(&*plugin).await));
        assert_eq!(target_of(&scene).as_deref(), Some("/new?a=1"));
    }
}

#[tokio::test]
async fn headers_keep_their_configured_spelling() {
    let config = json!({"headers": {"set": {"X-fOO": "1"}, "add": {"x-BAR": "2"}}});
    let scene = rewritten(config, "GET / HTTP/1.1\nHost: example.com").await;
    let mut wire = Vec::new();
    scene.session.req_header().header_to_h1_wire(&mut wire);
    let wire = String::from_utf8(wire).unwrap();
    assert!(
        wire.contains("X-fOO: 1\r\n") && wire.contains("x-BAR: 2\r\n"),
        "{wire}"
    );
}
