//! Upstreams that break the rules of HTTP/1.1: no client gets what could be read in two ways, and nobody gets what was meant
//! for, or made up for, somebody else.

use serde_json::json;

use crate::support::{Gateway, Heard, Say, Scripted};

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood";

/// Answers `/good` well and anything else with `bad`, and keeps its connections either way.
async fn world(bad: impl Into<Vec<u8>>) -> (Gateway, Scripted) {
    let gateway = Gateway::start().await;
    let node = node(bad).await;
    let route = json!({ "uri": "/*", "upstream": node.document() });
    gateway.put("/routes/1", route).await;
    (gateway, node)
}

async fn node(bad: impl Into<Vec<u8>>) -> Scripted {
    let bad = bad.into();
    Scripted::start(
        move |heard: &Heard| match heard.bytes.starts_with(b"GET /good") {
            true => Say::Keep(GOOD.into()),
            false => Say::Keep(bad.clone()),
        },
    )
    .await
}

async fn good(gateway: &Gateway, why: &str) {
    let answer = gateway.get("/good").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "good"),
        "{why}"
    );
}

async fn raw(gateway: &Gateway, request: &str) -> String {
    let answer = gateway.raw(request).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_breaks_the_rules_is_a_bad_gateway_and_its_connection_ends() {
    let ok = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nok").into_bytes();
    let lengths = [
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2\r\nContent-Length: 2",
    ];
    let mut heads: Vec<Vec<u8>> = lengths.map(ok).to_vec();
    for length in [
        "2, 2",
        "2, 3",
        "+2",
        "-1",
        "2x",
        "0x2",
        "",
        "99999999999999999999",
        "2 2",
    ] {
        heads.push(ok(&format!("Content-Length: {length}")));
    }
    for coding in [
        "gzip, chunked",
        "identity",
        "chunked, chunked",
        "xchunked",
        "chunked;q=1",
        "\"chunked\"",
        "chunked\r\nTransfer-Encoding: chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "",
    ] {
        heads.push(ok(&format!("Transfer-Encoding: {coding}")));
    }
    heads.push(
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec(),
    );
    for field in [
        "X: a\0b",
        "X: a\x01b",
        "X: a\x7fb",
        "X: a\rb",
        "X(A): b",
        ": b",
        "no colon",
        "X A: b",
        "\x01: b",
    ] {
        heads.push(ok(&format!("Content-Length: 2\r\n{field}")));
    }
    for line in [
        "HTTP/1.1 099 Low",
        "HTTP/1.1 600 High",
        "HTTP/1.1 999 High",
        "HTTP/1.1 20 Short",
        "HTTP/1.1 2000 Long",
        "HTTP/1.1 -20 Sign",
        "HTTP/2.0 200 OK",
        "HTTP/1.2 200 OK",
        "HTP/1.1 200 OK",
        "200 OK",
        "GET / HTTP/1.1",
    ] {
        heads.push(format!("{line}\r\nContent-Length: 2\r\n\r\nok").into_bytes());
    }
    heads.push(ok(&format!(
        "Content-Length: 2\r\n{}X: y",
        "X: y\r\n".repeat(220)
    )));
    heads.push(ok(&format!(
        "Content-Length: 2\r\nX: {}",
        "y".repeat(70_000)
    )));
    heads.push(b"\x15\x03\x01\x00\x02\x02\x0a\r\n\r\n".to_vec());

    let gateway = Gateway::start().await;
    for head in heads {
        let shown = String::from_utf8_lossy(&head)
            .chars()
            .take(120)
            .collect::<String>();
        let node = node(head).await;
        let route = json!({ "uri": "/*", "upstream": node.document() });
        gateway.put("/routes/1", route).await;
        good(&gateway, &shown).await;
        let answer = raw(&gateway, GET).await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{shown:?}: {answer:?}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{shown:?}: {answer:?}"
        );
        let on = node.heard().last().map(|heard| heard.connection);
        good(&gateway, &shown).await;
        let next = node.heard().last().map(|heard| heard.connection);
        assert_ne!(next, on, "{shown:?}: the connection was used again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_repaired_reaches_the_client_in_one_form() {
    let (gateway, node) = world("").await;
    for (answer, field, value, body) in [
        (
            "HTTP/1.1 200 OK\nX-A: 1\nContent-Length: 2\n\nok",
            "x-a",
            "1",
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length : 2\r\n\r\nok",
            "x-a",
            "1",
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\n\t3\r\nContent-Length: 2\r\n\r\nok",
            "x-a",
            "1 2 3",
            "ok",
        ),
        (
            "HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "x-a",
            "1",
            "hello",
        ),
    ] {
        let node = Scripted::keeping(answer).await;
        gateway
            .put(
                "/routes/1",
                json!({ "uri": "/*", "upstream": node.document() }),
            )
            .await;
        // The client of these tests forgives nothing.
        let got = gateway.get("/x").await.expect_status(200);
        assert_eq!(got.header(field), Some(value), "{answer:?}");
        assert_eq!(got.text(), body, "{answer:?}");
        let lengths = got
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case("content-length"));
        let framings = lengths.count() + usize::from(got.headers.has("transfer-encoding"));
        assert_eq!(framings, 1, "{answer:?}: {:?}", got.headers);
    }
    drop(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_break_the_rules_never_look_like_a_whole_answer() {
    let gateway = Gateway::start().await;
    for chunks in [
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloxx0\r\n\r\n",
        "5\r\nhello\r\n",
        "5\r\nhello\r\n0\r\n",
        "5\r\nhel",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let node = Scripted::start(move |_| Say::Close(answer.clone().into())).await;
        gateway
            .put(
                "/routes/1",
                json!({ "uri": "/*", "upstream": node.document() }),
            )
            .await;
        let got = raw(&gateway, GET).await;
        let whole = got.starts_with("HTTP/1.1 200 ") && got.ends_with("0\r\n\r\n");
        assert!(!whole, "{chunks:?}: {got:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_an_answer_is_no_answer_to_the_next_request() {
    let forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";
    for (method, answer, status, body) in [
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            "ok",
        ),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            "ok",
        ),
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            200,
            "",
        ),
        (
            "GET",
            "HTTP/1.1 204 None\r\nContent-Length: 2\r\n\r\nok",
            204,
            "",
        ),
        (
            "GET",
            "HTTP/1.1 204 None\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            204,
            "",
        ),
        (
            "GET",
            "HTTP/1.1 304 Same\r\nContent-Length: 2\r\n\r\nok",
            304,
            "",
        ),
    ] {
        let (gateway, node) = world(format!("{answer}{forged}")).await;
        let mut connection = gateway.connect().await;
        let got = connection
            .send(&gateway.request(method, "/x"))
            .await
            .unwrap();
        assert_eq!(
            (got.status, got.text().as_str()),
            (status, body),
            "{method} {answer:?}"
        );
        let got = connection.send(&gateway.get("/good")).await.unwrap();
        assert_eq!(
            (got.status, got.text().as_str()),
            (200, "good"),
            "{method} {answer:?}"
        );
        assert_eq!(node.connections(), 2, "{method} {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_request_is_nobodys() {
    let (gateway, node) = world("").await;
    good(&gateway, "first").await;
    good(&gateway, "the connection is kept").await;
    assert_eq!(node.connections(), 1);
    for unasked in [
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        "H",
        "\r\n",
    ] {
        let before = node.connections();
        node.say_unasked(unasked.as_bytes()).await;
        good(&gateway, unasked).await;
        assert_eq!(node.connections(), before + 1, "{unasked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_are_bounded_and_say_nothing_of_the_connection() {
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\n\
                Content-Length: 5\r\n\r\n";
    let (gateway, _node) = world(format!("{}{GOOD}", hint.repeat(3))).await;
    let got = raw(&gateway, GET).await;
    assert_eq!(got.matches("HTTP/1.1 103 ").count(), 3, "{got}");
    assert_eq!(got.matches("Link: </a>").count(), 3, "{got}");
    assert!(got.ends_with("good"), "{got}");
    let lower = got.to_lowercase();
    for field in ["x-hop", "keep-alive", "content-length: 5"] {
        assert!(!lower.contains(field), "{field}: {got}");
    }
    // The default bound is 16.
    for status in [100, 102, 103, 199] {
        let interim = format!("HTTP/1.1 {status} Wait\r\n\r\n");
        let (gateway, _node) = world(format!("{}{GOOD}", interim.repeat(17))).await;
        let got = raw(&gateway, GET).await;
        assert!(!got.contains("good"), "{status}: {got}");
        assert!(got.contains("HTTP/1.1 502 "), "{status}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bounds_of_an_answers_head_are_settings() {
    let settings =
        "upstream: {limits: {header_bytes: 1024, header_count: 5, interim_responses: 1}}\n";
    let gateway = Gateway::builder().with_settings(settings).start().await;
    let long = |n: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: {}\r\n\r\nok",
            "y".repeat(n)
        )
    };
    let many = |n: usize| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{}\r\nok",
            "X: y\r\n".repeat(n)
        )
    };
    let wait = |n: usize| format!("{}{GOOD}", "HTTP/1.1 102 Wait\r\n\r\n".repeat(n));
    for (answer, passes) in [
        (long(900), true),
        (long(1100), false),
        (many(4), true),
        (many(5), false),
        (wait(1), true),
        (wait(2), false),
    ] {
        let node = Scripted::keeping(&answer).await;
        gateway
            .put(
                "/routes/1",
                json!({ "uri": "/*", "upstream": node.document() }),
            )
            .await;
        let got = raw(&gateway, GET).await;
        assert_eq!(got.contains("HTTP/1.1 200 "), passes, "{answer:?}: {got}");
        assert_eq!(got.contains("HTTP/1.1 502 "), !passes, "{answer:?}: {got}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_what_nobody_asked_for_is_a_bad_gateway() {
    let gateway = Gateway::start().await;
    let answer = "HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let node = Scripted::keeping(answer).await;
    let route = json!({ "uri": "/*", "enable_websocket": true, "upstream": node.document() });
    gateway.put("/routes/1", route).await;
    let got = raw(
        &gateway,
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
}
