#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::{built, form, header, passes, placed, refused, reply, request, text};
use crossway_sdk::testing::{Bench, Scene};
use serde_json::json;

async fn location(config: Value, head: &str) -> (u16, String) {
    let plugin = built::<Redirect>(config);
    let mut scene = request(head).await;
    let answer = reply(scene.rewrite(&*plugin).await);
    assert_eq!(text(&answer), None);
    (answer.status.as_u16(), header(&answer, "location").unwrap())
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\nHost: Example.com:9080\nX-Evil: a b")
}

#[tokio::test]
async fn a_uri_is_filled_in() {
    for (config, target, status, expected) in [
        (json!({"uri": "/new"}), "/old?a=1", 302, "/new"),
        (json!({"uri": "/new", "ret_code": 301}), "/old", 301, "/new"),
        (
            json!({"uri": "https://$host/x$uri"}),
            "/old",
            302,
            "https://example.com/x/old",
        ),
        (
            json!({"uri": "${uri}/tail?x=$arg_a"}),
            "/old?a=1",
            302,
            "/old/tail?x=1",
        ),
        (
            json!({"uri": "/new", "append_query_string": true}),
            "/old?a=1",
            302,
            "/new?a=1",
        ),
        (
            json!({"uri": "/new?x=2", "append_query_string": true}),
            "/old?a=1",
            302,
            "/new?x=2&a=1",
        ),
        (
            json!({"uri": "/new", "append_query_string": true}),
            "/old?",
            302,
            "/new",
        ),
        (
            json!({"uri": "/a\"b%?c=<d>", "encode_uri": true}),
            "/old",
            302,
            "/a%22b%25?c=<d>",
        ),
        (json!({"uri": "/a/é"}), "/old", 302, "/a/%C3%A9"),
    ] {
        assert_eq!(
            location(config.clone(), &get(target)).await,
            (status, expected.to_owned()),
            "{config}"
        );
    }
}

#[tokio::test]
async fn no_value_ends_the_header() {
    let plugin = built::<Redirect>(json!({"uri": "$uri?x=$arg_a&$http_x_evil"}));
    let mut scene = request(&get("/?a=1%0d%0aSet-Cookie:%20b")).await;
    scene.request.normal_path = Some("/\r\nEvil: 1".into());
    let answer = reply(scene.rewrite(&*plugin).await);
    assert_eq!(
        header(&answer, "location").unwrap(),
        "/%0D%0AEvil:%201?x=1%0D%0ASet-Cookie:%20b&a%20b"
    );
}

#[tokio::test]
async fn a_path_that_does_not_match_passes() {
    let config = json!({"regex_uri": ["^/test/(.*)/(.*)", "/$2-$1$$"], "ret_code": 308});
    assert_eq!(
        location(config.clone(), &get("/test/a/b?q=1")).await,
        (308, "/b-a$".to_owned())
    );
    let plugin = built::<Redirect>(config);
    assert!(passes(
        request(&get("/other")).await.rewrite(&*plugin).await
    ));
    let hard = built::<Redirect>(json!({"regex_uri": ["^/(?:(?=a)a|a)+$", "/x"]}));
    let path = format!("/{}!", "a".repeat(60));
    assert!(request(&get(&path)).await.rewrite(&*hard).await.is_err());
}

async fn https(bench: &Bench, head: &str, tls: bool) -> Option<(u16, String)> {
    let plugin: Redirect = placed(bench, "routes/1", json!({"http_to_https": true})).unwrap();
    let mut scene: Scene = request(head).await;
    scene.request.tls = tls;
    match scene.rewrite(&plugin).await.unwrap() {
        Flow::Next => None,
        Flow::Respond(answer) => {
            Some((answer.status.as_u16(), header(&answer, "location").unwrap()))
        }
    }
}

