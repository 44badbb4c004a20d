#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;
use crate::scenes::refused;
use crossway_sdk::testing::Scene;
use serde_json::json;

async fn ran(body: &str, alter: impl FnOnce(&mut Scene)) -> Reply {
    let length = body.len();
    let raw = format!(
        "POST /apisix/batch-requests HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut scene = Scene::new(raw.as_bytes()).await.unwrap();
    alter(&mut scene);
    let endpoint = BatchRequests::endpoints().remove(0);
    let mut exchange = scene.exchange();
    let Step::Wait(answer) = endpoint.answer.answer(&mut exchange) else {
        panic!("it did not wait");
    };
    match answer.await.unwrap() {
        Flow::Respond(reply) => reply,
        Flow::Next => panic!("it went on"),
    }
}

fn requests(batch: Value) -> Result<Vec<Request<Bytes>>, String> {
    let mut outer = RequestHeader::build("POST", b"/", None).unwrap();
    for (name, value) in [
        ("Host", "a.test"),
        ("Content-Type", "application/json"),
        ("Authorization", "x"),
        ("Connection", "close"),
        ("X-Outer", "o"),
    ] {
        outer.insert_header(name, value).unwrap();
    }
    let batch = Batch::read(batch.to_string().as_bytes(), 3)?;
    batch.requests("http", "192.0.2.1:9080".parse().unwrap(), &outer)
}

#[test]
fn items_take_what_they_do_not_say_from_the_batch_and_the_request() {
    let made = requests(json!({
        "query": {"a": "1&", "b": 2},
        "headers": {"X-Common": "c", "X-Own": "common"},
        "pipeline": [
            {"path": "/one"},
            {"method": "POST", "path": "/two?q", "query": {"a": "own"}, "body": "text",
             "headers": {"x-own": "mine", "Content-Type": "text/x", "HOST": "b.test", "Transfer-Encoding": "chunked"}},
        ],
    })).unwrap();
    let of = |index: usize, name: &str| {
        made[index]
            .headers()
            .get(name)
            .map(|v| v.to_str().unwrap().to_owned())
    };
    assert_eq!(made[0].method(), Method::GET);
    assert_eq!(made[0].uri(), "http://192.0.2.1:9080/one?a=1%26&b=2");
    assert_eq!(made[1].uri(), "http://192.0.2.1:9080/two?q&a=own&b=2");
    assert_eq!(made[1].body(), "text");
    for (name, first, second) in [
        ("host", Some("a.test"), Some("b.test")),
        ("x-common", Some("c"), Some("c")),
        ("x-own", Some("common"), Some("mine")),
        ("authorization", Some("x"), Some("x")),
        ("x-outer", Some("o"), Some("o")),
        ("content-type", None, Some("text/x")),
        ("connection", None, None),
        ("transfer-encoding", None, None),
    ] {
        assert_eq!(
            (of(0, name).as_deref(), of(1, name).as_deref()),
            (first, second),
            "{name}"
        );
    }
}

#[test]
fn no_item_reaches_another_server_or_smuggles_a_request() {
    for path in [
        "http://b.test/",
        "@b.test/",
        "b",
        "",
        "/a b",
        "/a\r\nX: y",
        "/a#b",
        ":80/",
    ] {
        assert!(
            requests(json!({"pipeline": [{"path": path}]})).is_err(),
            "{path:?}"
        );
    }
    let made = requests(json!({"pipeline": [{"path": "//b.test/@c"}]})).unwrap();
    assert_eq!(made[0].uri().authority().unwrap(), "192.0.2.1:9080");
    for headers in [
        json!({"a b": "c"}),
        json!({"a": "b\r\nc: d"}),
        json!({"a": ["b"]}),
        json!({"a": null}),
    ] {
        assert!(requests(json!({"pipeline": [{"path": "/", "headers": headers}]})).is_err());
    }
    let forged =
        json!({"pipeline": [{"path": "/", "headers": {"X-Crossway-Relayed-For": "x 1.2.3.4:5"}}]});
    assert!(
        requests(forged).unwrap()[0]
            .headers()
            .get(relay::HEADER)
            .is_none()
    );
}

#[tokio::test]
async fn what_is_no_batch_is_refused() {
    for (body, expected) in [
        ("", "no request body"),
        ("no json", "invalid request body"),
        ("{}", "missing field `pipeline`"),
        ("{\"pipeline\": []}", "at least 1 items"),
        ("{\"pipeline\": [{}]}", "missing field `path`"),
        (
            "{\"pipeline\": [{\"path\": \"/\", \"method\": \"CONNECT\"}]}",
            "CONNECT",
        ),
        (
            "{\"pipeline\": [{\"path\": \"/\"}], \"timeout\": 0}",
            "timeout",
        ),
    ] {
        let reply = ran(body, |_| ()).await;
        let text = crate::scenes::text(&reply).unwrap();
        assert_eq!(reply.status, 400, "{body}");
        assert!(
            text.contains("error_msg") && text.contains(expected),
            "{body}: {text}"
        );
    }
    let four = json!({"pipeline": [{"path": "/"}, {"path": "/"}, {"path": "/"}, {"path": "/"}]});
    assert!(requests(four).unwrap_err().contains("at most 3 items"));
    let large = format!(
        "{{\"pipeline\": [{{\"path\": \"/{}\"}}]}}",
        "x".repeat(1024 * 1024)
    );
    assert_eq!(ran(&large, |_| ()).await.status, 413);
    let nested = ran("{\"pipeline\": [{\"path\": \"/\"}]}", |scene| {
        scene.request.relayed = true
    });
    assert_eq!(nested.await.status, 400);
}

#[test]
fn it_has_no_attributes() {
    assert!(refused::<BatchRequests>(json!({"a": 1})).contains('a'));
}
