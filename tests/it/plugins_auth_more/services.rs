//! `forward-auth` and `opa`: services that decide who may pass, and what becomes of a request when they fail.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world;
use crate::support::{Answer, Reply, Upstream};

#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_asks_before_it_lets_pass() {
    let service = Upstream::start().await;
    service.script(|asked| match asked.header("authorization") {
        Some("good") => Answer::Reply(Reply::new(200, "ignored").header("X-User", "ann")),
        _ => Answer::Reply(
            Reply::new(401, "log in first")
                .header("Location", "http://login")
                .header("X-Inner", "i"),
        ),
    });
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/check", service.node()),
        "request_headers": ["Authorization"], "upstream_headers": ["X-User", "X-Group"], "client_headers": ["Location"],
    } });
    let (gateway, upstream) = world(plugins).await;
    let answer = gateway.get("/a").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (401, "log in first")
    );
    assert_eq!(answer.header("location"), Some("http://login"));
    assert_eq!(answer.header("x-inner"), None);
    assert_eq!(upstream.hits(), 0);

    let request = gateway
        .request("POST", "/a/b?c=d")
        .header("Authorization", "good")
        .header("X-User", "root");
    let answer = request
        .header("X-Group", "wheel")
        .body("hello")
        .await
        .expect_status(200);
    assert_eq!(answer.echoed_headers("x-user"), ["ann"]);
    assert!(answer.echoed_headers("x-group").is_empty());
    assert_eq!(answer.json()["body"], "hello");
    let asked = service.last_request();
    assert_eq!(
        (asked.method.as_str(), asked.target.as_str()),
        ("GET", "/check")
    );
    assert_eq!(asked.header("x-forwarded-method"), Some("POST"));
    assert_eq!(asked.header("x-forwarded-uri"), Some("/a/b?c=d"));
    assert_eq!(asked.header("x-forwarded-for"), Some("127.0.0.1"));
    assert!(asked.header("content-length").is_none() && asked.body.is_empty());
    assert_eq!(service.faults(), [""; 0]);
}

/// CVE-2024-32638: the service must not see the client's framing, and the upstream must get the body whole.
#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_sends_a_body_framed_anew() {
    let service = Upstream::answering("ok").await;
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/check", service.node()), "request_method": "POST", "max_req_body_size": 1000,
    } });
    let (gateway, _upstream) = world(plugins).await;
    let mut connection = gateway.connect().await;
    let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    for _ in 0..2 {
        connection.write(chunked.as_bytes()).await.unwrap();
        let answer = connection
            .read_response("POST")
            .await
            .unwrap()
            .expect_status(200);
        assert_eq!(answer.json()["body"], "hello");
        let asked = service.last_request();
        assert_eq!(
            (asked.method.as_str(), asked.body.as_slice()),
            ("POST", &b"hello"[..])
        );
        assert!(asked.header("transfer-encoding").is_none());
    }
    let hits = service.hits();
    gateway
        .request("POST", "/a")
        .body("x".repeat(1001))
        .await
        .expect_status(413);
    assert_eq!((service.hits(), service.faults()), (hits, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn forward_auth_ends_in_time_when_the_service_fails() {
    let service = Upstream::start().await;
    let plugins = json!({ "forward-auth": {
        "uri": format!("http://{}/", service.node()), "timeout": 300, "status_on_error": 503,
    } });
    let (gateway, upstream) = world(plugins).await;
    let smuggling =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n";
    for answer in [
        Answer::Hang,
        Answer::Close,
        Answer::Reset,
        Answer::Raw(b"nonsense".to_vec()),
        Answer::Raw(smuggling.into()),
    ] {
        service.answer(answer.clone());
        let began = Instant::now();
        let status = gateway.get("/a").await.status;
        assert_eq!(status, 503, "{answer:?}");
        assert!(began.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(upstream.hits(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn opa_lets_the_policy_decide() {
    let opa = Upstream::start().await;
    opa.script(|asked| {
        let input: Value = serde_json::from_slice(&asked.body).unwrap();
        let request = &input["input"]["request"];
        let decision = match request["query"]["user"].as_str() {
            Some("ann") => json!({ "allow": true, "headers": { "X-User": "ann" } }),
            Some("echo") => json!({ "allow": false, "reason": input }),
            _ => json!({ "allow": false, "reason": "no", "status_code": 401, "headers": { "X-Why": "w" } }),
        };
        Answer::text(json!({ "result": decision }).to_string())
    });
    let plugins = json!({ "key-auth": {}, "opa": {
        "host": format!("http://{}", opa.node()), "policy": "example/authz", "with_route": true, "with_consumer": true,
        "send_headers_upstream": ["X-User"],
    } });
    let (gateway, upstream) = world(plugins).await;
    let send = |target: &str| {
        gateway
            .get(target)
            .header("apikey", "jack-key")
            .header("X-User", "root")
    };
    let answer = send("/a").await;
    assert_eq!(
        (
            answer.status,
            answer.text().as_str(),
            answer.header("x-why")
        ),
        (401, "no", Some("w"))
    );
    let answer = send("/a?user=ann").await.expect_status(200);
    assert_eq!(answer.echoed_headers("x-user"), ["ann"]);
    assert_eq!(opa.last_request().target, "/v1/data/example/authz");

    let seen = send("/a?user=echo").await;
    assert_eq!(seen.status, 403);
    let input = seen.json();
    assert_eq!(input["input"]["route"]["uris"], json!(["/a", "/a/*"]));
    assert!(input["input"]["route"].get("upstream").is_none());
    assert_eq!(input["input"]["consumer"]["username"], "jack");
    assert!(
        !seen.text().contains("jack-secret"),
        "a secret was sent to the policy"
    );
    let hits = upstream.hits();
    opa.answer(Answer::text("nonsense"));
    send("/a?user=ann").await.expect_status(503);
    opa.answer(Answer::Close);
    send("/a?user=ann").await.expect_status(403);
    assert_eq!(upstream.hits(), hits);
}
