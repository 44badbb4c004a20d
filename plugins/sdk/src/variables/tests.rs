//! Every variable against a request as nginx and APISIX would answer it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::View;
use crate::{
    consumer::{Consumer, Identity},
    expr::{Expression, Lookup, Value, Variable, Verdict},
    request::{ResponseSource, Try},
    route::{Matched, RouteInfo},
    testing::Scene,
};
use bytes::Bytes;
use http::HeaderValue;
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

async fn scene(raw: impl AsRef<[u8]>) -> Scene {
    Scene::new(raw.as_ref()).await.unwrap()
}

async fn get(target: &str, lines: &str) -> Scene {
    scene(format!(
        "GET {target} HTTP/1.1\r\nHost: A.test:8080\r\n{lines}\r\n"
    ))
    .await
}

async fn post(content_type: &str, body: &str) -> Scene {
    let length = body.len();
    let mut scene = scene(format!(
        "POST /p HTTP/1.1\r\nHost: a.test\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
    .await;
    scene.exchange().read_body(usize::MAX).await.unwrap();
    scene
}

/// The text of a variable.
fn text(scene: &Scene, name: &str) -> Option<String> {
    let variable = Variable::parse(name).unwrap();
    let view = View {
        session: &scene.session,
        request: &scene.request,
    };
    let mut out = Vec::new();
    view.lookup(&variable)?.write_to(&mut out);
    Some(String::from_utf8_lossy(&out).into_owned())
}

#[track_caller]
fn check(scene: &Scene, expected: &[(&str, Option<&str>)]) {
    for (name, value) in expected {
        assert_eq!(text(scene, name).as_deref(), *value, "${name}");
    }
}

fn holds(scene: &Scene, vars: serde_json::Value) -> Verdict {
    let view = View {
        session: &scene.session,
        request: &scene.request,
    };
    Expression::parse(&vars)
        .unwrap()
        .decide(&view, scene.request.body.is_some())
}

#[tokio::test]
async fn the_target_in_its_forms() {
    check(
        &get("/a%20b?x=1", "").await,
        &[
            ("uri", Some("/a%20b")),
            ("request_uri", Some("/a%20b?x=1")),
            ("real_request_uri", Some("/a%20b?x=1")),
            ("request", Some("GET /a%20b?x=1 HTTP/1.1")),
            ("is_args", Some("?")),
            ("args", Some("x=1")),
            ("query_string", Some("x=1")),
        ],
    );
    let mut normalised = get("/a/../b%41//?x=%41", "").await;
    normalised.request.normal_path = Some("/bA/".into());
    check(
        &normalised,
        &[
            ("uri", Some("/bA/")),
            ("document_uri", Some("/bA/")),
            ("request_uri", Some("/bA/?x=%41")),
            ("real_request_uri", Some("/a/../b%41//?x=%41")),
        ],
    );
    check(
        &get("/a?", "").await,
        &[
            ("request_uri", Some("/a")),
            ("real_request_uri", Some("/a?")),
            ("is_args", Some("")),
            ("args", Some("")),
        ],
    );
    check(
        &get("/a", "").await,
        &[("is_args", Some("")), ("args", None), ("arg_x", None)],
    );
    check(
        &get("http://A.test:8080/x?y=1", "").await,
        &[
            ("uri", Some("/x")),
            ("request_uri", Some("/x?y=1")),
            ("real_request_uri", Some("/x?y=1")),
            ("request", Some("GET http://A.test:8080/x?y=1 HTTP/1.1")),
            ("arg_y", Some("1")),
        ],
    );
}

#[tokio::test]
async fn a_query_need_not_be_utf_8() {
    let mut scene = get("/", "").await;
    let head = scene.session.req_header_mut();
    head.set_raw_path(b"/a?x=\xff&y=2").unwrap();
    let view = View {
        session: &scene.session,
        request: &scene.request,
    };
    let arg = Variable::parse("arg_x").unwrap();
    assert_eq!(view.lookup(&arg), Some(Value::text(b"\xff")));
    check(&scene, &[("arg_y", Some("2"))]);
}

#[tokio::test]
async fn what_was_taken_out_of_the_query_is_seen_nowhere() {
    let mut scene = get("/%41?a=1&key=secret&flag", "").await;
    scene.request.query = Some("a=1&flag".into());
    scene.request.normal_path = Some("/A".into());
    check(
        &scene,
        &[
            ("args", Some("a=1&flag")),
            ("arg_key", None),
            ("arg_a", Some("1")),
            ("arg_flag", Some("true")),
            ("request_uri", Some("/A?a=1&flag")),
            ("real_request_uri", Some("/%41?a=1&flag")),
            ("request", Some("GET /%41?a=1&flag HTTP/1.1")),
        ],
    );
    scene.request.normal_path = None;
    check(&scene, &[("request_uri", Some("/%41?a=1&flag"))]);
    scene.request.query = Some(Bytes::new());
    check(
        &scene,
        &[
            ("args", None),
            ("is_args", Some("")),
            ("request_uri", Some("/%41")),
            ("real_request_uri", Some("/%41")),
        ],
    );
    // What is sent upstream is not what was asked for.
    scene.request.query = None;
    scene.request.rewritten.target = Some("/new?z=1".into());
    check(
        &scene,
        &[
            ("request_uri", Some("/%41?a=1&key=secret&flag")),
            ("arg_z", None),
            ("upstream_uri", Some("/new?z=1")),
        ],
    );
}

#[tokio::test]
async fn arguments_cookies_and_headers() {
    let scene = get(
        "/?a=1&b=x%20y+z&a=2&flag&e=",
        "Cookie: s=1; T=2\r\nX-Api_Key: k\r\nX-Two: 1\r\nX-Two: 2\r\nAuthorization: Basic am86cHc=\r\n\
         Content-Type: text/x\r\nUser-Agent: u\r\n",
    )
    .await;
    check(
        &scene,
        &[
            ("arg_a", Some("1")),
            ("arg_b", Some("x y z")),
            ("arg_flag", Some("true")),
            ("arg_e", Some("")),
            ("arg_A", None),
            ("cookie_s", Some("1")),
            ("cookie_T", Some("2")),
            ("cookie_t", None),
            ("http_x_two", Some("1")),
            ("http_user_agent", Some("u")),
            ("http_absent", None),
            ("remote_user", Some("jo")),
            ("content_type", Some("text/x")),
            ("content_length", None),
            ("host", Some("a.test")),
            ("http_host", Some("A.test:8080")),
            ("server_name", Some("_")),
            ("method", Some("GET")),
            ("request_method", Some("GET")),
            ("server_protocol", Some("HTTP/1.1")),
        ],
    );
}

#[tokio::test]
async fn both_ends_of_the_connection() {
    let mut scene = get("/", "").await;
    check(
        &scene,
        &[
            ("remote_addr", Some("192.0.2.1")),
            ("remote_port", Some("40000")),
            ("realip_remote_addr", Some("192.0.2.1")),
            ("realip_remote_port", Some("40000")),
            ("server_addr", Some("192.0.2.2")),
            ("server_port", Some("9080")),
            ("scheme", Some("http")),
            ("https", Some("")),
            ("ssl_protocol", None),
            ("ssl_cipher", None),
            ("remote_user", None),
        ],
    );
    scene.request.tls = true;
    scene.request.client = "[2001:db8::1]:5".parse().unwrap();
    check(
        &scene,
        &[
            ("scheme", Some("https")),
            ("https", Some("on")),
            ("remote_addr", Some("2001:db8::1")),
        ],
    );
    let binary = Variable::parse("binary_remote_addr").unwrap();
    let length = |scene: &Scene| {
        let view = View {
            session: &scene.session,
            request: &scene.request,
        };
        match view.lookup(&binary) {
            Some(Value::Bytes(bytes)) => bytes.len(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(length(&scene), 16);
    scene.request.client = "192.0.2.1:5".parse().unwrap();
    assert_eq!(length(&scene), 4);
}

#[tokio::test]
async fn the_route_and_the_consumer() {
    let mut scene = get("/", "").await;
    for name in [
        "route_id",
        "route_name",
        "service_id",
        "service_name",
        "matched_uri",
        "matched_host",
        "uri_param_id",
        "consumer_name",
        "consumer_group_id",
        "rate_limiting_info",
    ] {
        assert_eq!(text(&scene, name), None, "{name}");
    }
    let own = text(&scene, "request_id").unwrap();
    assert!(
        own.len() == 32 && own.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        "{own}"
    );
    assert_eq!(
        text(&scene, "apisix_request_id"),
        Some(own.clone()),
        "whoever asks gets the same"
    );
    assert_ne!(text(&get("/", "").await, "request_id"), Some(own));
    scene.request.route = Some(Arc::new(RouteInfo {
        id: "r1".into(),
        name: Some("route".into()),
        service_id: Some("s1".into()),
        service_name: Some("service".into()),
        labels: Default::default(),
    }));
    scene.request.matched = Some(Matched {
        path: "/*".into(),
        host: Some("*.test".into()),
    });
    scene.request.path_params = vec![("id".into(), "7".into())];
    scene.request.identity = Some(Identity {
        consumer: Arc::new(Consumer {
            serial: 0,
            username: "jack".into(),
            group_id: Some("gold".into()),
            labels: Default::default(),
            username_header: HeaderValue::from_static("jack"),
            custom_id: None,
        }),
        credential: None,
    });
    scene.request.rate_limiting_info = Some(crate::rate_limiting::RateLimitingInfo {
        owner: "routes/1".into(),
        key: smallvec::SmallVec::from_slice(b"k"),
        limit: 3,
        remaining: 2,
        reset: 60,
    });
    scene.request.id = Some(HeaderValue::from_static("id-1"));
    check(
        &scene,
        &[
            ("route_id", Some("r1")),
            ("route_name", Some("route")),
            ("service_id", Some("s1")),
            ("service_name", Some("service")),
            ("matched_uri", Some("/*")),
            ("matched_host", Some("*.test")),
            ("uri_param_id", Some("7")),
            ("uri_param_other", None),
            ("consumer_name", Some("jack")),
            ("consumer_group_id", Some("gold")),
            (
                "rate_limiting_info",
                Some(
                    "{\"rate_limiting_key\":\"routes/1:k\",\"rate_limiting_limit\":3,\"rate_limiting_remaining\":2,\"rate_limiting_reset\":60}",
                ),
            ),
            ("request_id", Some("id-1")),
            ("apisix_request_id", Some("id-1")),
        ],
    );
}

fn attempt(address: Option<&str>, status: Option<u16>, times: [Option<u64>; 3]) -> Try {
    let [connected, answered, ended] = times.map(|t| t.map(Duration::from_millis));
    Try {
        address: address.map(|a| a.parse().unwrap()),
        host: "node.test".into(),
        port: 80,
        scheme: "grpc",
        status,
        stale: false,
        began: Instant::now(),
        connected,
        answered,
        ended,
    }
}

#[tokio::test]
async fn nodes_that_were_tried_are_listed() {
    let mut scene = get("/", "").await;
    check(
        &scene,
        &[
            ("upstream_addr", None),
            ("upstream_status", None),
            ("upstream_response_time", None),
            ("balancer_ip", None),
            ("balancer_port", None),
            ("upstream_scheme", Some("http")),
            ("upstream_host", Some("A.test:8080")),
            ("upstream_uri", Some("")),
            ("upstream_unresolved_host", None),
            ("upstream_cache_status", None),
        ],
    );
    let tries = [
        attempt(None, Some(502), [None, None, Some(3)]),
        attempt(
            Some("[::1]:80"),
            Some(200),
            [Some(1), Some(20), Some(1_300)],
        ),
        attempt(Some("10.0.0.1:81"), None, [Some(2), Some(5), None]),
    ];
    scene.request.tries.extend(tries);
    scene.request.rewritten.host = Some(HeaderValue::from_static("rewritten.test"));
    check(
        &scene,
        &[
            ("upstream_addr", Some("node.test:80, [::1]:80, 10.0.0.1:81")),
            ("upstream_status", Some("502, 200, -")),
            ("upstream_response_time", Some("0.003, 1.300, 0.005")),
            ("upstream_header_time", Some("-, 0.020, 0.005")),
            ("upstream_connect_time", Some("-, 0.001, 0.002")),
            ("balancer_ip", Some("10.0.0.1")),
            ("balancer_port", Some("80")),
            ("upstream_scheme", Some("grpc")),
            ("upstream_host", Some("rewritten.test")),
            ("upstream_unresolved_host", Some("node.test")),
        ],
    );
    scene.request.upstream_host = Some(HeaderValue::from_static("node.test"));
    scene
        .request
        .tries
        .push(attempt(None, None, [None, None, None]));
    check(
        &scene,
        &[
            ("upstream_host", Some("node.test")),
            ("balancer_ip", Some("node.test")),
        ],
    );
}

#[tokio::test]
async fn the_response_and_its_cost() {
    let mut scene = get("/", "").await;
    // "GET / HTTP/1.1\r\n", "Host: A.test:8080\r\n", "\r\n"
    check(
        &scene,
        &[
            ("status", Some("000")),
            ("request_completion", Some("")),
            ("request_length", Some("37")),
            ("bytes_sent", Some("0")),
            ("body_bytes_sent", Some("0")),
            ("sent_http_x_a", None),
            ("upstream_http_x_a", None),
        ],
    );
    scene.request.response.status = 204;
    scene.request.response.source = ResponseSource::Gateway;
    check(
        &scene,
        &[("status", Some("204")), ("request_completion", Some("OK"))],
    );
    assert_eq!(holds(&scene, json!([["status", "==", 204]])), Verdict::Yes);
}

#[tokio::test]
async fn time_and_place() {
    let mut scene = get("/", "").await;
    scene.request.started = Instant::now()
        .checked_sub(Duration::from_millis(2_500))
        .unwrap();
    scene.request.started_at = SystemTime::UNIX_EPOCH;
    let seconds = |name: &str| text(&scene, name).unwrap().parse::<f64>().unwrap();
    let took = seconds("request_time");
    assert!((2.5..60.0).contains(&took), "{took}");
    // Of this moment, as in nginx, not of the request's begin.
    assert!(seconds("msec") > 1.7e9);
    let iso = text(&scene, "time_iso8601").unwrap();
    assert!(!iso.starts_with("19"), "{iso}");
    assert_eq!(iso.len(), "2026-11-21T10:15:00+01:00".len());
    let local = text(&scene, "time_local").unwrap();
    assert_eq!(local.len(), "21/Nov/2026:10:15:00 +0100".len());
    let name = text(&scene, "hostname").unwrap();
    assert_eq!(name, name.to_ascii_lowercase());
    assert_eq!(text(&scene, "pid"), Some(std::process::id().to_string()));
    for absent in [
        "proxy_protocol_addr",
        "connection",
        "pipe",
        "ssl_server_name",
    ] {
        assert_eq!(text(&scene, absent), None, "{absent}");
    }
}

#[tokio::test]
async fn urlencoded_forms() {
    let scene = post(
        "application/X-www-form-urlencoded; charset=utf-8",
        "a=1&b=x%20y+z&a=2&flag&=no&e=&%63=%ff",
    )
    .await;
    check(
        &scene,
        &[
            ("post_arg_a", Some("1")),
            ("post_arg_b", Some("x y z")),
            ("post_arg_flag", Some("true")),
            ("post_arg_e", Some("")),
            ("post_arg_c", Some("\u{fffd}")),
            ("post_arg_d", None),
            ("post_arg.a", Some("1, 2")),
            ("post_arg.a[*]", Some("1, 2")),
            ("post_arg.a[1]", Some("2")),
            ("post_arg.a[2]", None),
            ("post_arg.b", Some("x y z")),
            ("post_arg.a.b", None),
            ("content_length", Some("37")),
            (
                "request_body",
                Some("a=1&b=x%20y+z&a=2&flag&=no&e=&%63=%ff"),
            ),
        ],
    );
    assert_eq!(
        holds(&scene, json!([["post_arg.a", "has", "2"]])),
        Verdict::Yes
    );
}

#[tokio::test]
async fn multipart_forms() {
    let body = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
        --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x\"\r\nContent-Type: text/x\r\n\r\nl1\r\nl2\r\n\
        --B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n--B--\r\n";
    let scene = post("multipart/form-data; boundary=B", body).await;
    check(
        &scene,
        &[
            ("post_arg.a", Some("1")),
            ("post_arg.a[*]", Some("1, 2")),
            ("post_arg.a[1]", Some("2")),
            ("post_arg.f", Some("l1\r\nl2")),
            ("post_arg.g", None),
            ("post_arg_a", None),
        ],
    );
    let broken = post("multipart/form-data; boundary=C", body).await;
    check(&broken, &[("post_arg.a", None)]);
}

#[tokio::test]
async fn json_bodies() {
    let body = r#"{"model": "m", "n": 1.5, "list": [{"a": 1}, {"a": 2}], "null": null}"#;
    let scene = post("application/json; charset=utf-8", body).await;
    check(
        &scene,
        &[
            ("post_arg.model", Some("m")),
            ("post_arg.n", Some("1.5")),
            ("post_arg.list[*].a", Some("1, 2")),
            ("post_arg.list[1].a", Some("2")),
            ("post_arg.null", None),
            ("post_arg_model", None),
        ],
    );
    for (content_type, body) in [
        ("text/plain", body),
        ("application/json", "{"),
        ("application/json", ""),
        ("application/json", &"[".repeat(60_000)),
    ] {
        let scene = post(content_type, body).await;
        check(&scene, &[("post_arg.model", None), ("graphql_name", None)]);
    }
}

#[tokio::test]
async fn graphql_in_its_three_places() {
    let expected = [
        ("graphql_name", Some("Q")),
        ("graphql_operation", Some("query")),
        ("graphql_root_fields", Some("user, node")),
    ];
    let text = "query Q { u: user { id } node }";
    check(&post("application/graphql", text).await, &expected);
    let body = json!({"query": format!("mutation M {{ m }} {text}"), "operationName": "Q"});
    let scene = post("application/json", &body.to_string()).await;
    check(&scene, &expected);
    let vars = json!([
        ["graphql_root_fields", "has", "user"],
        ["graphql_operation", "==", "query"]
    ]);
    assert_eq!(holds(&scene, vars), Verdict::Yes);

    let target = "/?query=query+Q%7Bu:user%7Bid%7Dnode%7D";
    let by_get = get(target, "").await;
    check(&by_get, &expected);
    // There is no body to wait for.
    let vars = json!([["graphql_name", "==", "Q"]]);
    assert_eq!(holds(&by_get, vars.clone()), Verdict::Yes);
    check(
        &get(&format!("{target}&operationName=Gone"), "").await,
        &[("graphql_name", None)],
    );

    let anonymous = post("application/graphql", "{a}").await;
    check(&anonymous, &[("graphql_name", Some(""))]);
    for none in ["", "{", "[1]", "fragment F on Q {a}"] {
        let scene = post("application/graphql", none).await;
        check(
            &scene,
            &[("graphql_name", None), ("graphql_root_fields", None)],
        );
    }
}

#[tokio::test]
async fn a_body_that_was_not_read_is_asked_for_and_not_remembered_as_empty() {
    let mut scene = scene(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/graphql\r\nContent-Length: 3\r\n\r\n{a}",
    )
    .await;
    let vars = json!([["graphql_operation", "==", "query"]]);
    assert_eq!(holds(&scene, vars.clone()), Verdict::NeedsBody);
    check(
        &scene,
        &[
            ("graphql_operation", None),
            ("request_body", None),
            ("post_arg_a", None),
        ],
    );
    scene.exchange().read_body(usize::MAX).await.unwrap();
    assert_eq!(holds(&scene, vars), Verdict::Yes);

    let none = get("/", "").await;
    check(&none, &[("request_body", None)]);
    assert_eq!(
        holds(&none, json!([["post_arg.a", "==", "1"]])),
        Verdict::No
    );
}