#[tokio::test]
async fn http_goes_to_https() {
    let bench = Bench::default();
    let to = |status, uri: &str| Some((status, uri.to_owned()));
    assert_eq!(
        https(&bench, &get("/a?b=1"), false).await,
        to(301, "https://example.com/a?b=1")
    );
    let post = "POST /a HTTP/1.1\nHost: example.com";
    assert_eq!(
        https(&bench, post, false).await,
        to(308, "https://example.com/a")
    );
    assert_eq!(
        https(&bench, "HEAD /a HTTP/1.1\nHost: a", false).await,
        to(301, "https://a/a")
    );
    assert_eq!(https(&bench, &get("/a"), true).await, None);
    // The proxy before the gateway knows better.
    let forwarded = |proto: &str| format!("{}\nX-Forwarded-Proto: {proto}", get("/a"));
    assert_eq!(https(&bench, &forwarded("https"), false).await, None);
    assert_eq!(
        https(&bench, &forwarded("http"), true).await,
        to(301, "https://example.com/a")
    );

    for (port, expected) in [
        (json!(9443), "https://example.com:9443/a"),
        (json!(443), "https://example.com/a"),
        (json!(null), "https://example.com:8443/a"),
    ] {
        let bench = Bench {
            attributes: [("redirect".to_owned(), json!({"https_port": port}))].into(),
            https_port: Some(8443),
            ..Bench::default()
        };
        assert_eq!(https(&bench, &get("/a"), false).await, to(301, expected));
    }
    let bench = Bench {
        https_port: Some(443),
        ..Bench::default()
    };
    let expected = to(301, "https://example.com/a");
    assert_eq!(https(&bench, &get("/a"), false).await, expected);
}

#[tokio::test]
async fn http_to_https_may_be_off() {
    let plugin = built::<Redirect>(json!({"http_to_https": false}));
    assert!(passes(request(&get("/a")).await.rewrite(&*plugin).await));
}

#[tokio::test]
async fn variables_of_the_body_are_read_from_it() {
    let plugin = built::<Redirect>(json!({"uri": "/u/$post_arg_user"}));
    let answer = reply(form("user=ann").await.rewrite(&*plugin).await);
    assert_eq!(header(&answer, "location").unwrap(), "/u/ann");
}

#[test]
fn refusals_say_where_and_what_was_expected() {
    let one = "expected exactly one of uri, regex_uri and http_to_https";
    for (config, expected) in [
        (json!({}), one),
        (json!({"uri": "/a", "http_to_https": true}), one),
        (json!({"uri": "/a", "regex_uri": ["a", "b"]}), one),
        (json!({"uri": "/"}), "string too short"),
        (
            json!({"uri": "/$nothing"}),
            "unknown variable `nothing` in the template (at /uri)",
        ),
        (
            json!({"regex_uri": ["a"]}),
            "expect array to have at least 2 items",
        ),
        (
            json!({"regex_uri": ["a", "b", "c", "d"]}),
            "expect array to have at most 2 items",
        ),
        (
            json!({"regex_uri": ["(", "b"]}),
            "invalid regex_uri ((, b), err:",
        ),
        (json!({"regex_uri": ["a", "/$uri"]}), "$uri is no group"),
        (
            json!({"uri": "/a", "ret_code": 199}),
            "expected 199 to be at least 200",
        ),
        (
            json!({"http_to_https": true, "append_query_string": true}),
            "only one of `http_to_https` and `append_query_string` can be configured. (at /append_query_string)",
        ),
        (json!({"uri": "/a", "url": 1}), "url"),
    ] {
        let said = refused::<Redirect>(config.clone());
        assert!(said.contains(expected), "{config}: {said}");
    }
    let bench = Bench {
        attributes: [("redirect".to_owned(), json!({"https_port": "9443"}))].into(),
        ..Bench::default()
    };
    let error = placed::<Redirect>(&bench, "routes/1", json!({"http_to_https": true}))
        .err()
        .unwrap();
    assert!(error.message.contains("expected a port"), "{error}");
}
