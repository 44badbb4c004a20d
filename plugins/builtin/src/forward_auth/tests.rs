use super::ForwardAuth;
use crate::{
    remote::service::{Service, nowhere},
    testing::*,
};
use crossway_sdk::{definition::Definition, testing::Scene};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn definition() -> Definition {
    Definition::of::<ForwardAuth>()
}

/// The configuration for this service, with changes.
fn config(service: &Service, changes: Value) -> Value {
    with(
        json!({"uri": format!("{}/auth?x=1", service.url())}),
        changes,
    )
}

fn with(mut config: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
    config
}

async fn passes(config: Value, scene: &mut Scene) -> bool {
    let plugin = built(&definition(), config);
    goes_on(scene.access(&*plugin).await)
}

async fn answer(config: Value, raw: Vec<u8>) -> crossway_sdk::flow::Reply {
    let plugin = built(&definition(), config);
    reply(scene(raw).await.access(&*plugin).await)
}

fn line<'r>(request: &'r str, name: &str) -> Option<&'r str> {
    let mut found = request
        .lines()
        .filter_map(|l| l.split_once(": "))
        .filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let first = found.next()?.1;
    assert!(found.next().is_none(), "{name} stands twice in {request}");
    Some(first)
}

#[tokio::test]
async fn the_service_learns_what_the_client_wants() {
    let service = Service::saying(200, "", "").await;
    let raw = b"DELETE /a%20b?c=d HTTP/1.1\r\nHost: A.example:81\r\nX-Token: t\r\nX-Other: o\r\n\
        X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Uri: /public\r\n\r\n";
    let mut scene = scene(raw).await;
    let headers =
        json!({"request_headers": ["X-Token", "X-Forwarded-For", "x-forwarded-uri", "x-none"]});
    assert!(passes(config(&service, headers), &mut scene).await);
    let asked = service.request();
    assert!(asked.starts_with("GET /auth?x=1 HTTP/1.1\r\n"), "{asked}");
    for (name, value) in [
        ("x-forwarded-proto", "http"),
        ("x-forwarded-method", "DELETE"),
        ("x-forwarded-host", "a.example"),
        ("x-forwarded-uri", "/a%20b?c=d"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-token", "t"),
    ] {
        assert_eq!(line(&asked, name), Some(value), "{asked}");
    }
    assert_eq!(
        line(&asked, "host"),
        Some(service.address.to_string().as_str())
    );
    for name in [
        "x-other",
        "x-none",
        "content-length",
        "transfer-encoding",
        "cookie",
    ] {
        assert_eq!(line(&asked, name), None, "{asked}");
    }
}

#[tokio::test]
async fn extra_headers_may_have_variables_and_cannot_be_replaced() {
    let service = Service::saying(204, "", "").await;
    let extra = json!({
        "extra_headers": {"X-Tenant": "$arg_t-x", "X-Empty": "$arg_none", "X-Who": "$remote_addr"},
        "request_headers": ["X-Tenant"],
    });
    let mut scene = scene(get("/?t=7", "X-Tenant: forged\r\n")).await;
    assert!(passes(config(&service, extra), &mut scene).await);
    let asked = service.request();
    assert_eq!(line(&asked, "x-tenant"), Some("7-x"));
    assert_eq!(line(&asked, "x-who"), Some("192.0.2.1"));
    assert_eq!(line(&asked, "x-empty"), None);
}

#[tokio::test]
async fn a_variable_of_the_body_reads_it() {
    let service = Service::saying(200, "", "").await;
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\ntenant=7";
    let mut scene = scene(raw).await;
    let extra = json!({"extra_headers": {"X-Tenant": "$post_arg_tenant"}});
    assert!(passes(config(&service, extra), &mut scene).await);
    let asked = service.request();
    assert_eq!(line(&asked, "x-tenant"), Some("7"));
    assert!(
        asked.starts_with("GET ") && asked.ends_with("\r\n\r\n"),
        "no body: {asked}"
    );
}

/// CVE-2024-32638: what frames the client's message must not frame the service's.
#[tokio::test]
async fn a_post_is_framed_anew() {
    let service = Service::saying(200, "", "").await;
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Encoding: br\r\n\
        Connection: keep-alive, x-token\r\nTE: trailers\r\nX-Token: t\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let mut first = scene(raw).await;
    let post = json!({"request_method": "POST", "request_headers": ["X-Token"]});
    assert!(passes(config(&service, post), &mut first).await);
    let asked = service.request();
    assert!(
        asked.starts_with("POST /auth?x=1") && asked.ends_with("\r\n\r\nhello"),
        "{asked}"
    );
    assert_eq!(line(&asked, "content-length"), Some("5"));
    assert_eq!(line(&asked, "content-encoding"), Some("br"));
    assert_eq!(line(&asked, "x-token"), Some("t"));
    for name in ["transfer-encoding", "te", "expect", "connection"] {
        assert_eq!(line(&asked, name), None, "{asked}");
    }
    // With GET the service sees no framing at all.
    let service = Service::saying(200, "", "").await;
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert!(passes(config(&service, json!({})), &mut scene(raw).await).await);
    let asked = service.request();
    assert_eq!(line(&asked, "content-length"), None);
    assert!(asked.ends_with("\r\n\r\n"));
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_unasked() {
    let service = Service::saying(200, "", "").await;
    let raw = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_vec();
    let post = json!({"request_method": "POST", "max_req_body_size": 4});
    assert_eq!(answer(config(&service, post), raw).await.status, 413);
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn headers_of_the_service_reach_the_upstream_and_forged_ones_do_not() {
    let service = Service::saying(
        200,
        "X-User: ann\r\nX-Roles: a\r\nx-roles: b\r\nX-Secret: s\r\n",
        "ignored",
    )
    .await;
    let lines = "X-User: root\r\nX-Roles: admin\r\nX-Group: wheel\r\nx-group: adm\r\n";
    let mut scene = scene(get("/", lines)).await;
    let names = json!({"upstream_headers": ["X-User", "x-roles", "X-Group"]});
    assert!(passes(config(&service, names), &mut scene).await);
    let headers = &scene.session.req_header().headers;
    let all = |name: &str| {
        headers
            .get_all(name)
            .iter()
            .map(|v| v.to_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(all("x-user"), ["ann"]);
    assert_eq!(all("x-roles"), ["a", "b"]);
    assert_eq!(all("x-group"), [""; 0]);
    assert_eq!(all("x-secret"), [""; 0]);
}

#[tokio::test]
async fn any_other_answer_is_the_clients() {
    for status in [300, 302, 401, 403, 404, 500, 503] {
        let lines = "Location: http://a/login\r\nX-Reason: r\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-Inner: i\r\n";
        let service = Service::saying(status, lines, "no").await;
        let names = json!({"client_headers": ["Location", "x-reason", "Set-Cookie"], "upstream_headers": ["X-Inner"]});
        let reply = answer(config(&service, names), get("/", "")).await;
        assert_eq!(
            (reply.status.as_u16(), body(&reply).as_str()),
            (status, "no")
        );
        assert_eq!(header(&reply, "location"), Some("http://a/login"));
        assert_eq!(header(&reply, "x-reason"), Some("r"));
        assert_eq!(
            reply
                .headers
                .iter()
                .filter(|(n, _)| n == "set-cookie")
                .count(),
            2
        );
        assert_eq!(header(&reply, "x-inner"), None);
    }
}

#[tokio::test]
async fn a_service_that_cannot_be_asked_ends_in_the_status_on_error() {
    let absent = json!({"uri": nowhere().await});
    assert_eq!(answer(absent.clone(), get("/", "")).await.status, 403);
    let chosen = with(absent, json!({"status_on_error": 503}));
    assert_eq!(answer(chosen, get("/", "")).await.status, 503);
    for nonsense in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nX-User: a\x01b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n",
        b"",
    ] {
        let service = Service::start(Some(nonsense.to_vec())).await;
        let text = String::from_utf8_lossy(nonsense);
        assert_eq!(
            answer(config(&service, json!({})), get("/", ""))
                .await
                .status,
            403,
            "{text}"
        );
    }
}

/// CVE-2026-31908: a service cannot put lines of its own into a message.
#[tokio::test]
async fn line_breaks_and_connection_fields_of_the_service_stay_there() {
    let lines = "X-User: a\rX-Admin: 1\r\n";
    let service = Service::saying(200, lines, "").await;
    let plugin = built(
        &definition(),
        config(&service, json!({"upstream_headers": ["X-User"]})),
    );
    let mut scene = scene(get("/", "")).await;
    if let Ok(crossway_sdk::flow::Flow::Next) = scene.access(&*plugin).await {
        let value = sent_up(&scene, "x-user").unwrap_or_default();
        assert!(!value.contains(['\r', '\n']), "{value:?}");
        assert_eq!(sent_up(&scene, "x-admin"), None);
    }
}

#[tokio::test]
async fn a_slow_service_is_given_up_in_time() {
    let service = Service::start(None).await;
    let began = Instant::now();
    let slow = config(&service, json!({"timeout": 50, "status_on_error": 504}));
    assert_eq!(answer(slow, get("/", "")).await.status, 504);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn degradation_lets_pass_without_what_a_client_forged() {
    let absent =
        json!({"uri": nowhere().await, "allow_degradation": true, "upstream_headers": ["X-User"]});
    let mut scene = scene(get("/", "X-User: root\r\nX-Other: 1\r\n")).await;
    assert!(passes(absent, &mut scene).await);
    assert_eq!(sent_up(&scene, "x-user"), None);
    assert_eq!(sent_up(&scene, "x-other"), Some("1"));
}

#[tokio::test]
async fn values_that_are_no_text_are_carried_as_they_are() {
    let service = Service::saying(200, "", "").await;
    let mut scene = scene(get("/", &b"X-Token: \xff\xfe\r\nX-Token: b\r\n"[..])).await;
    assert!(
        passes(
            config(&service, json!({"request_headers": ["X-Token"]})),
            &mut scene
        )
        .await
    );
    assert_eq!(service.request().matches("x-token: ").count(), 2);
}

#[test]
fn refused_configurations_say_where() {
    let refused =
        |changes: Value| refused(&definition(), with(json!({"uri": "http://a/"}), changes)).0;
    for uri in ["", "a", "ftp://a", "/auth", "http://"] {
        assert_eq!(refused(json!({"uri": uri})), "/uri", "{uri}");
    }
    assert_eq!(refused(json!({"request_method": "PUT"})), "/request_method");
    assert_eq!(
        refused(json!({"request_headers": ["a", "b c"]})),
        "/request_headers/1"
    );
    for name in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "keep-alive",
        "Upgrade",
        "Expect",
    ] {
        for list in ["request_headers", "upstream_headers", "client_headers"] {
            assert_eq!(
                refused(json!({list: [name]})),
                format!("/{list}/0"),
                "{name}"
            );
        }
        assert_eq!(
            refused(json!({"extra_headers": {name: "1"}})),
            format!("/extra_headers/{name}")
        );
    }
    assert_eq!(
        refused(json!({"upstream_headers": ["x-a", "host"]})),
        "/upstream_headers/1"
    );
    assert_eq!(refused(json!({"extra_headers": {}})), "/extra_headers");
    assert_eq!(
        refused(json!({"extra_headers": {"a": "$no_such_variable"}})),
        "/extra_headers/a"
    );
    assert_eq!(refused(json!({"timeout": 0})), "/timeout");
    assert_eq!(refused(json!({"timeout": 60_001})), "/timeout");
    assert_eq!(refused(json!({"status_on_error": 199})), "/status_on_error");
    assert_eq!(refused(json!({"keepalive_pool": 0})), "/keepalive_pool");
    assert_eq!(
        refused(json!({"keepalive_timeout": 999})),
        "/keepalive_timeout"
    );
    assert_eq!(
        refused(json!({"max_req_body_size": 0})),
        "/max_req_body_size"
    );
}
