//! The less usual forms of a request, and fields that a client sends to be taken for somebody else.

use serde_json::json;

use crate::support::{Gateway, Received, Upstream};

/// A gateway with an open route for all paths and one that asks for a key, on a host of its own and on a path.
async fn world() -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let upstream = Upstream::start().await;
    let document = upstream.document();
    let guarded = json!({ "key-auth": {} });
    gateway
        .put_all([
            ("/routes/open", json!({ "uri": "/*", "upstream": document })),
            (
                "/routes/secret",
                json!({ "uri": "/secret", "plugins": guarded, "upstream": document }),
            ),
            (
                "/routes/host",
                json!({ "uri": "/*", "host": "guarded.test", "plugins": guarded, "upstream": document }),
            ),
        ])
        .await;
    upstream.clear();
    (gateway, upstream)
}

async fn status(gateway: &Gateway, request: &str) -> u16 {
    let answer = gateway.raw(request.replace('\n', "\r\n")).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer to {request:?}: {text:?}"))
}

async fn forwarded(gateway: &Gateway, upstream: &Upstream, request: &str) -> Received {
    assert_eq!(status(gateway, request).await, 200, "{request}");
    upstream.last_request()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_in_absolute_form_is_a_request_for_its_path() {
    let (gateway, upstream) = world().await;
    for (target, path) in [
        ("http://a.test/x?y=1", "/x?y=1"),
        ("HTTP://a.test/x//y", "/x//y"),
        ("http://a.test", "/"),
        ("http://a.test?y", "/?y"),
        ("https://a.test/%41", "/%41"),
    ] {
        let request = format!("GET {target} HTTP/1.1\nHost: a.test\n\n");
        let received = forwarded(&gateway, &upstream, &request).await;
        assert_eq!(received.target, path, "{target}");
        assert_eq!(received.header("host"), Some("a.test"), "{target}");
    }
    let request = "GET http://a.test:81/x HTTP/1.0\n\n";
    let received = forwarded(&gateway, &upstream, request).await;
    assert_eq!(received.target, "/x");
    assert_eq!(received.header("host"), Some("a.test:81"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_absolute_form_gets_around_a_route_that_asks_for_a_key() {
    let (gateway, upstream) = world().await;
    for (target, host, expected) in [
        ("http://a.test/secret", "a.test", 401),
        ("http://a.test//secret?x", "a.test", 401),
        ("http://a.test/x/%2e%2e/secret", "a.test", 401),
        ("http://guarded.test/x", "guarded.test", 401),
        ("http://GUARDED.test/x", "GUARDED.test", 401),
        ("http://a.test/x", "guarded.test", 400),
        ("http://guarded.test/x", "a.test", 400),
        ("http://u@a.test/x", "a.test", 400),
        ("ftp://a.test/x", "a.test", 400),
        ("http:/secret", "a.test", 400),
        ("http:///secret", "a.test", 400),
    ] {
        let request = format!("GET {target} HTTP/1.1\nHost: {host}\n\n");
        assert_eq!(
            status(&gateway, &request).await,
            expected,
            "{target} {host}"
        );
    }
    let request = "GET http://guarded.test/x HTTP/1.0\n\n";
    assert_eq!(status(&gateway, request).await, 401);
    assert_eq!(upstream.hits(), 0, "{:?}", upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_an_empty_label_is_no_host() {
    let (gateway, upstream) = world().await;
    for host in [
        "guarded.test..",
        "guarded..test",
        ".guarded.test",
        ".",
        "..",
    ] {
        let request = format!("GET /x HTTP/1.1\nHost: {host}\n\n");
        assert_eq!(status(&gateway, &request).await, 400, "{host}");
    }
    for host in ["guarded.test.", "GUARDED.TEST", "guarded.test.:80"] {
        let request = format!("GET /x HTTP/1.1\nHost: {host}\n\n");
        assert_eq!(status(&gateway, &request).await, 401, "{host}");
    }
    assert_eq!(upstream.hits(), 0, "{:?}", upstream.requests());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_field_that_the_gateway_vouches_for_comes_from_a_client() {
    let (gateway, upstream) = world().await;
    let names = [
        "X-Consumer-Username",
        "x-CONSUMER-username",
        "X_Consumer_Username",
        "X-Consumer_Username",
        "X_Credential_Identifier",
        "X_Consumer_Custom_ID",
        "X_Real_IP",
        "X_Forwarded_For",
        "X_Forwarded_Proto",
        "X_Forwarded_Host",
        "X_Forwarded_Port",
    ];
    let fields: String = names.map(|name| format!("{name}: forged\n")).concat();
    let request = format!("GET /x HTTP/1.1\nHost: a\nX_Mine: kept\n{fields}\n");
    let received = forwarded(&gateway, &upstream, &request).await;
    let forged = received
        .headers
        .iter()
        .filter(|(_, value)| *value == b"forged");
    assert_eq!(forged.count(), 0, "{:?}", received.headers);
    assert_eq!(received.header("X_Mine"), Some("kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_said_twice_is_refused() {
    let (gateway, upstream) = world().await;
    for lengths in [
        "Content-Length: 3\r\nContent-Length: 3",
        "Content-Length: 3, 3",
    ] {
        let request = format!("POST /x HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\nabc");
        let answer = gateway.raw(request).await;
        assert!(answer.starts_with(b"HTTP/1.1 400 "), "{lengths}");
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_neither_upgrades_nor_expects() {
    let (gateway, upstream) = world().await;
    let websocket =
        json!({ "uri": "/ws", "enable_websocket": true, "upstream": upstream.document() });
    gateway.put("/routes/ws", websocket).await;
    let fields = "Host: a\nConnection: Upgrade\nUpgrade: websocket\nExpect: 100-continue";
    let request = format!("POST /ws HTTP/1.0\n{fields}\nContent-Length: 3\n\nabc");
    let received = forwarded(&gateway, &upstream, &request).await;
    assert!(!received.headers.has("upgrade"), "{:?}", received.headers);
    assert!(!received.headers.has("expect"), "{:?}", received.headers);
    assert_eq!(received.body, b"abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_is_told_a_host_also_for_a_client_of_http_1_0_that_names_none() {
    let (gateway, upstream) = world().await;
    let received = forwarded(&gateway, &upstream, "GET /x HTTP/1.0\n\n").await;
    assert_eq!(received.header("host"), Some(upstream.node().as_str()));
}
